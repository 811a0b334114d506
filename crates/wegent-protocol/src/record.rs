//! What the executor writes down of a turn: the records from which every callback is made.
//!
//! A turn's records are [`RecordBody::Begun`], then any number of events, changes and gaps, then one
//! [`RecordBody::Ended`]. They hold redacted values only; reading a journal back is the one other way
//! to get a [`Redacted`] value.

use agent_core::{
    AgentEvent, AgentKind, Attempt, CancelReason, CleanUp, ErrorClass, FileChanges, SessionRef,
    StopReason, ToolCallId, TurnKey, Usage, redaction::Redacted,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Dispatch, Envelope, Fingerprint, Protocol, Work};

/// One record of a turn, with the time at which it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// When, in milliseconds since 1970. Encoders take every time from here, never from a clock.
    pub at_ms: u64,
    /// What.
    pub body: RecordBody,
}

/// What a [`TurnRecord`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", content = "data", rename_all = "snake_case")]
pub enum RecordBody {
    /// The turn began. Always the first record.
    Begun(Box<Redacted<TurnHeader>>),
    /// Something happened.
    Event(Redacted<AgentEvent>),
    /// What has changed in the workspace so far. Only recorded where callbacks tell of it before the end.
    Changes(Box<Redacted<FileChanges>>),
    /// Events could not be kept.
    Gap {
        /// How many.
        dropped: u64,
    },
    /// The turn is over. Always the last record.
    Ended(Box<Redacted<TurnEnd>>),
}

/// The facts of a turn that its callbacks repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnHeader {
    /// Which turn of which task.
    pub key: TurnKey,
    /// Which run of it.
    pub attempt: Attempt,
    /// Who runs it; `None` if nobody does (an unknown shell, an image validation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentKind>,
    /// What the callbacks echo of the request.
    pub envelope: Envelope,
    /// In which form the callbacks go out. In the journal, so that a restart goes on in the same.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where the callbacks go; `None` drops them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Which request this was.
    pub fingerprint: Fingerprint,
    /// `response.id` of the callbacks.
    pub response_id: String,
    /// When the turn began, in seconds since 1970.
    pub created_at: u64,
    /// The request itself, without its secrets, where the turn is to be run again after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<Value>>,
}

impl TurnHeader {
    /// The header of a dispatched turn.
    pub fn new(
        dispatch: &Dispatch,
        attempt: Attempt,
        callback_url: Option<String>,
        created_at: u64,
    ) -> Self {
        Self {
            key: dispatch.key,
            attempt,
            agent: match &dispatch.work {
                Work::Turn(turn) => Some(turn.agent),
                Work::Validation(_) | Work::UnknownAgent(_) | Work::Refused(_) => None,
            },
            envelope: dispatch.envelope.clone(),
            protocol: dispatch.protocol,
            callback_url,
            fingerprint: dispatch.fingerprint,
            response_id: response_id(dispatch.key),
            created_at,
            request: dispatch.request.clone(),
        }
    }
}

/// `response.id` of a turn: in the answer to its dispatch and in its callbacks.
pub fn response_id(key: TurnKey) -> String {
    format!("resp_{}", key.subtask)
}

/// How a turn ended, with what is known by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnEnd {
    /// How it ended.
    pub kind: EndKind,
    /// The token figures. Without them the last [`AgentEvent::Usage`] counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Whether a tool had been called: after a crash a rerun is harmless only if not.
    #[serde(default)]
    pub tool_called: bool,
    /// The conversation to resume. Without it the last [`AgentEvent::Session`] counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionRef>,
    /// What changed in the workspace.
    #[serde(default)]
    pub changes: FileChanges,
    /// What it took to leave nothing of it running.
    #[serde(default, skip_serializing_if = "CleanUp::is_nothing")]
    pub clean_up: CleanUp,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum EndKind {
    /// The agent finished.
    Completed {
        /// The confirmed final answer.
        text: String,
        /// Why the model stopped.
        stop: StopReason,
    },
    /// The agent asked the person something, and the answer comes with a later turn.
    Waiting {
        /// The call that asks.
        call: ToolCallId,
    },
    /// It failed.
    Failed {
        /// What kind of failure.
        class: ErrorClass,
        /// What the person reads.
        message: String,
        /// Replaces the code that [`ui_code`](crate::ui_code) has for the class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// It was told to stop and did.
    Cancelled {
        /// Why it was told to.
        reason: CancelReason,
        /// What the person reads.
        message: String,
    },
}
