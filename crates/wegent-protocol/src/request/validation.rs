//! The validation of an image: what is asked, and what is answered.
//!
//! Whoever sets up a shell with an image of its own has that image checked first: a container of it is started with the
//! executor in it, which looks for what the shell's agent needs. The answer is the text of the turn, or, in cumulative
//! callbacks, a part of the result.

use agent_core::AgentKind;
use serde::{Deserialize, Serialize};

use super::{Refused, Work, wire::ValidationParams};

/// An image to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The agent that is to run in it.
    pub agent: AgentKind,
    /// The same as the request spells it; echoed.
    pub shell_type: String,
    /// What the person calls the shell; echoed.
    pub shell_name: String,
    /// The image; echoed. It is the one that this runs in.
    pub image: String,
}

/// What was found in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// Whether every check passed.
    pub valid: bool,
    /// The checks in their order.
    pub checks: Vec<Check>,
    /// What kept checks from being made.
    pub errors: Vec<String>,
    /// See [`Validation::shell_name`].
    pub shell_name: String,
    /// See [`Validation::shell_type`].
    pub shell_type: String,
    /// See [`Validation::image`].
    pub image: String,
}

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What, in the platform's words: `node`, `codex`, `python`, …
    pub name: String,
    /// Its version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it is there.
    pub status: CheckStatus,
    /// What is wrong and what mends it, or what is odd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The two words that the platform knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It is there and new enough.
    Pass,
    /// It isn't.
    Fail,
}

impl ValidationReport {
    /// The report of these checks.
    pub fn new(asked: Validation, checks: Vec<Check>) -> Self {
        Self {
            valid: checks.iter().all(|check| check.status == CheckStatus::Pass),
            checks,
            errors: Vec::new(),
            shell_name: asked.shell_name,
            shell_type: asked.shell_type,
            image: asked.image,
        }
    }

    /// The text of the turn that answers the request.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report is made of texts and a truth value")
    }
}

/// What a validation's parameters ask for.
pub(super) fn work(params: ValidationParams) -> Work {
    let shell_type = params.shell_type.unwrap_or_default();
    if shell_type.trim().is_empty() {
        return Work::Refused(Refused::NoShell);
    }
    match shell_type.parse() {
        Ok(agent) => Work::Validation(Validation {
            agent,
            shell_type,
            shell_name: params.shell_name.unwrap_or_default(),
            image: params.image.unwrap_or_default(),
        }),
        Err(unknown) => Work::UnknownAgent(unknown),
    }
}
