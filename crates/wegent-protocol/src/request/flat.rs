//! The flat payload: `TASK_INFO`, and the body of `POST /api/tasks/execute`.
//!
//! Wegent of January 2026 sends a task this way, and its sandboxes do to this day. Most fields bear the names
//! that they have in the `metadata` of a `POST /v1/responses`, so they are read by the same types; the model
//! comes with the first bot, and what to continue is said by `session_id` (Claude Code), `resume_session_id`
//! (Codex) and `retry_mode`.

use std::path::{Component, PathBuf};

use agent_core::{AgentKind, AgentOptions, SessionId, SubtaskId, TaskId, Turn, TurnKey};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{
    DecodeError, Dispatch, Refused, TaskFacts, Work,
    lenient::{Int, Text},
    mcp::present,
    responses::{self, Requested},
    secrets, settings, validation,
    wire::{Body, Input, Metadata, ModelConfig},
};
use crate::{Fingerprint, Protocol};

/// The placeholder that stands where Wegent has masked a key.
const MASKED: &str = "***";

/// What the deployment allows tasks with a flat payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatRules {
    /// `CODE_SHELL_RESUME_ENABLED`: whether turns go on with the conversation before.
    pub resume: bool,
}

impl Default for FlatRules {
    fn default() -> Self {
        Self { resume: true }
    }
}

/// What only a flat payload has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Flat {
    task_title: Option<String>,
    subtask_title: Option<String>,
    prompt: Option<String>,
    git_repo: Option<String>,
    git_domain: Option<String>,
    repo_dir: Option<String>,
    session_id: Option<Text>,
    resume_session_id: Option<Text>,
    retry_mode: Option<String>,
    user: Option<Login>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login {
    name: Option<String>,
}

/// The options of a bot, in the names of Claude Code's own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BotOptions {
    max_turns: Option<Int>,
    allowed_tools: Option<Vec<String>>,
    disallowed_tools: Option<Vec<String>>,
}

/// Decodes a flat payload.
///
/// # Errors
/// [`DecodeError`] if it is not JSON, not an object, or lacks what every turn needs. A shell that nobody here
/// runs is no error, see [`Work`].
pub fn decode_flat(body: &[u8], rules: FlatRules) -> Result<Dispatch, DecodeError> {
    decode_value(value(body)?, rules)
}

/// Decodes `TASK_INFO`. Nobody waits for an answer to it, so what can't be read becomes a refusal by callback if it
/// says at least for whom it is.
///
/// # Errors
/// [`DecodeError`] if not even that can be read.
pub fn decode_task_info(text: &[u8], rules: FlatRules) -> Result<Dispatch, DecodeError> {
    let raw = value(text)?;
    let error = match decode_value(raw.clone(), rules) {
        Ok(dispatch) => return Ok(dispatch),
        Err(error) => error,
    };
    #[derive(Deserialize)]
    struct Ids {
        task_id: Int,
        subtask_id: Int,
    }
    let Ok(ids) = Ids::deserialize(&raw) else {
        return Err(error);
    };
    Ok(Dispatch {
        key: TurnKey {
            task: TaskId(ids.task_id.0),
            subtask: SubtaskId(ids.subtask_id.0),
        },
        work: Work::Refused(Refused::Malformed(error)),
        envelope: super::Envelope::default(),
        protocol: Protocol::Cumulative,
        background: false,
        fingerprint: Fingerprint::of(&raw),
        callback_url: raw["callback_url"].as_str().map(str::to_owned),
        request: None,
        secrets: secrets::credentials(&raw),
    })
}

pub(super) fn value(body: &[u8]) -> Result<Value, DecodeError> {
    let raw: Value = serde_json::from_slice(body).map_err(DecodeError::Syntax)?;
    if raw.is_object() {
        return Ok(raw);
    }
    Err(DecodeError::NotAnObject {
        found: responses::kind_of(&raw),
    })
}

fn decode_value(raw: Value, rules: FlatRules) -> Result<Dispatch, DecodeError> {
    let mut metadata: Metadata = responses::typed(&raw)?;
    let flat: Flat = responses::typed(&raw)?;
    let key = TurnKey {
        task: TaskId(id(metadata.task_id, "task_id")?),
        subtask: SubtaskId(id(metadata.subtask_id, "subtask_id")?),
    };
    let model = model(&raw)?;
    let mut body = Body {
        model_config: Some(model),
        ..Body::default()
    };
    let mut envelope = responses::envelope(&body, &mut metadata);
    envelope.task = Some(Box::new(facts(&flat, &metadata)));
    // The manager's own name for the container goes before one of an earlier container's.
    envelope.executor_name = None;
    envelope.executor_namespace = present(envelope.executor_namespace);
    let fingerprint = Fingerprint::of(&raw);
    let secrets = secrets::credentials(&raw);
    let callback_url = present(metadata.callback_url.take());
    let requested = responses::requested(&metadata).map_err(DecodeError::at_the_top)?;
    let work = match requested {
        Requested::Agent(agent) => {
            let prompt = flat.prompt.clone();
            body.input = Some(Input::Text(
                prompt.ok_or_else(|| DecodeError::missing("prompt"))?,
            ));
            let turn = responses::turn(key, agent, body, metadata, raw);
            let turn = turn.map_err(DecodeError::at_the_top)?;
            Work::Turn(Box::new(finish(turn, flat, rules)?))
        }
        Requested::Validation => validation::work(metadata.validation_params.unwrap_or_default()),
        Requested::Unknown(agent) => Work::UnknownAgent(agent),
    };
    Ok(Dispatch {
        key,
        work,
        envelope,
        protocol: Protocol::Cumulative,
        background: false,
        fingerprint,
        callback_url,
        request: None,
        secrets,
    })
}

