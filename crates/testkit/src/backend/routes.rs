//! The HTTP side of the fake.

use std::{convert::Infallible, sync::Arc, task::Poll, time::Instant};

use axum::{
    Router,
    body::{self, Body},
    extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State as Shared},
    http::{StatusCode, header},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};

use super::{
    Fault,
    state::{Heartbeat, State},
};
use crate::{
    Answered, Callback, callback, clock,
    http::{Break, Link},
};

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/executor-manager/callback", post(callback))
        .route("/executor-manager/{kind}/{id}/heartbeat", post(heartbeat))
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn callback(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(link): ConnectInfo<Link>,
    request: Request,
) -> Response {
    state.started(Instant::now());
    let started = clock::now_micros();
    state.unblocked().await;
    let (head, body) = request.into_parts();
    let Ok(raw) = body::to_bytes(body, usize::MAX).await else {
        return answer(
            StatusCode::BAD_REQUEST,
            &json!({"detail": "body broke off"}),
        );
    };
    let headers = head.headers.iter().map(|(name, value)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let (number, fault) = state.arrived(Callback {
        number: 0,
        started,
        arrived: clock::now_micros(),
        headers: headers.collect(),
        body: serde_json::from_slice(&raw).unwrap_or_default(),
        digest: callback::digest(&raw),
        answered: Answered::Open,
        shown: false,
    });
    let response = treat(&state, &link, number, fault).await;
    // A manager that began to wait for a cancel meanwhile does not get to write this answer.
    state.unblocked().await;
    response
}

async fn treat(state: &State, link: &Link, number: u64, fault: Option<Fault>) -> Response {
    match fault {
        None => taken(state, number),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            taken(state, number)
        }
        Some(Fault::Status(status)) => {
            state.answered(number, Answered::Status(status), false);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            answer(status, &json!({"detail": "refused on purpose"}))
        }
        Some(Fault::Busy(status, seconds)) => {
            state.answered(number, Answered::Status(status), false);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let mut answer = answer(status, &json!({"detail": "busy on purpose"}));
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
            answer
        }
        Some(Fault::Rejected) => {
            state.answered(number, Answered::Status(200), false);
            success()
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => {
            state.answered(number, Answered::Lost, false);
            link.break_now(Break::Reset);
            std::future::pending().await
        }
        Some(Fault::Unanswered) => {
            state.answered(number, Answered::Lost, true);
            link.break_now(Break::Reset);
            std::future::pending().await
        }
        Some(Fault::LoseAnswer) => {
            state.answered(number, Answered::Lost, true);
            half_an_answer(link.clone())
        }
    }
}

fn taken(state: &State, number: u64) -> Response {
    state.answered(number, Answered::Status(200), true);
    success()
}

async fn heartbeat(
    Shared(state): Shared<Arc<State>>,
    Path((kind, id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    state.unblocked().await;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    state.beat(Heartbeat {
        at: clock::now_micros(),
        kind,
        id,
        body,
    });
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

fn success() -> Response {
    answer(
        StatusCode::OK,
        &json!({"status": "success", "message": "Successfully forwarded callback"}),
    )
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// An answer whose body ends, with its connection, after a few of the bytes announced.
fn half_an_answer(link: Link) -> Response {
    let mut first = Some(Bytes::from_static(b"{\"status\":"));
    let body = stream::poll_fn(move |_| match first.take() {
        Some(bytes) => Poll::Ready(Some(Ok::<_, Infallible>(bytes))),
        None => {
            link.break_after_flush(Break::Reset);
            Poll::Pending
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(
        header::CONTENT_LENGTH,
        header::HeaderValue::from_static("64"),
    );
    response
}
