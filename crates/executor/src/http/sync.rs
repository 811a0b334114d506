//! `POST /v1/attachments/sync` and `/v1/skills/sync`: what a turn will need is fetched before it comes.

use std::{path::PathBuf, sync::Arc};

use agent_core::{
    SkillsFolder, TaskId,
    attachments::{self, Delivery},
    downloads::Downloads,
    skills,
};
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::info;

use super::{
    answer::{self, Refusal},
    body,
};

/// The longest body of a request: it names files, and has none.
const LONGEST_BODY: usize = 16 << 20;

/// Fetches what turns will need.
#[derive(Clone, Debug)]
pub struct Syncing {
    /// Wegent's backend.
    pub downloads: Arc<dyn Downloads>,
    /// Holds a folder per task.
    pub workspace_root: PathBuf,
    /// Where skills go. `None` where the user has no home.
    pub skills_folder: Option<PathBuf>,
    /// How skills are fetched.
    pub skill_limits: skills::Limits,
}

impl Syncing {
    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/v1/attachments/sync", post(sync_attachments))
            .route("/v1/skills/sync", post(sync_skills))
            .with_state(self)
    }
}

#[derive(Serialize)]
struct AttachmentsAnswer {
    task_id: i64,
    subtask_id: i64,
    attachments: Vec<AttachmentAnswer>,
    success_count: usize,
    failed_count: usize,
}

#[derive(Serialize)]
struct AttachmentAnswer {
    id: i64,
    status: &'static str,
    original_filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtask_id: Option<i64>,
}

impl From<Delivery> for AttachmentAnswer {
    fn from(delivery: Delivery) -> Self {
        let attachment = delivery.attachment;
        let failed = Self {
            id: attachment.id,
            status: "failed",
            original_filename: attachment.filename,
            local_path: None,
            error: None,
            mime_type: None,
            file_size: None,
            subtask_id: None,
        };
        match delivery.result {
            Ok(local) => Self {
                status: "success",
                local_path: Some(local.path.display().to_string()),
                mime_type: attachment.mime_type,
                file_size: Some(local.size),
                subtask_id: Some(attachment.subtask.0),
                ..failed
            },
            Err(error) => Self {
                error: Some(error),
                ..failed
            },
        }
    }
}

/// A file that can't be had is no failure of the request: whoever asked tells the person.
async fn sync_attachments(
    State(syncing): State<Syncing>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body::small(request, LONGEST_BODY).await?;
    let sync = wegent_protocol::decode_attachment_sync(&body)
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let folder = syncing.folder(sync.task);
    let delivered = attachments::fetch(
        &sync.attachments,
        sync.task,
        &folder,
        syncing.downloads.as_ref(),
        sync.access.as_ref(),
        attachments::Limits::default(),
    );
    let delivered = Box::pin(delivered).await;
    let (all, failed) = (
        delivered.len(),
        delivered.iter().filter(|one| one.result.is_err()).count(),
    );
    info!(
        task_id = sync.task.0,
        all, failed, "attachments fetched ahead"
    );
    let answer = AttachmentsAnswer {
        task_id: sync.task.0,
        subtask_id: sync.subtask.0,
        attachments: delivered.into_iter().map(Into::into).collect(),
        success_count: all - failed,
        failed_count: failed,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

#[derive(Serialize)]
struct SkillsAnswer {
    success: bool,
    skill_count: usize,
    success_count: usize,
    success_skills: Vec<String>,
    failed_skills: Vec<String>,
    failed_skill_reasons: Map<String, Value>,
    required_skills: Vec<String>,
    skills_dir: String,
}

async fn sync_skills(
    State(syncing): State<Syncing>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body::small(request, LONGEST_BODY).await?;
    let sync = wegent_protocol::decode_skill_sync(&body)
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let path = syncing.skills_folder.clone().ok_or_else(|| {
        let detail = "HOME is not set, so there is no folder for skills";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    let skills_dir = path.display().to_string();
    // Others may have put skills there too; they stay.
    let place = SkillsFolder {
        path,
        exclusive: false,
    };
    let (skills, access) = (&sync.skills, sync.access.as_ref());
    let downloads = syncing.downloads.as_ref();
    let deployed = skills::deploy(skills, &place, downloads, access, syncing.skill_limits);
    let report = Box::pin(deployed).await;
    report
        .check_required(skills)
        .map_err(|missing| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, missing.to_string()))?;
    let reasons = report.failed.iter();
    let answer = SkillsAnswer {
        success: true,
        skill_count: skills.offered.len(),
        success_count: report.deployed.len(),
        failed_skills: reasons
            .clone()
            .map(|failure| failure.name.clone())
            .collect(),
        failed_skill_reasons: reasons
            .map(|failure| (failure.name.clone(), failure.reason.clone().into()))
            .collect(),
        success_skills: report.deployed,
        required_skills: skills.required.clone(),
        skills_dir,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

impl Syncing {
    fn folder(&self, task: TaskId) -> PathBuf {
        self.workspace_root.join(task.to_string())
    }
}
