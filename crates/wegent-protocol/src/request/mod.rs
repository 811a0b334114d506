//! Requests, decoded once and completely: what comes out needs no second look at the JSON.

mod answer;
mod attachments;
mod enrich;
mod flat;
mod lenient;
mod mcp;
mod prompt;
mod responses;
mod secrets;
mod settings;
mod skills;
mod sync;
mod validation;
mod variables;
mod wire;

use std::fmt;

use agent_core::{Turn, TurnKey, UnknownAgent};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::lenient::Text;
pub use self::{
    flat::{FlatRules, decode_flat, decode_task_info},
    responses::{decode, decode_kept},
    sync::{AttachmentSync, SkillSync, decode_attachment_sync, decode_skill_sync},
    validation::{Check, CheckStatus, Validation, ValidationReport},
};
use crate::{Fingerprint, Protocol};

/// A request that was understood.
pub struct Dispatch {
    /// Which turn of which task it is about.
    pub key: TurnKey,
    /// What is to be done.
    pub work: Work,
    /// What the callbacks echo.
    pub envelope: Envelope,
    /// In which form the callbacks go out.
    pub protocol: Protocol,
    /// Whether the request says so; Wegent's backend expects `queued` for an answer then.
    pub background: bool,
    /// Tells a repeat of the request from a new one.
    pub fingerprint: Fingerprint,
    /// Where callbacks go, if the request itself says it. Wegent's manager usually gives the address to
    /// the container's environment instead.
    pub callback_url: Option<String>,
    /// The request itself, for [`decode_kept`]; only where somebody wants it kept. Decoders leave it out.
    pub request: Option<Box<Value>>,
    pub(crate) secrets: Vec<SecretString>,
}

/// What a request asks for.
pub enum Work {
    /// To run a turn.
    Turn(Box<Turn>),
    /// To check whether the image that this runs in has what a shell needs.
    Validation(Validation),
    /// To run a shell that nobody here runs. The request is accepted all the same; the answer is an `error`
    /// event, as Wegent expects it.
    UnknownAgent(UnknownAgent),
    /// To do what is not done here. The request is accepted, and the answer is an error too.
    Refused(Refused),
}

/// Why a request is answered with an error callback instead of being run.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is to be checked what a shell needs, but not which shell.
    #[error("validation_params.shell_type: missing")]
    NoShell,
    /// What came can't be read, but for whom it is.
    #[error("TASK_INFO can't be read: {0}")]
    Malformed(DecodeError),
}

impl Dispatch {
    /// The turn to run, if the request is for one.
    pub fn turn(&self) -> Option<&Turn> {
        match &self.work {
            Work::Turn(turn) => Some(turn),
            Work::Validation(_) | Work::UnknownAgent(_) | Work::Refused(_) => None,
        }
    }

    /// Whether the turn can be run without the request's secrets: the model is reached by what the container itself has.
    pub fn needs_no_secrets(&self) -> bool {
        self.turn().is_some_and(|turn| {
            let model = &turn.model;
            let brings_none =
                model.api_key.is_none() && model.headers.is_empty() && model.variables.is_empty();
            model.use_own_login || brings_none
        })
    }

    /// Every credential in the request: keys, tokens, passwords in URLs, and header and environment values
    /// whose names say so; each once, in no particular order. Placeholders (`${{…}}`) are not among them.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        self.secrets.iter()
    }
}

/// Names a turn by its key only: it holds the request as it came, with its credentials.
impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(turn) => write!(f, "Turn({}, {})", turn.key, turn.agent),
            Self::Validation(what) => f.debug_tuple("Validation").field(what).finish(),
            Self::UnknownAgent(unknown) => f.debug_tuple("UnknownAgent").field(unknown).finish(),
            Self::Refused(refused) => f.debug_tuple("Refused").field(refused).finish(),
        }
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("key", &self.key)
            .field("work", &self.work)
            .field("envelope", &self.envelope)
            .field("protocol", &self.protocol)
            .field("background", &self.background)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// What of a request belongs to its callbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The message's place in the conversation; echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<i64>,
    /// The container's name; echoed. Without it the platform can't find the container again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_name: Option<String>,
    /// The container's namespace; echoed, also when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_namespace: Option<String>,
    /// Which image validation it is; echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_id: Option<String>,
    /// The model's id for response objects; may be empty.
    #[serde(default)]
    pub model: String,
    /// The id of the bot that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_id: Option<String>,
    /// The name of the bot that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_name: Option<String>,
    /// The shell as the request spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_type: Option<String>,
    /// What cumulative callbacks show of the task; only flat payloads say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<TaskFacts>>,
}

/// What of a flat payload its cumulative callbacks show beside the answer. Empty is as good as not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskFacts {
    /// The task's title; echoed.
    pub title: String,
    /// The title of this turn; echoed.
    pub subtask_title: String,
    /// The payload's `type`; echoed, and it decides the callback's way through the manager.
    pub kind: String,
    /// What the person said, for the panel beside the conversation.
    pub prompt: String,
    /// The repository's name at its host.
    pub repository: String,
    /// The branch that was asked for.
    pub branch: String,
    /// The repository's host.
    pub git_domain: String,
    /// The conversation that the payload names; echoed until the agent's own id of it is known.
    pub session_id: String,
}

/// Why a request could not be understood. The text is fit for the caller; it holds no credential.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not JSON.
    #[error("body is not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// The body is JSON, but no object.
    #[error("body is not an object but {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A field is missing or not what it should be.
    #[error("{path}: {problem}")]
    Field {
        /// The field's path, such as `metadata.bot[0].name`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl DecodeError {
    fn field(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            path: path.into(),
            problem: problem.into(),
        }
    }

    fn missing(path: impl Into<String>) -> Self {
        Self::field(path, "missing")
    }
}
