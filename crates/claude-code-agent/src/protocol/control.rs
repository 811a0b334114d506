//! What the CLI asks us, and how it answers what we ask.

use serde::Deserialize;
use serde_json::Value;

/// A question of the CLI's. It waits for an answer for ever.
#[derive(Debug, Deserialize)]
pub(crate) struct ControlRequest {
    /// Its id.
    pub(crate) request_id: String,
    /// What it asks.
    pub(crate) request: RequestFromCli,
}

/// What the CLI can ask.
#[derive(Debug, Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(crate) enum RequestFromCli {
    /// May this tool run?
    CanUseTool {
        /// The tool.
        tool_name: String,
        /// Its arguments; opaque, and to be given back when it may.
        #[serde(default)]
        input: Value,
        /// The call.
        #[serde(default)]
        tool_use_id: String,
    },
    /// A hook of ours is to run: before a call of the form tool.
    HookCallback {
        /// The call.
        #[serde(default)]
        tool_use_id: String,
    },
    /// Anything else.
    #[serde(other)]
    Unknown,
}

/// The CLI's answer to one of our requests.
#[derive(Debug, Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(crate) enum ControlResponse {
    /// It was done.
    Success {
        /// Which request.
        request_id: String,
        /// What came of it, as far as it is read.
        #[serde(default)]
        response: Option<Value>,
    },
    /// It was not done.
    Error {
        /// Which request.
        request_id: String,
        /// Why.
        #[serde(default)]
        error: String,
    },
}

impl ControlResponse {
    /// Which request it answers.
    pub(crate) fn request_id(&self) -> &str {
        match self {
            Self::Success { request_id, .. } | Self::Error { request_id, .. } => request_id,
        }
    }
}
