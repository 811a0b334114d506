//! Cumulative callbacks as they stand on the wire.

use serde::Serialize;
use serde_json::value::RawValue;

use super::workbench::Workbench;

/// One callback. What is not known is left out: the backend takes `null` for a value.
#[derive(Serialize)]
pub(super) struct Callback<'a> {
    pub(super) task_id: i64,
    pub(super) subtask_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subtask_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executor_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executor_namespace: Option<&'a str>,
    pub(super) progress: u8,
    pub(super) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<ResultBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_type: Option<String>,
}

/// The states that the backend takes; it refuses every other word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    pub(super) fn is_terminal(self) -> bool {
        self != Self::Running
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// The result so far. `error` is there only in a failed turn: the web interface shows an error wherever the key is.
#[derive(Default, Serialize)]
pub(super) struct ResultBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shell_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resume_session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workbench: Option<Workbench<'a>>,
    /// New events, which the backend appends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) codex_event: Option<&'a [Box<RawValue>]>,
    /// All events; the backend takes them for its own if they are not fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) codex_events: Option<&'a [Box<RawValue>]>,
    /// How far an image's validation is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<&'static str>,
    /// Which validation it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation_id: Option<&'a str>,
    /// What is looked at; all at once, so that it is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current_check: Option<()>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation_result: Option<Box<RawValue>>,
}
