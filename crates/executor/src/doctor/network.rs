//! Who can be reached, and whether the clocks agree.

use std::time::{Duration, SystemTime};

use agent_core::error_chain;
use http_client::{ClientError, HttpClients, HttpUrl};
use reqwest::header;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::Diagnosis;
use crate::config::{Config, Mode};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How far two clocks may be apart before tokens and certificates suffer.
const APART: Duration = Duration::from_secs(60);

pub(super) async fn reach(config: &Config, clients: &HttpClients, found: &mut Diagnosis) {
    let places = [
        ("callback", &config.delivery.callback_url, "CALLBACK_URL"),
        ("backend", &config.delivery.backend_url, "TASK_API_DOMAIN"),
    ];
    let mut clock = None;
    for (what, url, variable) in places {
        let Some(url) = url else {
            unset(config, found, what, variable);
            continue;
        };
        match ask(clients, url).await {
            // Any answer will do: the addresses of callbacks take no such request.
            Ok(answered) => {
                found.ok(what, format!("{url} answers ({})", answered.status));
                clock = clock.or(answered.date);
            }
            Err(why) => found.wrong(
                what,
                format!("{url}: {}", error_chain(&why)),
                format!("check {variable}, the network, and the proxies (http_proxy, https_proxy, no_proxy)"),
            ),
        }
    }
    compare(found, clock);
}

fn unset(config: &Config, found: &mut Diagnosis, what: &'static str, variable: &str) {
    let says = format!("{variable} is not set");
    match config.mode {
        Mode::Docker => found.note(
            what,
            says,
            "requests may name it; Wegent's manager usually sets it",
        ),
        Mode::Local => found.note(what, says, "needed only to serve Wegent"),
    }
}

struct Answered {
    status: u16,
    date: Option<SystemTime>,
}

/// Nobody answers.
#[derive(Debug, thiserror::Error)]
enum Silent {
    /// There is no client for the URL.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request fails.
    #[error("no answer")]
    Request(#[source] reqwest::Error),
}

async fn ask(clients: &HttpClients, url: &HttpUrl) -> Result<Answered, Silent> {
    let client = clients.client_for(url).await?;
    let request = client.get(url.as_url().clone()).timeout(LIMIT).send();
    // Without the URL: it may hold credentials.
    let answer = request.await;
    let answer = answer.map_err(|error| Silent::Request(error.without_url()))?;
    let date = answer.headers().get(header::DATE);
    let date = date.and_then(|date| parse_date(date.to_str().ok()?));
    Ok(Answered {
        status: answer.status().as_u16(),
        date,
    })
}

/// `Sat, 21 Nov 2026 17:00:00 GMT`
fn parse_date(text: &str) -> Option<SystemTime> {
    let numeric = text.replace("GMT", "+0000");
    let date = OffsetDateTime::parse(&numeric, &Rfc2822).ok()?;
    Some(date.into())
}

fn compare(found: &mut Diagnosis, theirs: Option<SystemTime>) {
    let Some(theirs) = theirs else {
        return found.note(
            "clock",
            "nobody to compare it with",
            "none is needed if it is right",
        );
    };
    let now = SystemTime::now();
    let apart = now
        .duration_since(theirs)
        .or_else(|_| theirs.duration_since(now));
    let apart = apart.unwrap_or_default();
    let says = format!("{} s from Wegent's", apart.as_secs());
    match apart > APART {
        true => found.wrong(
            "clock",
            says,
            "set the host's clock: a container has the same",
        ),
        false => found.ok("clock", says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_that_is_wrong_is_told_of() {
        let date = parse_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 784_111_777);
        let mut found = Diagnosis::default();
        compare(&mut found, Some(date));
        compare(&mut found, Some(SystemTime::now()));
        compare(&mut found, None);
        let verdicts: Vec<Verdict> = found.findings.iter().map(|one| one.verdict).collect();
        assert_eq!(verdicts, [Verdict::Wrong, Verdict::Ok, Verdict::Note]);
        assert!(parse_date("yesterday").is_none());
    }
}
