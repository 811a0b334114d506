//! What a thread is told about its model, its provider and its tools.
//!
//! Everything goes with `thread/start` and `thread/resume`, over the pipe: the provider's key as
//! `experimental_bearer_token` (codex 0.169 writes it to no file and no environment), MCP servers, and the
//! environment of tools. Nothing of it is stored with the thread, so a resume carries all of it again.
//!
//! Three layers, each over the one before: the container's own `config.toml` (only with the container's own login),
//! `CODEX_CONFIG_TOML` of the model's configuration (`config_toml`), and what the request and the executor say.

use std::{
    collections::hash_map::DefaultHasher,
    fmt,
    hash::Hasher,
    path::{Path, PathBuf},
};

use agent_core::{
    AgentError, McpServer, McpTransport, ModelConfig, Turn, Workspace,
    environment::{Environment, is_secret_name, without_secrets},
    interaction::FORM_TOOL,
};
use codex_app_server::protocol::{
    ApprovalPolicy, SandboxMode, ThreadConfig, ThreadId, ThreadResumeParams, ThreadStartParams,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use supervisor::{SESSION_MARK, SessionMark};

use crate::{
    CodexConfig,
    config_toml::{self, merge},
    home::CONFIG,
    login,
    provider::{self, PROVIDER},
    requests::Approvals,
    roles::Roles,
};

/// What the agent may do on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything the executor itself may do: the container is the sandbox.
    Full,
    /// Write to the working folder and temporary files only, no network. Nobody is asked.
    WorkspaceWrite,
}

impl Access {
    fn sandbox(self) -> SandboxMode {
        match self {
            Self::Full => SandboxMode::DangerFullAccess,
            Self::WorkspaceWrite => SandboxMode::WorkspaceWrite,
        }
    }
}

/// What a thread is opened with, whether it is started or resumed.
#[derive(Clone)]
pub(crate) struct ThreadSettings {
    config: ThreadConfig,
    provider: Option<String>,
    model: Option<String>,
    instructions: Option<String>,
    cwd: PathBuf,
    sandbox: SandboxMode,
    approvals: ApprovalPolicy,
    /// Two equal ones need no reload of a loaded thread.
    pub(crate) fingerprint: u64,
}

impl fmt::Debug for ThreadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadSettings")
            .field("config", &self.config)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// The settings of the turn's thread.
///
/// # Errors
/// [`AgentError::Request`] naming the field that can't be served.
pub(crate) fn thread_settings(
    turn: &Turn,
    workspace: &Workspace,
    codex: &CodexConfig,
    session: &SessionMark,
    scratch: &Path,
) -> Result<ThreadSettings, AgentError> {
    let mut below = written(turn, codex)?;
    let mut values = Map::new();
    if !turn.model.use_own_login {
        let provider = provider::of_request(&turn.model, &mut below)?;
        values.insert("model_provider".to_owned(), json!(PROVIDER));
        values.insert("model_providers".to_owned(), json!({ PROVIDER: provider }));
    }
    let tools = without_secrets(
        &codex.image,
        turn.model.api_key.iter().chain(turn.model.headers.values()),
    );
    values.insert(
        "shell_environment_policy".to_owned(),
        shell_environment(turn, workspace, &tools, session, scratch),
    );
    values.insert(
        "features".to_owned(),
        json!({
            "shell_snapshot": false,
            "plugins": false,
            // Without it the model can ask the person in plan mode only.
            "default_mode_request_user_input": codex.approvals.asks(),
        }),
    );
    // Codex 0.169 offers its plan to no model of its own catalogue; the person sees it as a checklist.
    values.insert(
        "tools".to_owned(),
        json!({ "update_plan": { "enabled": true } }),
    );
    // A thread that nobody listens to is unloaded at once, so that the next turn can give it new keys.
    values.insert("thread_unload_delay_secs".to_owned(), json!(0));
    if !turn.mcp_servers.is_empty() {
        let servers: Map<String, Value> = turn
            .mcp_servers
            .iter()
            .filter_map(|server| {
                let value = mcp_server(server, session, codex.approvals)?;
                Some((server.name.clone(), value))
            })
            .collect();
        values.insert("mcp_servers".to_owned(), Value::Object(servers));
    }
    let roles = Roles::of(turn);
    if let Some(agents) = roles.write(scratch)? {
        values.insert("agents".to_owned(), agents);
    }
    for (key, value) in model_settings(&turn.model) {
        values.insert(key.to_owned(), value);
    }
    mark_servers(&mut below, session);
    merge(&mut below, values);
    let values = below;
    let provider = values.get("model_provider").and_then(Value::as_str);
    let mut settings = ThreadSettings {
        config: ThreadConfig::default(),
        provider: provider.map(str::to_owned),
        model: turn.model.model_id.clone(),
        instructions: joined(turn.instructions.clone(), roles.instructions()),
        cwd: workspace.cwd.clone(),
        sandbox: codex.access.sandbox(),
        approvals: codex.approvals.policy(!turn.mcp_servers.is_empty()),
        fingerprint: 0,
    };
    settings.fingerprint = fingerprint(&values, &settings, &roles);
    settings.config = ThreadConfig::new(values);
    Ok(settings)
}

