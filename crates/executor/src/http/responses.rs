//! `POST /v1/responses`: a turn is dispatched. The answer says only that it was taken over.

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use tracing::{error, info};
use wegent_protocol::{DecodeError, Dispatch, Work};

use super::{
    answer::{self, Refusal},
    body,
    release::{Connection, keep},
    routes::App,
};
use crate::{
    heartbeat::{Bound, HeartbeatKind},
    runs::{Accepted, HoldGuard, SubmitError},
};

/// The answer in the form of an OpenAI response that runs in the background.
#[derive(Serialize)]
struct Dispatched {
    id: String,
    status: &'static str,
    message: String,
}

pub(super) async fn dispatch(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = body::read(&head, body, app.limits).await?;
    let keep = app.dispatch.rerun;
    let dispatch = body::decoded(body, move |body| decode(body, keep))
        .await?
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let background = dispatch.background;
    let accepted = take_over(&app, dispatch).await?;
    let status = accepted.status.as_str();
    let answer = Dispatched {
        id: format!("resp_{}", accepted.key.subtask),
        status: if background { "queued" } else { status },
        message: format!("Task execution status: {status}"),
    };
    let response = answer::json(StatusCode::OK, &answer);
    Ok(held(&app, &connection, response, accepted.hold))
}

/// Decodes a request, and keeps it if it is to be kept and can be run again.
fn decode(body: &[u8], keep: bool) -> Result<Dispatch, DecodeError> {
    let mut dispatch = wegent_protocol::decode(body)?;
    if keep && dispatch.needs_no_secrets() {
        dispatch.request = serde_json::from_slice(body).ok();
    }
    Ok(dispatch)
}

/// Takes a turn over, in the form of callbacks that the configuration wants.
pub(super) async fn take_over(app: &App, mut dispatch: Dispatch) -> Result<Accepted, Refusal> {
    if let Some(forced) = app.dispatch.protocol {
        dispatch.protocol = forced;
    }
    // Before the turn is taken over: in a warm pool the executor is the first task's for good.
    bind(app, &dispatch)?;
    let accepted = app.turns.submit(dispatch).await.map_err(refused)?;
    info!(
        task_id = accepted.key.task.0,
        subtask_id = accepted.key.subtask.0,
        status = accepted.status.as_str(),
        "dispatched"
    );
    Ok(accepted)
}

/// The answer to a dispatch; `hold` is released when it has been written out.
pub(super) fn held(
    app: &App,
    connection: &Connection,
    response: Response,
    hold: Option<HoldGuard>,
) -> Response {
    let Some(hold) = hold else {
        return response;
    };
    let (ticket, keeper) = keep(hold);
    app.background.spawn(keeper);
    response.map(|body| connection.hold(ticket, body))
}

fn bind(app: &App, dispatch: &Dispatch) -> Result<(), Refusal> {
    // An image's validation is nobody's task; its number may be another one's.
    if matches!(dispatch.work, Work::Validation(_)) {
        return Ok(());
    }
    let wanted = Bound {
        id: dispatch.key.task.into(),
        kind: HeartbeatKind::Task,
    };
    app.binding
        .serve(wanted)
        .map_err(|conflict| Refusal::new(StatusCode::CONFLICT, conflict.to_string()))
}

fn refused(error: SubmitError) -> Refusal {
    let status = match &error {
        SubmitError::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
        SubmitError::Journal(cause) => {
            error!(error = %cause, "the journal can't be written");
            StatusCode::SERVICE_UNAVAILABLE
        }
        SubmitError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}