fn id(id: Option<Int>, path: &str) -> Result<i64, DecodeError> {
    id.map(|id| id.0).ok_or_else(|| DecodeError::missing(path))
}

/// The first bot's model: its `agent_config.env`.
fn model(raw: &Value) -> Result<ModelConfig, DecodeError> {
    let Some(bot) = settings::bots(raw).first() else {
        return Ok(ModelConfig::default());
    };
    let env = &bot["agent_config"]["env"];
    if env.is_null() {
        return Ok(ModelConfig::default());
    }
    let mut model: ModelConfig =
        responses::typed(env).map_err(|error| error.below("bot[0].agent_config.env"))?;
    model.api_key = model.api_key.filter(|key| {
        let key = key.expose_secret().trim();
        !key.is_empty() && key != MASKED
    });
    Ok(model)
}

fn facts(flat: &Flat, metadata: &Metadata) -> TaskFacts {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    TaskFacts {
        title: text(&flat.task_title),
        subtask_title: text(&flat.subtask_title),
        kind: text(&metadata.kind),
        prompt: text(&flat.prompt),
        repository: text(&flat.git_repo),
        branch: text(&metadata.branch_name),
        git_domain: text(&flat.git_domain),
        session_id: flat.session_id.clone().map(|id| id.0).unwrap_or_default(),
    }
}

/// Adds what a flat payload says in its own way.
fn finish(mut turn: Turn, flat: Flat, rules: FlatRules) -> Result<Turn, DecodeError> {
    let bot = settings::bots(&turn.variables.0).first();
    turn.options = bot.map(options).transpose()?.unwrap_or_default();
    turn.identity.user_name = present(flat.user.and_then(|user| user.name));
    unescape_codex_config(&mut turn);
    turn.lasting_folder = lasting_folder(flat.repo_dir)?;
    if let Some(git) = &mut turn.git {
        git.folder = turn.lasting_folder.clone();
    }
    let fresh = !rules.resume || flat.retry_mode.as_deref() == Some("new_session");
    let named = match turn.agent {
        AgentKind::Codex => flat.resume_session_id,
        // Where nothing is known the platform sends the task's id; that names no conversation of Claude's.
        AgentKind::ClaudeCode => flat
            .session_id
            .filter(|id| id.0 != turn.key.task.to_string()),
    };
    let named = named.and_then(|id| SessionId::new(id.0).ok());
    // For Codex the platform keeps the id, and its absence says that there is nothing to continue.
    let nothing_to_continue = turn.agent == AgentKind::Codex && named.is_none();
    turn.new_session = fresh || nothing_to_continue;
    turn.resume_session = named.filter(|_| !turn.new_session);
    Ok(turn)
}

/// The folder that outlives the container; it may hold what isn't git's.
fn lasting_folder(repo_dir: Option<String>) -> Result<Option<PathBuf>, DecodeError> {
    let folder = present(repo_dir).map(PathBuf::from);
    let plain = |folder: &PathBuf| {
        let up = |part| part == Component::ParentDir;
        folder.is_absolute() && !folder.components().any(up)
    };
    match folder {
        Some(folder) if !plain(&folder) => Err(DecodeError::field(
            "repo_dir",
            "not an absolute path without `..`",
        )),
        folder => Ok(folder),
    }
}

/// The protocol knows no questions: whatever a bot says, its agent asks nobody.
fn options(bot: &Value) -> Result<AgentOptions, DecodeError> {
    let options: BotOptions = responses::typed(bot).map_err(|error| error.below("bot[0]"))?;
    Ok(AgentOptions {
        permission_mode: None,
        max_turns: options
            .max_turns
            .and_then(|turns| u32::try_from(turns.0).ok())
            .filter(|turns| *turns > 0),
        allowed_tools: options.allowed_tools.unwrap_or_default(),
        disallowed_tools: options.disallowed_tools.unwrap_or_default(),
        output_schema: None,
    })
}

/// `CODEX_CONFIG_TOML` comes on one line where the web interface has escaped it.
fn unescape_codex_config(turn: &mut Turn) {
    let Some(config) = turn.model.variables.get_mut("CODEX_CONFIG_TOML") else {
        return;
    };
    let text = config.expose_secret();
    if !text.contains('\n') && text.contains("\\n") {
        let text = text
            .replace("\\r\\n", "\n")
            .replace("\\n", "\n")
            .replace("\\\"", "\"");
        *config = SecretString::from(text);
    }
}

impl DecodeError {
    /// The same, where the fields of `metadata` stand at the top.
    pub(super) fn at_the_top(self) -> Self {
        match self {
            Self::Field { path, problem } => Self::Field {
                path: path
                    .strip_prefix("metadata.")
                    .map_or(path.clone(), str::to_owned),
                problem,
            },
            other => other,
        }
    }

    /// The same of a value that lies at `place`.
    fn below(self, place: &str) -> Self {
        match self {
            Self::Field { path, problem } => Self::Field {
                path: format!("{place}.{path}"),
                problem,
            },
            other => other,
        }
    }
}
