//! `POST /v1/responses`: the request of Wegent's manager since 2026, into a [`Turn`].

use std::collections::BTreeMap;

use agent_core::{
    AgentKind, AgentOptions, ApiFormat, Attempt, Bot, GitSource, GitUser, Identity,
    InheritedSession, ModelConfig, SessionId, SubtaskId, TaskId, Team, Turn, TurnKey, UnknownAgent,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    DecodeError, Dispatch, Envelope, Work, answer,
    attachments::attachments,
    enrich,
    lenient::TextOr,
    mcp::{self, present, secret_map},
    prompt::prompt,
    secrets, settings,
    skills::{names, skills},
    validation, variables as placeholders,
    wire::{self, Body, Metadata},
};
use crate::{Fingerprint, Protocol};

/// Decodes the body of a `POST /v1/responses`.
///
/// # Errors
/// [`DecodeError`] if the body is not JSON, not an object, or lacks what every turn needs. A shell that
/// nobody here runs is no error, see [`Work::UnknownAgent`].
pub fn decode(body: &[u8]) -> Result<Dispatch, DecodeError> {
    let raw: Value = serde_json::from_slice(body).map_err(DecodeError::Syntax)?;
    if !raw.is_object() {
        return Err(DecodeError::NotAnObject {
            found: kind_of(&raw),
        });
    }
    let mut body: Body = typed(&raw)?;
    let mut metadata = body
        .metadata
        .take()
        .ok_or_else(|| DecodeError::missing("metadata"))?;
    let key = TurnKey {
        task: TaskId(
            metadata
                .task_id
                .ok_or_else(|| DecodeError::missing("metadata.task_id"))?
                .0,
        ),
        subtask: SubtaskId(
            metadata
                .subtask_id
                .ok_or_else(|| DecodeError::missing("metadata.subtask_id"))?
                .0,
        ),
    };
    let envelope = envelope(&body, &mut metadata);
    let fingerprint = Fingerprint::of(&raw);
    let secrets = secrets::credentials(&raw);
    let callback_url = present(metadata.callback_url.take());
    let background = body.background.unwrap_or(false);
    let work = match requested(&metadata)? {
        Requested::Agent(agent) => Work::Turn(Box::new(turn(key, agent, body, metadata, raw)?)),
        Requested::Validation => validation::work(metadata.validation_params.unwrap_or_default()),
        Requested::Unknown(agent) => Work::UnknownAgent(agent),
    };
    Ok(Dispatch {
        key,
        work,
        envelope,
        protocol: Protocol::Responses,
        background,
        fingerprint,
        callback_url,
        request: None,
        secrets,
    })
}

/// Decodes a request that was kept without its secrets. The person's tokens are left out: in their place stands what says
/// that there was a secret.
///
/// # Errors
/// [`DecodeError`] as by [`decode`].
pub fn decode_kept(request: &Value) -> Result<Dispatch, DecodeError> {
    let mut dispatch = decode(request.to_string().as_bytes())?;
    if let Work::Turn(turn) = &mut dispatch.work {
        turn.identity.auth_token = None;
        turn.identity.skill_identity_token = None;
        turn.identity.git.token = None;
    }
    Ok(dispatch)
}

pub(super) fn typed<'de, T: Deserialize<'de>>(raw: &'de Value) -> Result<T, DecodeError> {
    let mut track = serde_path_to_error::Track::new();
    T::deserialize(serde_path_to_error::Deserializer::new(raw, &mut track))
        .map_err(|error| DecodeError::field(track.path().to_string(), problem(&error.to_string())))
}

