//! `POST /v1/runtime/bind`: an executor that was started ahead of its task or sandbox learns whose it is.

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{
    answer::{self, Refusal},
    body,
};
use crate::heartbeat::{BindError, Binding, Bound, HeartbeatId, HeartbeatKind};

/// The longest body of a request.
const LONGEST_BODY: usize = 64 << 10;

/// The route.
pub fn routes(binding: Binding) -> Router {
    Router::new()
        .route("/v1/runtime/bind", post(bind))
        .with_state(binding)
}

/// Ids come as text, or, from those who mean a task, as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
struct Asked {
    heartbeat_id: Option<Id>,
    heartbeat_type: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    heartbeat_id: &'a str,
    heartbeat_type: HeartbeatKind,
}

async fn bind(State(binding): State<Binding>, request: Request) -> Result<Response, Refusal> {
    let asked: Asked = body::json(request, LONGEST_BODY).await?;
    let id = match asked.heartbeat_id {
        Some(Id::Text(id)) => HeartbeatId::new(id.trim()),
        Some(Id::Number(id)) => HeartbeatId::new(id.to_string()),
        None => None,
    };
    let id = id.ok_or_else(|| Refusal::bad_request("heartbeat_id: missing"))?;
    let kind = asked.heartbeat_type.as_deref().unwrap_or_default();
    let kind = HeartbeatKind::parse(kind.trim())
        .ok_or_else(|| Refusal::bad_request("heartbeat_type: expected `task` or `sandbox`"))?;
    let bound = Bound { id, kind };
    binding.bind(bound.clone()).map_err(|error| {
        let status = match error {
            BindError::Conflict(_) | BindError::NotEnabled => StatusCode::CONFLICT,
            BindError::NoEndpoint => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, error.to_string())
    })?;
    info!(%bound, "bound");
    let answer = Answer {
        success: true,
        heartbeat_id: bound.id.as_str(),
        heartbeat_type: bound.kind,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}
