//! Where messages go: Wegent's callback endpoint, or a terminal.

use std::time::Duration;

use agent_core::error_chain;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_client::HttpClients;
use reqwest::{StatusCode, header};

use crate::config::HttpUrl;

/// Carries one message to its reader.
pub trait Transport: Send + Sync + 'static {
    /// Sends `body` once.
    fn post<'a>(&'a self, label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted>;
}

/// What is said of a message beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The key under which a repeated message can be recognised.
    pub key: &'a str,
    /// The number of the last of the turn's events that the message covers. It never falls from one message of a turn to
    /// the next.
    pub through: u64,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The reader has it.
    Accepted,
    /// Worth another try.
    Retry {
        /// The reason, for the log.
        why: String,
        /// How long the endpoint asked to wait.
        after: Option<Duration>,
        /// The endpoint was there: it answered that it can't take the message now.
        answered: bool,
    },
    /// The reader will never take it.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer, for the log.
        why: String,
    },
}

/// Header with a message's [`key`](Label::key).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Header with the number of the last event that a message [covers](Label::through).
pub const EVENT_SEQUENCE: &str = "x-event-sequence";

/// Posts to a callback endpoint over HTTP.
#[derive(Debug)]
pub struct HttpTransport {
    clients: HttpClients,
    url: HttpUrl,
    timeout: Duration,
}

impl HttpTransport {
    /// A transport to `url`; each request may take `timeout`.
    pub fn new(clients: HttpClients, url: HttpUrl, timeout: Duration) -> Self {
        Self {
            clients,
            url,
            timeout,
        }
    }
}

impl Transport for HttpTransport {
    fn post<'a>(&'a self, label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted> {
        Box::pin(async move {
            let client = match self.clients.client_for(&self.url).await {
                Ok(client) => client,
                Err(error) => {
                    return Posted::Retry {
                        why: error_chain(&error),
                        after: None,
                        answered: false,
                    };
                }
            };
            let request = client
                .post(self.url.as_url().clone())
                .header(header::CONTENT_TYPE, "application/json")
                .header(IDEMPOTENCY_KEY, label.key)
                .header(EVENT_SEQUENCE, label.through)
                .timeout(self.timeout)
                .body(body);
            match request.send().await {
                Ok(response) => judge(response).await,
                // Without the URL: it may hold credentials.
                Err(error) => Posted::Retry {
                    why: error_chain(&error.without_url()),
                    after: None,
                    answered: false,
                },
            }
        })
    }
}

/// Success is any 2xx; 408, 429 and 5xx are worth another try; everything else is final.
async fn judge(response: reqwest::Response) -> Posted {
    let status = response.status();
    if status.is_success() {
        // Read to the end so that the connection can be used again.
        let _ = response.bytes().await;
        return Posted::Accepted;
    }
    let after = retry_after(&response);
    let answer = response.text().await.unwrap_or_default();
    let why = format!("{status}: {}", answer.chars().take(200).collect::<String>());
    let transient = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    if transient {
        Posted::Retry {
            why,
            after,
            answered: true,
        }
    } else {
        Posted::Refused {
            status: status.as_u16(),
            why,
        }
    }
}

/// `Retry-After` in seconds; the form with a date is not used by the platforms we serve.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// Drops every message: the deployment has no callback endpoint.
#[derive(Debug)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn post<'a>(&'a self, _label: Label<'a>, _body: Bytes) -> BoxFuture<'a, Posted> {
        Box::pin(std::future::ready(Posted::Accepted))
    }
}