/// Says what was expected in JSON's terms, and of what came only the kind: the value may be a credential.
fn problem(message: &str) -> String {
    let Some((got, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.rsplit_once(", expected "))
    else {
        return message.to_owned();
    };
    let got = match got.split([' ', '`']).next() {
        Some("string") => "a string",
        Some("integer" | "floating") => "a number",
        Some("boolean") => "a boolean",
        Some("sequence") => "an array",
        Some("map") => "an object",
        _ => "null",
    };
    let expected = match expected {
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("expected {expected}, got {got}")
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(super) enum Requested {
    Agent(AgentKind),
    Validation,
    Unknown(UnknownAgent),
}

/// The task's type goes first: a validation's bot has no shell. Then the first bot's shell decides, whatever
/// interface its model has.
pub(super) fn requested(metadata: &Metadata) -> Result<Requested, DecodeError> {
    if metadata
        .kind
        .as_deref()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("validation"))
    {
        return Ok(Requested::Validation);
    }
    let bots = metadata
        .bot
        .as_ref()
        .ok_or_else(|| DecodeError::missing("metadata.bot"))?;
    let bot = bots
        .0
        .first()
        .ok_or_else(|| DecodeError::field("metadata.bot", "empty"))?;
    let shell = bot.shell_type.as_deref().unwrap_or_default();
    if shell.trim().eq_ignore_ascii_case("imagevalidator") {
        return Ok(Requested::Validation);
    }
    Ok(shell
        .parse()
        .map_or_else(Requested::Unknown, Requested::Agent))
}

pub(super) fn envelope(body: &Body, metadata: &mut Metadata) -> Envelope {
    let model_id = body
        .model_config
        .as_ref()
        .and_then(|model| model.model_id.clone());
    let bot = metadata.bot.as_ref().and_then(|bots| bots.0.first());
    Envelope {
        message_id: metadata.message_id.map(|id| id.0),
        executor_name: present(metadata.executor_name.take()),
        executor_namespace: metadata.executor_namespace.take(),
        validation_id: metadata
            .validation_params
            .as_ref()
            .and_then(|validation| validation.validation_id.clone())
            .map(|id| id.0),
        model: body.model.clone().or(model_id).unwrap_or_default(),
        bot_id: bot.and_then(|bot| bot.id.clone()).map(|id| id.0),
        bot_name: present(metadata.bot_name.take())
            .or_else(|| present(bot.and_then(|bot| bot.name.clone()))),
        shell_type: bot.and_then(|bot| bot.shell_type.clone()),
        task: None,
    }
}

pub(super) fn turn(
    key: TurnKey,
    agent: AgentKind,
    body: Body,
    mut metadata: Metadata,
    variables: Value,
) -> Result<Turn, DecodeError> {
    let mut prompt = prompt(body.input.ok_or_else(|| DecodeError::missing("input"))?)?;
    enrich::enrich(&mut prompt, &mut metadata);
    let answer = answer::answer(metadata.interactive_form_answer.take())?;
    let mut bots = metadata.bot.take().map(|bots| bots.0).unwrap_or_default();
    // The bots after the first are sub-agents of it in this mode, and lend it what they have.
    let team = match metadata.mode.as_deref() {
        Some("coordinate") => Team::Coordinate,
        _ => Team::Solo,
    };
    let lenders = match team {
        Team::Coordinate => bots.len(),
        Team::Solo => bots.len().min(1),
    };
    let skills = skills(&mut bots[..lenders], &mut metadata);
    // The platform itself merges what skills bring along into the bots' servers, but for Claude Code only.
    let of_skills = match agent {
        AgentKind::ClaudeCode => Vec::new(),
        AgentKind::Codex => metadata.skill_configs.take().unwrap_or_default(),
    };
    let mcp_servers = mcp::servers(bots[..lenders].iter_mut(), of_skills, body.tools);
    let instructions = present(body.instructions)
        .or_else(|| present(bots.first().and_then(|bot| bot.system_prompt.clone())));
    Ok(Turn {
        key,
        attempt: Attempt(1),
        agent,
        prompt,
        answer,
        instructions,
        model: ModelConfig {
            variables: settings::model_variables(&variables),
            ..model(body.model_config.unwrap_or_default(), body.model)
        },
        bots: bots
            .into_iter()
            .enumerate()
            .map(|(index, wire)| bot(wire, settings::own_model(&variables, index)))
            .collect(),
        team,
        options: AgentOptions {
            output_schema: output_schema(body.text)?,
            ..options(&mut metadata)
        },
        mcp_servers,
        git: git(&mut metadata),
        lasting_folder: None,
        skills,
        attachments: attachments(&mut metadata, key.subtask)?,
        new_session: metadata.new_session.unwrap_or(false),
        resume_session: None,
        inherited_sessions: inherited(metadata.inherited_sessions.take()),
        identity: identity(metadata),
        variables: placeholders::of_request(variables),
    })
}

fn identity(metadata: Metadata) -> Identity {
    let mut user = metadata.user.unwrap_or_default();
    Identity {
        user_name: present(metadata.user_name).or_else(|| present(user.user_name.take())),
        auth_token: metadata.auth_token,
        skill_identity_token: metadata.skill_identity_token,
        backend_url: present(metadata.backend_url),
        git: GitUser {
            domain: present(user.git_domain).or_else(|| present(metadata.git_domain)),
            token: user.git_token,
            id: present(user.git_id.map(|id| id.0)),
            login: present(user.git_login),
            email: present(user.git_email),
        },
    }
}

/// In full, what upstream's own executor knows of this is the permission mode only.
fn options(metadata: &mut Metadata) -> AgentOptions {
    AgentOptions {
        permission_mode: present(metadata.claude_permission_mode.take()),
        max_turns: metadata
            .max_turns
            .take()
            .and_then(|turns| u32::try_from(turns.0).ok())
            .filter(|turns| *turns > 0),
        allowed_tools: names(metadata.allowed_tools.take()),
        disallowed_tools: names(metadata.disallowed_tools.take()),
        output_schema: None,
    }
}

/// The platform itself names none; a caller of its own may, as the Responses API has it: `text.format`.
fn output_schema(text: Option<wire::TextSettings>) -> Result<Option<Value>, DecodeError> {
    let Some(format) = text.and_then(|text| text.format) else {
        return Ok(None);
    };
    match (format.kind.as_deref(), format.schema) {
        (None | Some("text"), _) => Ok(None),
        (Some("json_schema"), Some(schema @ Value::Object(_))) => Ok(Some(schema)),
        (Some("json_schema"), None) => Err(DecodeError::missing("text.format.schema")),
        (Some("json_schema"), Some(other)) => Err(DecodeError::field(
            "text.format.schema",
            format!("expected an object, got {}", kind_of(&other)),
        )),
        (Some(other), _) => Err(DecodeError::field(
            "text.format.type",
            format!("expected `text` or `json_schema`, got {other:?}"),
        )),
    }
}

fn bot(bot: wire::Bot, model_id: Option<String>) -> Bot {
    Bot {
        model_id,
        id: present(bot.id.map(|id| id.0)),
        name: bot.name.unwrap_or_default(),
        system_prompt: bot.system_prompt.unwrap_or_default(),
        role: present(bot.role),
        cwd: present(bot.cwd).map(Into::into),
    }
}

fn model(config: wire::ModelConfig, model: Option<String>) -> ModelConfig {
    let reasoning = match config.reasoning {
        Some(TextOr::Text(effort)) => wire::Reasoning {
            effort: Some(effort),
            summary: None,
        },
        Some(TextOr::Object(reasoning)) => reasoning,
        None => wire::Reasoning::default(),
    };
    ModelConfig {
        model_id: present(config.model_id).or_else(|| present(model)),
        family: present(config.model),
        api_key: config.api_key,
        base_url: present(config.base_url),
        headers: secret_map(config.default_headers),
        api_format: api_format(present(config.api_format), config.protocol.as_deref()),
        context_window: config
            .context_window
            .and_then(|tokens| u64::try_from(tokens.0).ok()),
        reasoning_effort: present(reasoning.effort),
        reasoning_summary: present(reasoning.summary),
        verbosity: present(config.verbosity),
        service_tier: present(config.service_tier),
        web_search: present(config.web_search.unwrap_or_default().0),
        use_own_login: config
            .runtime_config
            .and_then(|runtime| runtime.codex)
            .and_then(|codex| codex.use_user_config)
            .unwrap_or(false),
        variables: BTreeMap::new(),
    }
}

/// `api_format` if given; a protocol that names the interface stands in for it.
fn api_format(format: Option<String>, protocol: Option<&str>) -> Option<ApiFormat> {
    match format {
        Some(format) => Some(match format.as_str() {
            "responses" => ApiFormat::Responses,
            "chat/completions" => ApiFormat::ChatCompletions,
            _ => ApiFormat::Other(format),
        }),
        None if protocol == Some("openai-responses") => Some(ApiFormat::Responses),
        None => None,
    }
}

/// An empty `git_url` is how the platform says that there is no repository.
fn git(metadata: &mut Metadata) -> Option<GitSource> {
    let url = present(metadata.git_url.take())?;
    let repository = metadata
        .workspace
        .take()
        .and_then(|workspace| workspace.repository);
    let branch = present(metadata.branch_name.take())
        .or_else(|| present(repository.and_then(|repository| repository.branch_name)));
    Some(GitSource {
        url,
        branch,
        domain: present(metadata.git_domain.take()),
        repository: present(metadata.git_repo.take()),
        repository_id: present(metadata.git_repo_id.take().map(|id| id.0)),
        restored: metadata.skip_git_clone.unwrap_or(false),
        folder: None,
    })
}

/// Conversations of agents that we don't run, and such without an id, are of no use here.
fn inherited(sessions: Option<Vec<wire::InheritedSession>>) -> Vec<InheritedSession> {
    let convert = |session: wire::InheritedSession| {
        let agent: AgentKind = session.agent?.parse().ok()?;
        let id = match agent {
            AgentKind::Codex => present(session.thread_id).or(session.session_id),
            AgentKind::ClaudeCode => present(session.session_id).or(session.thread_id),
        };
        Some(InheritedSession {
            agent,
            session: SessionId::new(id?).ok()?,
            bot: present(session.bot_id.map(|id| id.0)),
        })
    };
    sessions.into_iter().flatten().filter_map(convert).collect()
}
