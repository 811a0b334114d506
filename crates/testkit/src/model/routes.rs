//! The HTTP side: which request gets which answer.

use std::{pin::Pin, sync::Arc, task::Poll};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use futures::{FutureExt as _, Stream, future::BoxFuture, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Options, Script, anthropic,
    ledger::{Ending, Ledger, SeenRequest},
    reply::{Out, Reply, Whole},
    request::{Request, Wire},
    scripts,
};
use crate::{clock, http::Link};

/// Events that a script may be ahead of the connection.
const AHEAD: usize = 8;

#[derive(Clone)]
struct Shared {
    options: Arc<Options>,
    ledger: Arc<Ledger>,
}

pub(super) fn router(options: Options, ledger: Arc<Ledger>) -> Router {
    let shared = Shared {
        options: Arc::new(options),
        ledger,
    };
    Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn answer(
    State(shared): State<Shared>,
    ConnectInfo(link): ConnectInfo<Link>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    if let Some(control) = path.strip_prefix("/__model/") {
        return control_answer(&shared, control, &body);
    }
    let parsed = decode(&headers, &body);
    let mut seen = seen(&method, path, &headers, parsed.as_ref().ok());
    let served = match (&method, parsed) {
        (&Method::GET, _) if path.ends_with("/models") => Ok(models(&headers)),
        (&Method::GET | &Method::HEAD, _) if path == "/" => Ok(json!({})),
        (&Method::POST, Ok(_)) if path.ends_with("/responses/compact") => Ok(json!({"output": [{
            "type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "a compacted summary"}],
        }]})),
        (&Method::POST, Ok(_)) if path.ends_with("/messages/count_tokens") => {
            Ok(json!({"input_tokens": (body.len() / 4).max(1)}))
        }
        (&Method::POST, Err(message)) => Err((400, message)),
        (&Method::POST, Ok(body)) => match Wire::of_path(path) {
            Some(wire) => return respond(shared, link, seen, (wire, &headers), &body).await,
            None => Err((404, format!("no such path: {path}"))),
        },
        _ => Err((404, format!("no such path: {path}"))),
    };
    let (status, body) = match served {
        Ok(body) => (200, body),
        Err((status, message)) => (status, json!({"error": {"message": message}})),
    };
    seen.ending = if status == 200 {
        Ending::Finished
    } else {
        Ending::Refused(status)
    };
    shared.ledger.note(seen);
    json_answer(status, &body)
}

/// The list of models, in the form of the provider whose client asks.
fn models(headers: &HeaderMap) -> Value {
    if headers.contains_key("anthropic-version") {
        let model = json!({
            "type": "model", "id": "mock-model", "display_name": "Scripted", "created_at": "2026-01-01T00:00:00Z",
        });
        json!({"data": [model], "has_more": false})
    } else {
        json!({"object": "list", "data": [{"id": "mock-model", "object": "model", "owned_by": "testkit"}]})
    }
}

/// Steers the server from outside of its process. Keys stay inside.
fn control_answer(shared: &Shared, what: &str, body: &[u8]) -> Response {
    #[derive(Deserialize)]
    struct Choice {
        script: String,
    }
    match what {
        "health" => json_answer(200, &json!({"ok": true, "script": shared.ledger.script()})),
        "requests" => json_answer(200, &json!(shared.ledger.requests())),
        "reset" => {
            shared.ledger.forget();
            json_answer(200, &json!({"ok": true}))
        }
        "script" => match serde_json::from_slice::<Choice>(body)
            .map(|choice| choice.script.parse::<Script>())
        {
            Ok(Ok(script)) => {
                shared.ledger.set_script(script);
                json_answer(200, &json!({"ok": true}))
            }
            _ => json_answer(400, &json!({"error": {"message": "no such script"}})),
        },
        _ => json_answer(404, &json!({"error": {"message": "no such path"}})),
    }
}

fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(format!(
            "content-encoding {encoding:?} is not supported: switch request compression off"
        )),
        _ => serde_json::from_slice(body).map_err(|error| format!("body is not JSON: {error}")),
    }
}

fn seen(method: &Method, path: &str, headers: &HeaderMap, body: Option<&Value>) -> SeenRequest {
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    SeenRequest {
        number: 0,
        at: clock::now_micros(),
        method: method.to_string(),
        path: path.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: body.cloned().unwrap_or_default(),
        script: None,
        side: false,
        said: Vec::new(),
        ending: Ending::Open,
    }
}

