//! What this executor can do, for whoever has to decide whether to give it a task.

use std::fmt;

use agent_core::AgentKind;
use serde::Serialize;

use crate::config::Config;

/// Everything that it can do. New fields may come; those that are there keep their meaning.
#[derive(Clone, Debug, Serialize)]
pub struct Capabilities {
    /// The program.
    pub executor: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The forms in which requests and callbacks go.
    pub protocols: [&'static str; 2],
    /// Whether the routes of sandboxes answer.
    pub sandbox: bool,
    /// The shells, by the name that Wegent knows them by.
    pub shells: Vec<Shell>,
}

/// What one shell can do.
#[derive(Clone, Debug, Serialize)]
pub struct Shell {
    /// Its name in Wegent.
    pub shell_type: &'static str,
    /// Whether its turns are run; an operator may have switched it off.
    pub enabled: bool,
    /// Whether skills are deployed.
    pub skills: bool,
    /// How attachments reach the agent: `files` below the workspace, `images` shown to the model.
    pub attachments: [&'static str; 2],
    /// The kinds of MCP servers that it can use.
    pub mcp: &'static [&'static str],
    /// Whether a conversation goes on in the next turn, and in a new container with the same workspace.
    pub resume: bool,
    /// Whether a turn can be ended while it runs.
    pub cancel: bool,
    /// Whether the agent can ask the person, and be answered by a later turn.
    pub questions: bool,
    /// Whether other bots of the team become its sub-agents.
    pub coordinate: bool,
    /// Whether an image can be checked for what it needs.
    pub validation: bool,
}

impl Capabilities {
    /// What an executor with this configuration can do.
    pub fn of(config: &Config) -> Self {
        Self {
            executor: "wegent-executor",
            version: env!("CARGO_PKG_VERSION"),
            protocols: ["responses", "cumulative"],
            sandbox: config.server.sandbox_routes || config.heartbeat.is_sandbox(),
            shells: vec![
                shell(AgentKind::ClaudeCode, true, &["stdio", "http", "sse"]),
                shell(AgentKind::Codex, config.codex.enabled, &["stdio", "http"]),
            ],
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("it is made of texts and truth values")
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.executor, self.version)?;
        writeln!(f, "protocols: {}", self.protocols.join(", "))?;
        writeln!(f, "sandbox routes: {}", on(self.sandbox))?;
        self.shells.iter().try_for_each(|shell| {
            let Shell {
                shell_type,
                enabled,
                ..
            } = shell;
            writeln!(
                f,
                "{shell_type}: {}; MCP servers: {}",
                on(*enabled),
                shell.mcp.join(", ")
            )
        })
    }
}

fn on(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn shell(agent: AgentKind, enabled: bool, mcp: &'static [&'static str]) -> Shell {
    Shell {
        shell_type: agent.shell_type(),
        enabled,
        skills: true,
        attachments: ["files", "images"],
        mcp,
        resume: true,
        cancel: true,
        questions: true,
        coordinate: true,
        validation: true,
    }
}
