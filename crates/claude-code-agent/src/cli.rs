//! The command line and the environment of the CLI.
//!
//! Everybody on the machine can read the command line, and every shell that Claude starts has the whole environment: no
//! secret is in the first, and in the second only what can't be kept from it. What changes from turn to turn (tokens,
//! MCP servers, the model) is told over the pipe instead, see [`crate::session`].

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use agent_core::{
    Turn,
    environment::{Environment, is_secret_name, without_secrets},
};
use secrecy::ExposeSecret;
use supervisor::ChildEnv;

use crate::{Access, ClaudeConfig, answer::Approval, edits};

/// What the CLI sets for its children. Inherited, it would take itself for one, and its sweep mark for everybody's.
const MARKS_OF_A_CHILD: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_PID",
    "CLAUDE_EFFORT",
    "CLAUDE_PROJECT_DIR",
    "CLAUDE_ENV_FILE",
    "CLAUDE_CONFIG_DIR",
    "AI_AGENT",
];
/// Of the CLI's own variables, those by which an operator may tune it.
const TUNING: &[&str] = &[
    "CLAUDE_CODE_MAX_",
    "CLAUDE_CODE_DISABLE_",
    "CLAUDE_CODE_USE_",
    "CLAUDE_CODE_SKIP_",
];

/// Our defaults, which the image and the model's configuration may override: no traffic but the model's, retries that
/// end in half a minute, tools told to the model from the start.
const DEFAULTS: &[(&str, &str)] = &[
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY", "1"),
    ("CLAUDE_CODE_MAX_RETRIES", "6"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("ENABLE_TOOL_SEARCH", "false"),
];

/// How the conversation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// A new one with this id.
    New(String),
    /// This one, by its id or by its transcript's path.
    Resume(OsString),
}

/// What may be done without asking, in the CLI's words: what the request says, as far as the configuration goes.
pub(crate) fn permission_mode(turn: &Turn, access: Access) -> &'static str {
    let asked = match turn.options.permission_mode.as_deref() {
        Some("acceptEdits") => "acceptEdits",
        // Without an end of plan mode an approved plan could not be carried out.
        Some("plan") if Approval::of(turn) == Some(Approval::Approved) => "acceptEdits",
        Some("plan") => "plan",
        Some("auto") => "auto",
        _ => "bypassPermissions",
    };
    match (access, asked) {
        (Access::WorkspaceWrite, "bypassPermissions" | "auto") => "acceptEdits",
        (_, asked) => asked,
    }
}

/// Whether the request chose a mode in which the person is asked for permissions.
pub(crate) fn may_ask(turn: &Turn) -> bool {
    let mode = turn.options.permission_mode.as_deref();
    matches!(mode, Some("acceptEdits" | "plan" | "auto"))
}

/// The arguments that don't change while the CLI runs.
pub(crate) fn arguments(turn: &Turn, config: &ClaudeConfig) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "-p",
        "--input-format=stream-json",
        "--output-format=stream-json",
        "--verbose",
        "--include-partial-messages",
        "--permission-prompt-tool=stdio",
        // Servers come over the pipe; those of the repository would run unasked.
        "--strict-mcp-config",
        "--setting-sources=user,project",
    ]
    .map(OsString::from)
    .into();
    if config.access == Access::Full {
        arguments.push("--allow-dangerously-skip-permissions".into());
    }
    if let Some(hook) = &config.file_edit_hook {
        arguments.push(format!("--settings={}", edits::settings(hook)).into());
        arguments.push("--include-hook-events".into());
    }
    if !turn.options.disallowed_tools.is_empty() {
        let disallowed = turn.options.disallowed_tools.join(",");
        arguments.push(format!("--disallowedTools={disallowed}").into());
    }
    if !turn.options.allowed_tools.is_empty() {
        arguments.push(format!("--allowedTools={}", turn.options.allowed_tools.join(",")).into());
    }
    if let Some(turns) = turn.options.max_turns {
        arguments.push(format!("--max-turns={turns}").into());
    }
    if let Some(cost) = config.max_cost_usd {
        arguments.push(format!("--max-budget-usd={cost}").into());
    }
    arguments
}

/// The arguments that say how it begins. A later turn changes what they say over the pipe.
pub(crate) fn beginning(begin: &Begin, mode: &str, model: Option<&str>) -> Vec<OsString> {
    // A value that begins with a dash would be taken for another flag, so all are joined.
    let joined = |flag: &str, value: &OsStr| {
        let mut argument = OsString::from(flag);
        argument.push(value);
        argument
    };
    let mut arguments = vec![
        match begin {
            Begin::New(id) => joined("--session-id=", id.as_ref()),
            Begin::Resume(what) => joined("--resume=", what),
        },
        joined("--permission-mode=", mode.as_ref()),
    ];
    if let Some(model) = model {
        arguments.push(joined("--model=", model.as_ref()));
    }
    arguments
}

/// The environment of the CLI and its tools: the image's without secrets, our defaults, the model's variables.
pub(crate) fn environment(
    config: &ClaudeConfig,
    turn: &Turn,
    folder: &Path,
    model_variables: BTreeMap<String, String>,
) -> Environment {
    let model = &turn.model;
    let secret_variables = model
        .variables
        .iter()
        .filter(|(name, _)| is_secret_name(name))
        .map(|(_, value)| value);
    let secrets = model
        .api_key
        .iter()
        .chain(model.headers.values())
        .chain(secret_variables);
    let mut environment = without_secrets(&config.image, secrets);
    environment.retain(|name, _| {
        name.to_str()
            .is_none_or(|name| !is_mark(name) && name != "ANTHROPIC_CUSTOM_HEADERS")
    });
    for (name, value) in DEFAULTS {
        environment
            .entry((*name).into())
            .or_insert_with(|| (*value).into());
    }
    environment.extend(
        model_variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    if let Some(id) = &model.model_id {
        for family in ["HAIKU", "SONNET", "OPUS"] {
            let name = format!("ANTHROPIC_DEFAULT_{family}_MODEL");
            environment.entry(name.into()).or_insert_with(|| id.into());
        }
    }
    let ours: [(&str, OsString); 3] = [
        ("CLAUDE_CONFIG_DIR", folder.into()),
        // The container is the sandbox; without this the CLI refuses full access to root.
        ("IS_SANDBOX", "1".into()),
        // Once its stdin is closed there is nothing worth waiting for.
        ("CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS", "1000".into()),
    ];
    environment.extend(ours.map(|(name, value)| (name.into(), value)));
    environment
}

fn is_mark(name: &str) -> bool {
    let tuning = TUNING.iter().any(|prefix| name.starts_with(prefix));
    MARKS_OF_A_CHILD.contains(&name) || (name.starts_with("CLAUDE_CODE_") && !tuning)
}

/// Adds the way to a key proxy: its URL, the token, and no other proxy on the way to it.
pub(crate) fn through_proxy(
    environment: &mut Environment,
    base_url: &str,
    token: &secrecy::SecretString,
) {
    environment.insert("ANTHROPIC_BASE_URL".into(), base_url.into());
    environment.insert("ANTHROPIC_API_KEY".into(), token.expose_secret().into());
    environment.remove(OsStr::new("ANTHROPIC_AUTH_TOKEN"));
    for name in ["NO_PROXY", "no_proxy"] {
        let exempt = environment.entry(name.into()).or_default();
        if !exempt.is_empty() {
            exempt.push(",");
        }
        exempt.push("127.0.0.1,localhost");
    }
}

/// As the supervisor takes it.
pub(crate) fn child_env(environment: Environment) -> ChildEnv {
    environment.into_iter().collect()
}