async fn respond(
    shared: Shared,
    link: Link,
    mut seen: SeenRequest,
    (wire, headers): (Wire, &HeaderMap),
    body: &Value,
) -> Response {
    let chosen = Request::parse(wire, body)
        .map_err(|error| error.to_string())
        .and_then(|request| choose(&shared, headers, request));
    let (request, script) = match chosen {
        Ok(chosen) => chosen,
        Err(message) => {
            seen.ending = Ending::Refused(400);
            shared.ledger.note(seen);
            return json_answer(400, &error_body(wire, &message));
        }
    };
    seen.script = Some(script);
    seen.side = request.side;
    let number = shared.ledger.note(seen);
    let command = marker(request.last_user_text(), "#cmd:", |_| true)
        .or_else(|| shared.options.command.clone());
    let attempt = shared.ledger.count(script, request.turn_key());
    let (sender, out) = mpsc::channel(AHEAD);
    let place = (number, Arc::clone(&shared.ledger));
    let mut reply = Reply::new(
        place,
        request,
        Arc::clone(&shared.options),
        (command, attempt),
        sender,
    );
    let playing = async move {
        let played = scripts::play(script, &mut reply).await;
        reply.finish(played).await;
    };
    let mut performance = Performance {
        playing: Some(playing.boxed()),
        out,
        link,
    };
    match std::future::poll_fn(|cx| performance.poll_next(cx)).await {
        Some(Out::Whole(whole)) => whole_answer(&whole),
        first => streamed(&shared.options, performance, first),
    }
}

fn error_body(wire: Wire, message: &str) -> Value {
    match wire {
        Wire::OpenAi => json!({"error": {"message": message}}),
        Wire::Anthropic => anthropic::error_body("invalid_request_error", message),
    }
}

/// The script for a request. The CLI's own errands get a short text, unless they name a script or the server is set
/// to refuse everything.
fn choose(
    shared: &Shared,
    headers: &HeaderMap,
    mut request: Request,
) -> Result<(Request, Script), String> {
    let marked = marker(request.last_user_text(), "#script:", |c| {
        c.is_ascii_alphanumeric() || c == '_'
    });
    let header = headers
        .get("x-model-script")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let named = marked.or(header);
    request.side &= named.is_none();
    let script = match named {
        Some(name) => name
            .parse()
            .map_err(|error: super::UnknownScript| error.to_string())?,
        None => shared.ledger.script(),
    };
    let script = if request.side && !script.refuses() {
        Script::Text
    } else {
        script
    };
    Ok((request, script))
}

/// What follows `mark` on its line, as far as `allowed`.
fn marker(text: &str, mark: &str, allowed: impl Fn(char) -> bool) -> Option<String> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest
        .find(|c| c == '\n' || !allowed(c))
        .unwrap_or(rest.len());
    Some(rest[..end].trim().to_owned())
}

/// A script and the stream it fills. The script runs while the connection asks for more, so it ends with it.
struct Performance {
    playing: Option<BoxFuture<'static, ()>>,
    out: mpsc::Receiver<Out>,
    link: Link,
}

impl Performance {
    fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Option<Out>> {
        loop {
            if let Poll::Ready(out) = self.out.poll_recv(cx) {
                return Poll::Ready(out);
            }
            let Some(playing) = &mut self.playing else {
                return Poll::Pending;
            };
            match Pin::new(playing).poll(cx) {
                Poll::Ready(()) => self.playing = None,
                // What it sent in this poll wakes the receiver that was polled above.
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_chunk(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, std::convert::Infallible>>> {
        match std::task::ready!(self.poll_next(cx)) {
            Some(Out::Chunk(chunk)) => Poll::Ready(Some(Ok(chunk))),
            Some(Out::Break(how)) => {
                self.link.break_after_flush(how);
                Poll::Pending
            }
            // A stream that has begun can't become another answer.
            Some(Out::Whole(_)) | None => Poll::Ready(None),
        }
    }
}

fn streamed(options: &Options, performance: Performance, first: Option<Out>) -> Response {
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header("x-request-id", "req_model")
        .header("request-id", "req_model");
    for (name, value) in &options.headers {
        response = response.header(name, value);
    }
    let body = Body::from_stream(chunks(performance, first));
    response
        .body(body)
        .expect("header names and values come from the test that set them")
}

fn chunks(
    mut performance: Performance,
    first: Option<Out>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let mut first = match first {
        Some(Out::Chunk(chunk)) => Some(chunk),
        Some(Out::Break(how)) => {
            performance.link.break_after_flush(how);
            None
        }
        Some(Out::Whole(_)) | None => None,
    };
    stream::poll_fn(move |cx| match first.take() {
        Some(chunk) => Poll::Ready(Some(Ok(chunk))),
        None => performance.poll_chunk(cx),
    })
}

fn whole_answer(whole: &Whole) -> Response {
    let mut response = json_answer(whole.status, &whole.body);
    if let Some(seconds) = whole.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn json_answer(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_ends_with_its_line() {
        let text = "do it\n#script:shell please\n#cmd: echo a | cat \nmore";
        assert_eq!(
            marker(text, "#script:", |c| c.is_ascii_alphanumeric() || c == '_').as_deref(),
            Some("shell")
        );
        assert_eq!(
            marker(text, "#cmd:", |_| true).as_deref(),
            Some("echo a | cat")
        );
        assert_eq!(marker("no mark", "#cmd:", |_| true), None);
    }

    #[test]
    fn every_script_is_found_by_its_name() {
        for script in Script::ALL {
            assert_eq!(script.name().parse(), Ok(*script));
        }
    }
}
