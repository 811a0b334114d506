//! The files that a person attached.

use std::path::PathBuf;

use agent_core::{Attachment, AttachmentState, SubtaskId};

use super::{
    DecodeError,
    mcp::present,
    wire::{self, Metadata},
};

/// The attachments of a request. One that names no message belongs to the person's, else to the one that answers.
pub(super) fn attachments(
    metadata: &mut Metadata,
    answer: SubtaskId,
) -> Result<Vec<Attachment>, DecodeError> {
    let message = metadata
        .user_subtask_id
        .map_or(answer, |subtask| SubtaskId(subtask.0));
    metadata
        .attachments
        .take()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, attachment)| convert(index, attachment, message))
        .collect()
}

fn convert(
    index: usize,
    attachment: wire::Attachment,
    message: SubtaskId,
) -> Result<Attachment, DecodeError> {
    let id = attachment
        .id
        .ok_or_else(|| DecodeError::missing(format!("metadata.attachments[{index}].id")))?;
    let error = present(attachment.error);
    let failed = attachment.status.as_deref() == Some("failed");
    let state = match (error, present(attachment.local_path)) {
        (Some(error), _) => AttachmentState::Failed(error),
        (None, _) if failed => AttachmentState::Failed("unknown error".to_owned()),
        (None, Some(path)) => AttachmentState::Local(PathBuf::from(path)),
        (None, None) => AttachmentState::Wanted,
    };
    Ok(Attachment {
        id: id.0,
        filename: attachment.original_filename.unwrap_or_default(),
        mime_type: present(attachment.mime_type),
        size: attachment.file_size.and_then(|size| size.0.try_into().ok()),
        subtask: attachment
            .subtask_id
            .map_or(message, |subtask| SubtaskId(subtask.0)),
        state,
    })
}
