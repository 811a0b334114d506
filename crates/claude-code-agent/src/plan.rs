//! What a turn asks of its process: the model, the servers, the sub-agents, the variables of its tools.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use agent_core::{
    AgentError, ErrorClass, McpServer, McpTransport, Turn, Workspace, environment::is_secret_name,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::{
    ClaudeConfig, cli,
    endpoint::{Endpoint, model_variables},
    key_proxy::Target,
    protocol::AgentDefinition,
};

/// Everything a turn asks of its process.
pub(crate) struct Plan {
    /// Where the model is.
    pub(crate) endpoint: Endpoint,
    /// The key proxy's target, if one stands between.
    pub(crate) target: Option<Target>,
    /// What tools see of the platform: who asks, and the tokens of this turn.
    pub(crate) variables: BTreeMap<String, String>,
    /// MCP servers by name, as the CLI takes them.
    pub(crate) servers: BTreeMap<String, Value>,
    /// Sub-agents by name.
    pub(crate) agents: BTreeMap<String, AgentDefinition>,
    /// What may be done without asking.
    pub(crate) mode: &'static str,
}

impl Plan {
    /// The turn's plan.
    ///
    /// # Errors
    /// [`AgentError::Request`] naming what the model's configuration has wrong.
    pub(crate) fn of(
        turn: &Turn,
        workspace: &Workspace,
        config: &ClaudeConfig,
    ) -> Result<Self, AgentError> {
        if turn.options.output_schema.is_some() {
            return Err(AgentError::Request {
                class: ErrorClass::Unsupported,
                message: "text.format: Claude Code gives no answers by a schema here".to_owned(),
            });
        }
        let endpoint = Endpoint::of(turn, &config.image);
        let proxied = config.key_proxy.is_some() && endpoint.can_be_proxied();
        let variables = workspace.variables.iter();
        let servers = turn.mcp_servers.iter();
        Ok(Self {
            target: proxied.then(|| endpoint.target()).transpose()?,
            endpoint,
            variables: variables
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect(),
            servers: servers
                .filter_map(|server| Some((server.name.clone(), mcp_server(server, workspace)?)))
                .collect(),
            agents: members(turn),
            mode: cli::permission_mode(turn, config.access),
        })
    }

    /// What the process reads once. Two equal ones need no restart. Without a key proxy the key is part of it.
    pub(crate) fn fingerprint(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        config: &ClaudeConfig,
    ) -> u64 {
        let mut hasher = DefaultHasher::new();
        cli::arguments(turn, config).hash(&mut hasher);
        let proxied = self.target.is_some();
        let variables = model_variables(turn, proxied);
        cli::environment(config, turn, &workspace.state, variables).hash(&mut hasher);
        if !proxied {
            self.endpoint.plain_variables().hash(&mut hasher);
        }
        proxied.hash(&mut hasher);
        turn.instructions.hash(&mut hasher);
        self.agents.hash(&mut hasher);
        workspace.cwd.hash(&mut hasher);
        hasher.finish()
    }
}

/// The members of the team as sub-agents of the first.
fn members(turn: &Turn) -> BTreeMap<String, AgentDefinition> {
    let members = turn.members().into_iter();
    members
        .map(|member| {
            let definition = AgentDefinition {
                description: member.description,
                prompt: member.prompt,
                model: member.model_id,
            };
            (member.name, definition)
        })
        .collect()
}

/// A server as the CLI takes it; `None` if there is no way that it knows.
///
/// A program inherits the CLI's environment, in which the tools' tokens are. It is not a tool: it gets what its own
/// configuration gives it, so the tokens are blanked where that doesn't set them.
fn mcp_server(server: &McpServer, workspace: &Workspace) -> Option<Value> {
    let exposed = |values: &BTreeMap<String, SecretString>| -> Map<String, Value> {
        let pairs = values.iter();
        pairs
            .map(|(name, value)| (name.clone(), json!(value.expose_secret())))
            .collect()
    };
    let mut value = match &server.transport {
        McpTransport::Stdio { command, args, env } => {
            let names = workspace.variables.keys().map(String::as_str);
            let inherited = names.chain(["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]);
            let blank = inherited
                .filter(|name| is_secret_name(name))
                .map(|name| (name.to_owned(), json!("")));
            let mut all: Map<String, Value> = blank.collect();
            all.extend(exposed(env));
            json!({ "type": "stdio", "command": command, "args": args, "env": all })
        }
        McpTransport::Http { url, headers } => {
            json!({ "type": "http", "url": url, "headers": exposed(headers) })
        }
        McpTransport::Sse { url, headers } => {
            json!({ "type": "sse", "url": url, "headers": exposed(headers) })
        }
        McpTransport::Other { .. } => return None,
    };
    if let Some(seconds) = server.tool_timeout_seconds {
        value["timeout"] = json!((seconds * 1000.0).round());
    }
    Some(value)
}
