//! What the platform wants to be there before a turn: attachments and skills, asked for by flat payloads.

use agent_core::{Attachment, Skills, SubtaskId, TaskId, downloads::Access};

use super::{
    DecodeError, attachments::attachments, flat::value, mcp::present, responses, skills::skills,
    wire::Metadata,
};

/// The body of `POST /v1/attachments/sync`.
#[derive(Clone, Debug)]
pub struct AttachmentSync {
    /// The task.
    pub task: TaskId,
    /// The turn that is to come.
    pub subtask: SubtaskId,
    /// What is to be fetched, or was.
    pub attachments: Vec<Attachment>,
    /// How the backend is asked; `None` without a token.
    pub access: Option<Access>,
}

/// The body of `POST /v1/skills/sync`.
#[derive(Clone, Debug)]
pub struct SkillSync {
    /// The skills, in their order.
    pub skills: Skills,
    /// How the backend is asked; `None` without a token.
    pub access: Option<Access>,
}

/// Decodes the body of `POST /v1/attachments/sync`.
///
/// # Errors
/// [`DecodeError`] naming what can't be read.
pub fn decode_attachment_sync(body: &[u8]) -> Result<AttachmentSync, DecodeError> {
    let mut metadata: Metadata = responses::typed(&value(body)?)?;
    let missing = |path: &str| DecodeError::missing(path);
    let task = TaskId(metadata.task_id.ok_or_else(|| missing("task_id"))?.0);
    let subtask = metadata.subtask_id.ok_or_else(|| missing("subtask_id"))?;
    let subtask = SubtaskId(subtask.0);
    let attachments = attachments(&mut metadata, subtask).map_err(DecodeError::at_the_top)?;
    Ok(AttachmentSync {
        task,
        subtask,
        attachments,
        access: access(metadata, task),
    })
}

/// Decodes the body of `POST /v1/skills/sync`. The skills of all bots count: whoever asks has put them there.
///
/// # Errors
/// [`DecodeError`] naming what can't be read.
pub fn decode_skill_sync(body: &[u8]) -> Result<SkillSync, DecodeError> {
    let mut metadata: Metadata = responses::typed(&value(body)?)?;
    let task = metadata
        .task_id
        .ok_or_else(|| DecodeError::missing("task_id"))?;
    let mut bots = metadata.bot.take().map(|bots| bots.0).unwrap_or_default();
    let skills = skills(&mut bots, &mut metadata);
    Ok(SkillSync {
        skills,
        access: access(metadata, TaskId(task.0)),
    })
}

fn access(metadata: Metadata, task: TaskId) -> Option<Access> {
    Some(Access {
        task,
        token: metadata.auth_token?,
        backend_url: present(metadata.backend_url),
    })
}
