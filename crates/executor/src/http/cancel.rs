//! `POST /api/tasks/cancel`: what runs of a task is ended.

use agent_core::{SubtaskId, TaskId};
use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::info;

use super::{
    answer::{self, Refusal},
    parameters::id,
    release::{Connection, Ticket, keep},
    routes::App,
};
use crate::runs::{CancelError, Cancelled};

/// The query as it comes: Wegent's manager leaves `subtask_id` out when it means the whole task.
#[derive(Deserialize)]
pub(super) struct Ids {
    pub(super) task_id: Option<String>,
    subtask_id: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    task_id: String,
    subtask_id: Option<String>,
}

pub(super) async fn cancel(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    ids: Result<Query<Ids>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(ids) = ids.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let task = id("task_id", ids.task_id)?.map(TaskId);
    let task = task.ok_or_else(|| Refusal::bad_request("query parameter `task_id`: missing"))?;
    let subtask = id("subtask_id", ids.subtask_id)?.map(SubtaskId);
    match begin(&app, task, subtask).await {
        Ok(Ok(ticket)) => {
            let answer = Answer {
                status: "success",
                task_id: task.to_string(),
                subtask_id: subtask.map(|subtask| subtask.to_string()),
            };
            let response = answer::json(StatusCode::OK, &answer);
            Ok(response.map(|body| connection.hold(ticket, body)))
        }
        Ok(Err(CancelError::NothingRunning)) => {
            let detail = format!("task {task} is not running");
            Err(Refusal::new(StatusCode::NOT_FOUND, detail))
        }
        // The cancel panicked, or the server ended.
        Err(_) => Err(Refusal::internal()),
    }
}

/// Begins the cancel as work of the server's: it goes on if the caller hangs up, and then releases its hold
/// when it is done.
fn begin(
    app: &App,
    task: TaskId,
    subtask: Option<SubtaskId>,
) -> oneshot::Receiver<Result<Ticket, CancelError>> {
    let (answer, answered) = oneshot::channel();
    let turns = app.turns.clone();
    app.background.spawn(async move {
        match turns.cancel(task, subtask).await {
            Ok(Cancelled { keys, hold }) => {
                info!(task_id = task.0, turns = keys.len(), "cancelled");
                let (ticket, keeper) = keep(hold);
                // A caller that is gone leaves the ticket here, where it is dropped.
                let _ = answer.send(Ok(ticket));
                keeper.await;
            }
            Err(error) => {
                let _ = answer.send(Err(error));
            }
        }
    });
    answered
}
