//! `POST /api/tasks/execute`: a turn as a flat payload, from Wegent's manager of January 2026 and from sandboxes.

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;

use super::{answer, answer::Refusal, body, release::Connection, responses, routes::App};
use crate::runs::RunStatus;

/// The answer. The manager needs `status`, whatever it says, and takes `success` for the end of the turn.
#[derive(Serialize)]
struct TaskResponse {
    task_id: i64,
    subtask_id: i64,
    status: &'static str,
    message: String,
    progress: u8,
}

pub(super) async fn execute(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = body::read(&head, body, app.limits).await?;
    let rules = app.dispatch.rules;
    let dispatch = body::decoded(body, move |body| wegent_protocol::decode_flat(body, rules))
        .await?
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let accepted = responses::take_over(&app, dispatch).await?;
    let status = accepted.status.as_str();
    let answer = TaskResponse {
        task_id: accepted.key.task.0,
        subtask_id: accepted.key.subtask.0,
        status,
        message: format!("Task execution status  : {status}"),
        progress: progress(accepted.status),
    };
    let response = answer::json(StatusCode::OK, &answer);
    Ok(responses::held(&app, &connection, response, accepted.hold))
}

fn progress(status: RunStatus) -> u8 {
    match status {
        RunStatus::Running => 50,
        RunStatus::Completed => 100,
        RunStatus::Queued | RunStatus::Failed | RunStatus::Cancelled => 0,
    }
}
