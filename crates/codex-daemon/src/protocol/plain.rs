//! The plain form, for scripts: a command and its argument, answered by one line.
//!
//! ```text
//! → {"command":"/codex-ask","question":"who are you?"}
//! ← {"success":true,"response":"…"}
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::SessionName;

/// A call in the plain form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainCall {
    /// `/codex-ask`, `/codex-config`, …; the leading slash may be left out.
    pub command: String,
    /// The question of `/codex-ask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The argument of the other commands: `high`, `on`, `off`.
    #[serde(
        default,
        alias = "level",
        alias = "state",
        alias = "argument",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<String>,
    /// In which session: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionName>,
    /// In which session: its folder. Without both it's the session `default`, which works in the user's home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainAnswer {
    /// Whether it worked.
    pub success: bool,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl PlainAnswer {
    /// It worked.
    pub fn success(response: impl Into<String>) -> Self {
        Self {
            success: true,
            response: Some(response.into()),
            error: None,
        }
    }

    /// It didn't.
    pub fn failure(error: impl Into<String>) -> Self {
        Self {
            success: false,
            response: None,
            error: Some(error.into()),
        }
    }
}