/// What is written in Codex's own format about the turn: the container's own configuration where the login is the
/// container's, and on top of it what the model's configuration says.
fn written(turn: &Turn, codex: &CodexConfig) -> Result<Map<String, Value>, AgentError> {
    let mut values = Map::new();
    if turn.model.use_own_login {
        values = login::settings(codex)?;
    }
    if let Some(text) = turn.model.variables.get(config_toml::VARIABLE) {
        let over = config_toml::read(text.expose_secret(), config_toml::VARIABLE)?;
        merge(&mut values, over);
    }
    Ok(values)
}

/// What is started for the session bears its mark, wherever it was written down.
fn mark_servers(values: &mut Map<String, Value>, session: &SessionMark) {
    let servers = values.get_mut("mcp_servers").and_then(Value::as_object_mut);
    for server in servers
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
        .filter(|server| server.contains_key("command"))
    {
        let env = server.entry("env").or_insert_with(|| json!({}));
        if let Some(env) = env.as_object_mut() {
            env.insert(SESSION_MARK.to_owned(), json!(session.as_str()));
        }
    }
}

impl ThreadSettings {
    /// For a new thread.
    pub(crate) fn start(&self) -> ThreadStartParams {
        ThreadStartParams {
            model: self.model.clone(),
            model_provider: self.provider.clone(),
            cwd: Some(self.cwd.clone()),
            sandbox: Some(self.sandbox),
            approval_policy: Some(self.approvals.clone()),
            config: self.config.clone(),
            developer_instructions: self.instructions.clone(),
            ..ThreadStartParams::default()
        }
    }

    /// The same as the text of a `config.toml`, for a CLI that takes no settings over a pipe. It holds keys.
    ///
    /// # Errors
    /// If there is something in it that TOML has no form for.
    pub(crate) fn config_file(&self) -> Result<String, toml::ser::Error> {
        let mut table: toml::Table = toml::from_str(CONFIG).expect("our own settings are TOML");
        table.insert(
            "sandbox_mode".to_owned(),
            toml::Value::try_from(self.sandbox)?,
        );
        let given = [
            ("model", self.model.as_deref()),
            ("developer_instructions", self.instructions.as_deref()),
            ("approval_policy", Some("never")),
        ];
        let settings = toml::Table::try_from(&self.config)?;
        table.extend(settings);
        let_forms_be_called(&mut table);
        for (key, value) in given {
            if let Some(value) = value {
                table.insert(key.to_owned(), value.into());
            }
        }
        toml::to_string(&table)
    }

    /// For a stored thread. The earlier turns are left out of the answer: nobody reads them.
    pub(crate) fn resume(&self, thread: ThreadId) -> ThreadResumeParams {
        ThreadResumeParams {
            exclude_turns: true,
            model: self.model.clone(),
            model_provider: self.provider.clone(),
            cwd: Some(self.cwd.clone()),
            sandbox: Some(self.sandbox),
            approval_policy: Some(self.approvals.clone()),
            config: self.config.clone(),
            developer_instructions: self.instructions.clone(),
            ..ThreadResumeParams::new(thread)
        }
    }
}

fn model_settings(model: &ModelConfig) -> impl Iterator<Item = (&'static str, Value)> {
    let texts = [
        ("model_reasoning_effort", &model.reasoning_effort),
        ("model_reasoning_summary", &model.reasoning_summary),
        ("model_verbosity", &model.verbosity),
        ("service_tier", &model.service_tier),
        ("web_search", &model.web_search),
    ];
    let window = model
        .context_window
        .map(|tokens| ("model_context_window", json!(tokens)));
    texts
        .into_iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| (key, json!(value))))
        .chain(window)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Tools start from nothing and get exactly what we name, so that what the CLI itself was started with
