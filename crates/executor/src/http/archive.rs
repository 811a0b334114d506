//! `POST /api/archive` and `/api/restore`: a task leaves its container, and comes into another one.

use agent_core::{TaskId, error_chain};
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use http_client::HttpUrl;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use workspace_files::{PackError, UnpackError};

use super::{
    answer::{self, Refusal},
    body,
};
use crate::archives::{ArchiveError, Archives, Runtime};

/// The largest archive unless another size is asked for, in MiB.
const USUAL_LIMIT_MB: u64 = 2048;
/// The longest body of a request.
const LONGEST_BODY: usize = 1 << 20;

#[derive(Deserialize)]
struct ArchiveRequest {
    task_id: i64,
    upload_url: String,
    max_size_mb: Option<u64>,
    runtime_type: Option<String>,
}

#[derive(Serialize)]
struct ArchiveAnswer {
    task_id: i64,
    size_bytes: u64,
    session_file_included: bool,
    git_included: bool,
}

#[derive(Deserialize)]
struct RestoreRequest {
    task_id: i64,
    download_url: String,
    runtime_type: Option<String>,
}

#[derive(Serialize)]
struct RestoreAnswer {
    success: bool,
    session_restored: bool,
    git_restored: bool,
}

impl Archives {
    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/api/archive", post(archive))
            .route("/api/restore", post(restore))
            .with_state(self)
    }
}

async fn archive(State(archives): State<Archives>, request: Request) -> Result<Response, Refusal> {
    let asked: ArchiveRequest = body::json(request, LONGEST_BODY).await?;
    let runtime = runtime(asked.runtime_type.as_deref())?;
    let url = url("upload_url", &asked.upload_url)?;
    let limit = asked
        .max_size_mb
        .unwrap_or(USUAL_LIMIT_MB)
        .saturating_mul(1 << 20);
    let task = TaskId(asked.task_id);
    let packed = archives
        .archive(task, runtime, limit, &url)
        .await
        .map_err(refused)?;
    info!(
        task_id = task.0,
        bytes = packed.size,
        members = packed.members,
        "archived"
    );
    let answer = ArchiveAnswer {
        task_id: task.0,
        size_bytes: packed.size,
        session_file_included: packed.conversation,
        git_included: packed.repository,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

async fn restore(State(archives): State<Archives>, request: Request) -> Result<Response, Refusal> {
    let asked: RestoreRequest = body::json(request, LONGEST_BODY).await?;
    let runtime = runtime(asked.runtime_type.as_deref())?;
    let url = url("download_url", &asked.download_url)?;
    let task = TaskId(asked.task_id);
    let unpacked = archives
        .restore(task, runtime, &url)
        .await
        .map_err(refused)?;
    let (members, skipped) = (unpacked.members, unpacked.skipped);
    info!(task_id = task.0, members, skipped, "restored");
    let answer = RestoreAnswer {
        success: true,
        session_restored: unpacked.conversation,
        git_restored: unpacked.repository,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

fn runtime(named: Option<&str>) -> Result<Runtime, Refusal> {
    match named.unwrap_or("executor") {
        "executor" => Ok(Runtime::Executor),
        "sandbox" => Ok(Runtime::Sandbox),
        _ => {
            let detail = "runtime_type: expected `executor` or `sandbox`";
            Err(Refusal::bad_request(detail))
        }
    }
}

/// The value isn't repeated: it is as good as a key.
fn url(field: &str, text: &str) -> Result<HttpUrl, Refusal> {
    HttpUrl::parse(text).map_err(|error| Refusal::bad_request(format!("{field}: {error}")))
}

fn refused(error: ArchiveError) -> Refusal {
    let status = match &error {
        ArchiveError::Nothing(_) => StatusCode::NOT_FOUND,
        ArchiveError::Pack(PackError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        ArchiveError::Transfer { .. } => StatusCode::BAD_GATEWAY,
        ArchiveError::Unpack(UnpackError::NoRoom { .. }) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let detail = error_chain(&error);
    warn!(%status, error = detail, "a task can't be archived or restored");
    Refusal::new(status, detail)
}
