//! `/api/tasks/sessions` and its neighbours: which conversations are at hand, and their end.
//!
//! A session is a task whose agent's process is there: it runs a turn, or waits for the next one. To end it gives back the
//! process; the conversation itself stays with the task.

use agent_core::TaskId;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    answer::{self, Refusal},
    cancel::Ids,
    parameters::id,
    routes::App,
};
use crate::runs::{EndSessionError, Session};

#[derive(Serialize)]
struct Sessions {
    total: usize,
    sessions: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    task_id: i64,
    agent_type: &'static str,
    /// Whether its workspace is prepared: it is, or there would be no process.
    pre_executed: bool,
    /// In seconds since 1970.
    created_at: f64,
}

pub(super) async fn list(State(app): State<App>) -> Response {
    let sessions = app.turns.sessions().await;
    let entry = |session: &Session| Entry {
        task_id: session.task.0,
        agent_type: session.agent.shell_type(),
        pre_executed: true,
        created_at: session.since_ms as f64 / 1000.0,
    };
    let sessions: Vec<Entry> = sessions.iter().map(entry).collect();
    let total = sessions.len();
    answer::json(StatusCode::OK, &Sessions { total, sessions })
}

pub(super) async fn delete(
    State(app): State<App>,
    ids: Result<Query<Ids>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(ids) = ids.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let task = id("task_id", ids.task_id)?.map(TaskId);
    let task = task.ok_or_else(|| Refusal::bad_request("query parameter `task_id`: missing"))?;
    match app.turns.end_session(task).await {
        Ok(()) => {
            let message = format!("session of task {task} ended");
            Ok(answer::json(StatusCode::OK, &json!({"message": message})))
        }
        Err(error @ EndSessionError::Unknown) => {
            let detail = format!("task {task}: {error}");
            Err(Refusal::new(StatusCode::NOT_FOUND, detail))
        }
        Err(error @ EndSessionError::Busy) => {
            let detail = format!("task {task}: {error}");
            Err(Refusal::new(StatusCode::CONFLICT, detail))
        }
    }
}

/// Ends Claude Code's sessions.
pub(super) async fn delete_claude(State(app): State<App>) -> Response {
    close(&app, |session| {
        session.agent == agent_core::AgentKind::ClaudeCode
    })
    .await
}

/// Ends every session.
pub(super) async fn delete_all(State(app): State<App>) -> Response {
    close(&app, |_| true).await
}

/// Ends the sessions that `wanted` names. One that is busy goes on, and the answer says so.
async fn close(app: &App, wanted: impl Fn(&Session) -> bool) -> Response {
    let mut ended = 0;
    let mut errors = Map::new();
    for session in app.turns.sessions().await {
        if !wanted(&session) {
            continue;
        }
        match app.turns.end_session(session.task).await {
            Ok(()) => ended += 1,
            Err(EndSessionError::Unknown) => {}
            Err(error @ EndSessionError::Busy) => {
                let name = session.agent.shell_type().to_owned();
                errors.insert(name, Value::from(format!("task {}: {error}", session.task)));
            }
        }
    }
    let mut body = json!({"message": format!("{ended} sessions ended")});
    if !errors.is_empty() {
        body["partial_success"] = json!(true);
        body["error_detail"] = Value::Object(errors);
    }
    answer::json(StatusCode::OK, &body)
}