/// never decides what they see.
/// The session's mark is among it: by it what a tool left behind is found if even the guard was killed. What the model's
/// configuration sets beside its own settings goes to tools too, but for secrets.
fn shell_environment(
    turn: &Turn,
    workspace: &Workspace,
    tools: &Environment,
    session: &SessionMark,
    scratch: &Path,
) -> Value {
    let mut set: Map<String, Value> = tools
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), json!(value.to_str()?))))
        .collect();
    for (name, value) in &turn.model.variables {
        if name != config_toml::VARIABLE && !is_secret_name(name) {
            set.insert(name.clone(), json!(value.expose_secret()));
        }
    }
    set.insert("TMPDIR".to_owned(), json!(scratch));
    set.insert(SESSION_MARK.to_owned(), json!(session.as_str()));
    for (name, value) in &workspace.variables {
        set.insert(name.clone(), json!(value.expose_secret()));
    }
    json!({ "inherit": "none", "ignore_default_excludes": true, "set": set })
}

/// Where nothing can be asked, nothing can be held either: the form tool is called as any other.
fn let_forms_be_called(config: &mut toml::Table) {
    let servers = config
        .get_mut("mcp_servers")
        .and_then(toml::Value::as_table_mut);
    for (_, server) in servers.into_iter().flatten() {
        let tool = server
            .get_mut("tools")
            .and_then(|tools| tools.get_mut(FORM_TOOL));
        if let Some(tool) = tool.and_then(toml::Value::as_table_mut) {
            tool.insert("approval_mode".to_owned(), "approve".into());
        }
    }
}

/// Why this agent can't reach a server: codex 0.169 knows no server-sent events.
pub(crate) fn unreachable(server: &McpServer) -> Option<&str> {
    match &server.transport {
        McpTransport::Stdio { .. } | McpTransport::Http { .. } => None,
        McpTransport::Sse { .. } => Some("sse"),
        McpTransport::Other { kind } => Some(kind),
    }
}

/// A server that codex starts doesn't inherit the session's mark: it gets it with its own variables.
///
/// Codex asks before a call of the platform's form tool, so that `form` can hold it; before another only if it is to.
fn mcp_server(server: &McpServer, session: &SessionMark, approvals: Approvals) -> Option<Value> {
    let exposed =
        |values: &std::collections::BTreeMap<String, SecretString>| -> Map<String, Value> {
            values
                .iter()
                .map(|(name, value)| (name.clone(), json!(value.expose_secret())))
                .collect()
        };
    let mut value = match &server.transport {
        McpTransport::Stdio { command, args, env } => {
            let mut env = exposed(env);
            env.insert(SESSION_MARK.to_owned(), json!(session.as_str()));
            json!({ "command": command, "args": args, "env": env })
        }
        McpTransport::Http { url, headers } => {
            json!({ "url": url, "http_headers": exposed(headers) })
        }
        McpTransport::Sse { .. } | McpTransport::Other { .. } => return None,
    };
    value["tools"] = json!({ FORM_TOOL: { "approval_mode": "prompt" } });
    if !approvals.asks() {
        value["default_tools_approval_mode"] = json!("approve");
    }
    if let Some(seconds) = server.tool_timeout_seconds {
        value["tool_timeout_sec"] = json!(seconds);
    }
    Some(value)
}

/// Two parts of the instructions, as paragraphs.
fn joined(first: Option<String>, second: Option<String>) -> Option<String> {
    let parts: Vec<String> = first.into_iter().chain(second).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn fingerprint(values: &Map<String, Value>, settings: &ThreadSettings, roles: &Roles) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Keys of a `Map` are sorted, so equal configurations have equal texts.
    hasher.write(Value::Object(values.clone()).to_string().as_bytes());
    for part in [&settings.model, &settings.instructions] {
        hasher.write(part.as_deref().unwrap_or("\u{0}").as_bytes());
        hasher.write_u8(0);
    }
    hasher.write(settings.cwd.as_os_str().as_encoded_bytes());
    roles.hash(&mut hasher);
    hasher.finish()
}
