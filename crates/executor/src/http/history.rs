//! `GET /v1/tasks` and `GET /v1/tasks/{task}/{subtask}/events`: what turns there are, and what happened in one.
//!
//! Events come as a page of JSON, or as a stream (SSE) that goes on until the turn's end. A stream's ids name the attempt
//! too, so that a client that connects again (`Last-Event-ID`) goes on where it was even if there is a new attempt by then.

use std::{sync::Arc, time::Duration};

use agent_core::{Attempt, SubtaskId, TaskId, TurnKey};
use axum::{
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tracing::error;

use super::{
    answer::{self, Refusal},
    parameters::{count, id, id_in_path},
    routes::App,
};
use crate::runs::{Entry, History, HistoryError, Part, TurnView};

/// The most events of a page, and how many it has unless the request says otherwise.
const PAGE: usize = 1000;
/// How many turns a list has at most: the latest.
const LIST: usize = 1000;
/// How many streams there may be at once. Fewer than connections, so that none of them keeps a cancel out.
const STREAMS: usize = 32;
/// How often a stream shows that it is alive when there is nothing to tell.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The header with which a client says where its stream broke off.
const LAST_EVENT_ID: &str = "last-event-id";

/// How many streams may still be begun. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    task: Option<String>,
}

#[derive(Serialize)]
struct Turns {
    turns: Vec<TurnView>,
}

/// The latest attempt of every turn that is known, the latest turn first.
pub(super) async fn turns(
    State(app): State<App>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let task = id("task", query.task)?.map(TaskId);
    let mut turns = app.turns.turns().await;
    turns.retain(|turn| task.is_none_or(|task| task == turn.task));
    turns.sort_by_key(|turn| std::cmp::Reverse(turn.started_at_ms));
    turns.truncate(LIST);
    Ok(answer::json(StatusCode::OK, &Turns { turns }))
}

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    after: Option<String>,
    attempt: Option<String>,
    limit: Option<String>,
}

/// A page of a turn's events.
#[derive(Serialize)]
struct Page<'a> {
    turn: &'a TurnView,
    events: Vec<Entry>,
    /// Whether there is more already.
    more: bool,
}

pub(super) async fn events(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Path((task, subtask)) = path.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let Query(query) = query.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let key = TurnKey {
        task: TaskId(id_in_path("task", task)?),
        subtask: SubtaskId(id_in_path("subtask", subtask)?),
    };
    let limit = count("limit", query.limit)?.unwrap_or(PAGE).clamp(1, PAGE);
    let mut attempt = count("attempt", query.attempt)?.map(Attempt);
    let mut after = count("after", query.after)?.unwrap_or(0);
    if let Some(last) = last_event_id(&headers)? {
        (attempt, after) = (Some(last.0), last.1);
    }
    let history = app.turns.history(key, attempt, after).await;
    let mut history = history.map_err(|error| refused(key, &error))?;
    if wants_stream(&headers) {
        return stream(&app.streams, history);
    }
    let events = history
        .read(limit)
        .map_err(|error| refused(key, &error.into()))?;
    let page = Page {
        turn: history.view(),
        more: events.len() >= limit,
        events,
    };
    Ok(answer::json(StatusCode::OK, &page))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

/// The attempt and the number of the last event that the client had.
fn last_event_id(headers: &HeaderMap) -> Result<Option<(Attempt, u64)>, Refusal> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| {
        let (attempt, seq) = text.trim().split_once('-')?;
        Some((Attempt(attempt.parse().ok()?), seq.parse().ok()?))
    });
    let wrong = || Refusal::bad_request("Last-Event-ID: expected the id of an event, `1-17`");
    parsed.map(Some).ok_or_else(wrong)
}

fn refused(key: TurnKey, problem: &HistoryError) -> Refusal {
    let (task, subtask) = (key.task, key.subtask);
    let status = match problem {
        HistoryError::Unknown => StatusCode::NOT_FOUND,
        HistoryError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        HistoryError::Journal(_) | HistoryError::Store(_) => {
            error!(%key, error = agent_core::error_chain(problem), "a turn's journal can't be read");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    Refusal::new(
        status,
        format!("subtask {subtask} of task {task}: {problem}"),
    )
}

/// What a stream is made of.
struct Stream {
    history: History,
    /// What goes first.
    head: Option<Bytes>,
    _slot: OwnedSemaphorePermit,
}

fn stream(streams: &Streams, history: History) -> Result<Response, Refusal> {
    if history.is_over() {
        // By this a browser knows not to connect again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let slot = streams.0.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS} streams of events are open already");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let mut head = Vec::new();
    write(&mut head, None, "turn", history.view());
    let stream = Stream {
        history,
        head: Some(head.into()),
        _slot: slot,
    };
    let chunks = futures::stream::unfold(stream, async |mut stream| {
        let chunk = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), stream))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

impl Stream {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        match timeout(KEEP_ALIVE, self.history.next()).await {
            Err(_) => Some(Bytes::from_static(b":\n\n")),
            Ok(Ok(part)) => part.map(|part| self.written(&part)),
            Ok(Err(error)) => {
                let view = self.history.view();
                error!(task = %view.task, subtask = %view.subtask, error = agent_core::error_chain(&error), "a turn's journal can't be read");
                None
            }
        }
    }

    fn written(&self, part: &Part) -> Bytes {
        #[derive(Serialize)]
        struct Delivered {
            through: u64,
        }
        let attempt = self.history.attempt();
        let mut out = Vec::new();
        for entry in &part.events {
            let id = format!("{attempt}-{}", entry.seq);
            write(&mut out, Some(&id), &entry.kind, entry);
        }
        if let Some(through) = part.delivered {
            write(&mut out, None, "delivered", &Delivered { through });
        }
        out.into()
    }
}

/// One event of a stream. JSON has no line breaks of its own.
fn write(out: &mut Vec<u8>, id: Option<&str>, event: &str, data: &impl Serialize) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
    serde_json::to_writer(&mut *out, data).expect("our events have text keys and no failing parts");
    out.extend_from_slice(b"\n\n");
}
