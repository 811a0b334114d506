//! What the daemon and its clients say to each other: one JSON object per line, both ways.
//!
//! ```text
//! → {"hello":1,"client":"codex-daemon 0.1.0"}
//! ← {"hello":1,"daemon":"0.1.0","epoch":"19a1…","pid":4711}
//! → {"id":1,"op":"ask","question":"…","cwd":"/work"}
//! ← {"id":1,"event":{"type":"started",…},"cursor":"19a1….1"}
//! ← {"id":1,"event":{"type":"delta","text":"…",…},"cursor":"19a1….2"}
//! ← {"id":1,"event":{"type":"ended",…},"cursor":"19a1….3"}
//! ← {"id":1,"ok":{…}}
//! ```
//!
//! Every call is answered by exactly one line with `ok` or `error`; its events come before. Calls of one connection run at
//! the same time. The greeting is optional for a client that doesn't care about versions; one that greets with another
//! major number is refused. A line that has `command` is the [plain form](PlainCall) of scripts and needs no greeting.

mod event;
mod fault;
mod operation;
mod plain;
mod view;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    event::{
        ApprovalKind, Cursor, Decision, Epoch, Event, LossReason, Outcome, SettledBy, ToolKind,
        ToolState, Usage,
    },
    fault::{Fault, FaultCode},
    operation::{
        Ask, AskId, Configure, Decide, Fork, OnLoss, Operation, SessionName, Settings, Target,
        UnknownName, Watch, on_off,
    },
    plain::{PlainAnswer, PlainCall},
    view::{HealthView, Mode, SessionView, StatusView, TurnView, Warmth},
};

/// The version of the protocol. It changes when something is taken away or means something else; additions don't count.
pub const VERSION: u32 = 1;

/// The first line of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHello {
    /// The version it speaks.
    pub hello: u32,
    /// Its name and version, for the log.
    #[serde(default)]
    pub client: String,
}

/// The daemon's answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonHello {
    /// The version the daemon speaks.
    pub hello: u32,
    /// The daemon's own version.
    pub daemon: String,
    /// Which life of the daemon this is; cursors of another one are answered with a gap.
    pub epoch: Epoch,
    /// The daemon's process.
    pub pid: u32,
}

/// A call of a client.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// The client's own number for it, repeated in every line that answers it.
    pub id: u64,
    /// What is wanted.
    #[serde(flatten)]
    pub operation: Operation,
}

/// One line of a client.
#[derive(Clone, Debug)]
pub enum ClientLine {
    /// A greeting.
    Hello(ClientHello),
    /// A call.
    Call(Call),
    /// A call in the plain form.
    Plain(PlainCall),
}

/// Why a client's line can't be served. Names the field where it can.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not JSON, or no object.
    #[error("the line is not a JSON object")]
    NotAnObject,
    /// A call without a number.
    #[error("`id` is missing or not a whole number")]
    NoId,
    /// The rest of it.
    #[error("{source}")]
    Shape {
        /// The call's number, if it has one.
        id: Option<u64>,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl BadLine {
    /// The number of the call, if it could be read.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Shape { id, .. } => *id,
            Self::NotAnObject | Self::NoId => None,
        }
    }
}

impl ClientLine {
    /// Reads a line.
    ///
    /// # Errors
    /// [`BadLine`] says what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, BadLine> {
        let Ok(Value::Object(mut object)) = serde_json::from_slice(line) else {
            return Err(BadLine::NotAnObject);
        };
        let shape = |id| move |source| BadLine::Shape { id, source };
        if object.contains_key("hello") {
            let hello = serde_json::from_value(Value::Object(object));
            return hello.map(Self::Hello).map_err(shape(None));
        }
        if object.contains_key("command") {
            let plain = serde_json::from_value(Value::Object(object));
            return plain.map(Self::Plain).map_err(shape(None));
        }
        let id = object.remove("id").and_then(|id| id.as_u64());
        let id = id.ok_or(BadLine::NoId)?;
        let operation = serde_json::from_value(Value::Object(object)).map_err(shape(Some(id)))?;
        Ok(Self::Call(Call { id, operation }))
    }
}

/// One line of the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DaemonLine {
    /// The greeting.
    Hello(DaemonHello),
    /// Something that happened, for the call `id`.
    Event {
        /// The call.
        id: u64,
        /// What happened.
        event: Event,
        /// Where it stands in the session.
        cursor: Cursor,
    },
    /// The answer to the call `id`. Its shape is the operation's.
    Ok {
        /// The call.
        id: u64,
        /// The answer.
        ok: Value,
    },
    /// The call failed, or (without `id`) the line or the connection.
    Error {
        /// The call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Why.
        error: Fault,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> String {
        ClientLine::parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named() {
        assert!(error("[]").contains("not a JSON object"));
        assert!(error("\u{1}\u{2}").contains("not a JSON object"));
        assert!(error(r#"{"op":"status"}"#).contains("`id`"));
        assert!(error(r#"{"id":1,"op":"asks"}"#).contains("asks"));
        assert!(error(r#"{"id":1,"op":"ask"}"#).contains("question"));
        assert!(error(r#"{"id":1,"op":"ask","question":"q","sesion":"x"}"#).contains("sesion"));
        assert!(error(r#"{"command":"/codex-ask","question":5}"#).contains("expected a string"));
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        let parse = |line: &str| ClientLine::parse(line.as_bytes()).unwrap();
        assert!(matches!(parse(r#"{"hello":1}"#), ClientLine::Hello(_)));
        let plain = parse(r#"{"command":"/codex-ask","question":"q"}"#);
        assert!(matches!(plain, ClientLine::Plain(_)));
        let ClientLine::Call(call) = parse(r#"{"id":3,"op":"ask","question":"q","cwd":"/w"}"#)
        else {
            panic!("not a call")
        };
        assert_eq!(call.id, 3);
        let line = serde_json::to_string(&call).unwrap();
        assert!(matches!(parse(&line), ClientLine::Call(Call { id: 3, .. })));
    }
}
