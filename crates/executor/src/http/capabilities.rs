//! `GET /v1/capabilities`.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing::get};

use super::answer;
use crate::capabilities::Capabilities;

/// The route that tells what the executor can do.
pub fn routes(capabilities: Capabilities) -> Router {
    let capabilities = Arc::new(capabilities);
    let tell = move || async move { answer::json(StatusCode::OK, &*capabilities) };
    Router::new().route("/v1/capabilities", get(tell))
}
