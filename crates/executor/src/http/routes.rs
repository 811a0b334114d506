//! Which route is whose.

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    response::Response,
    routing::{delete, get, post},
};
use serde::Serialize;

use super::{
    answer::{self, Refusal},
    background::Background,
    body::BodyLimits,
    cancel, execute,
    history::{self, Streams},
    responses, sessions,
};
use crate::{config::DispatchConfig, heartbeat::Binding, runs::Turns};

/// What handlers have.
#[derive(Clone)]
pub(super) struct App {
    pub(super) turns: Arc<dyn Turns>,
    pub(super) binding: Binding,
    pub(super) limits: BodyLimits,
    pub(super) dispatch: DispatchConfig,
    pub(super) background: Background,
    pub(super) streams: Streams,
}

pub(super) fn router(app: App, more: Router) -> Router {
    Router::new()
        .route("/", get(healthy))
        .route("/ready", get(ready))
        .route("/health", get(StatusCode::NO_CONTENT))
        .route("/v1/responses", post(responses::dispatch))
        .route("/v1/tasks", get(history::turns))
        .route("/v1/tasks/{task}/{subtask}/events", get(history::events))
        .route("/api/tasks/execute", post(execute::execute))
        .route("/api/tasks/sessions", get(sessions::list))
        .route("/api/tasks/session", delete(sessions::delete))
        .route(
            "/api/tasks/claude/sessions",
            delete(sessions::delete_claude),
        )
        .route("/api/tasks/sessions/close", delete(sessions::delete_all))
        .route("/api/tasks/cancel", post(cancel::cancel))
        .with_state(app)
        .merge(more)
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "Not Found"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    service: &'static str,
}

/// What Wegent's manager and its sandboxes look for.
async fn healthy() -> Response {
    health("healthy")
}

/// Whoever can be reached is ready. Wegent's manager would take any status below 500.
async fn ready() -> Response {
    health("ready")
}

fn health(status: &'static str) -> Response {
    let service = "task_executor";
    answer::json(StatusCode::OK, &Health { status, service })
}
