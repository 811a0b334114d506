//! Why the daemon can't do what a client wants.

use serde::{Deserialize, Serialize};

/// An error as a client gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", remedy.as_deref().map(|remedy| format!(" ({remedy})")).unwrap_or_default())]
pub struct Fault {
    /// For programs.
    pub code: FaultCode,
    /// For people.
    pub message: String,
    /// What helps: a command, a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultCode {
    /// The line or a value in it is wrong.
    BadRequest,
    /// The client speaks another version of the protocol.
    Protocol,
    /// A line is longer than the daemon takes.
    TooLong,
    /// Too many clients, or too many questions wait.
    Busy,
    /// There is no such session, question or permission.
    NotFound,
    /// It doesn't go together with what is happening now.
    Conflict,
    /// Codex can't be started or reached.
    Unavailable,
    /// The sandbox doesn't work on this machine.
    Sandbox,
    /// The daemon is ending.
    Stopping,
    /// The daemon's own disk or system failed.
    Internal,
    /// A code that this version doesn't know.
    #[serde(other)]
    Unknown,
}

impl Fault {
    /// An error without a remedy.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: None,
        }
    }

    /// With what helps.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
