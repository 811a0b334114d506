//! `metadata.interactive_form_answer`: what the person filled in.

use agent_core::{AnswerStatus, AnswerValue, FORM_TOOL, FormAnswer, SubtaskId, TaskId, ToolCallId};

use super::{DecodeError, lenient::TextOrTexts, mcp::present, wire};

const FIELD: &str = "metadata.interactive_form_answer";

/// The answer, if the request brings one.
pub(super) fn answer(wire: Option<wire::FormAnswer>) -> Result<Option<FormAnswer>, DecodeError> {
    let Some(wire) = wire else {
        return Ok(None);
    };
    let call = present(wire.tool_use_id)
        .and_then(|id| ToolCallId::new(id).ok())
        .ok_or_else(|| DecodeError::missing(format!("{FIELD}.tool_use_id")))?;
    let value = |value| match value {
        TextOrTexts::One(value) => AnswerValue::One(value),
        TextOrTexts::Several(values) => AnswerValue::Several(values),
    };
    let answers = wire.answers.into_iter().flatten();
    Ok(Some(FormAnswer {
        kind: present(wire.kind).unwrap_or_else(|| FORM_TOOL.to_owned()),
        call,
        task: wire.task_id.map(|id| TaskId(id.0)),
        subtask: wire.subtask_id.map(|id| SubtaskId(id.0)),
        status: status(present(wire.status).as_deref(), wire.success)?,
        // A field that was left empty has no answer.
        answers: answers
            .filter_map(|(field, given)| Some((field, value(given?))))
            .collect(),
        message: present(wire.message),
    }))
}

/// The status goes before `success`; without either the form was answered, or it would not have been sent.
fn status(status: Option<&str>, success: Option<bool>) -> Result<AnswerStatus, DecodeError> {
    match (status, success) {
        (Some("answered" | "submitted"), _) | (None, None | Some(true)) => {
            Ok(AnswerStatus::Answered)
        }
        (Some("cancelled" | "canceled"), _) | (None, Some(false)) => Ok(AnswerStatus::Cancelled),
        (Some(_), _) => Err(DecodeError::field(
            format!("{FIELD}.status"),
            "expected `answered` or `cancelled`",
        )),
    }
}
