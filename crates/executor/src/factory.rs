//! Which agent runs a turn.

use std::sync::Arc;

use agent_core::{Agent, AgentKind, ApiFormat, Turn};

/// The agents of this executor, one of each kind.
#[derive(Clone)]
pub struct Agents {
    codex: Arc<dyn Agent>,
    claude_code: Arc<dyn Agent>,
    routing: Routing,
    codex_enabled: bool,
}

/// The deployment has switched Codex off, so that its turns are not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shell_type: the Codex shell is disabled by configuration (CODEX_SHELL_ENABLED)")]
pub struct CodexDisabled;

/// Which agent a turn goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// The one of its shell, whatever interface its model has.
    #[default]
    ByShell,
    /// As before, but a turn of the ClaudeCode shell whose model speaks the Responses API goes to Codex: Claude Code can't
    /// talk to such a model.
    ResponsesToCodex,
}

impl Routing {
    /// The agent that the turn goes to.
    fn agent(self, turn: &Turn) -> AgentKind {
        match (self, turn.agent, &turn.model.api_format) {
            (Self::ResponsesToCodex, AgentKind::ClaudeCode, Some(ApiFormat::Responses)) => {
                AgentKind::Codex
            }
            _ => turn.agent,
        }
    }
}

impl Agents {
    /// These agents, each for its own shell.
    pub fn new(codex: Arc<dyn Agent>, claude_code: Arc<dyn Agent>) -> Self {
        Self {
            codex,
            claude_code,
            routing: Routing::default(),
            codex_enabled: true,
        }
    }

    /// The same agents with another routing.
    #[must_use]
    pub fn routed(self, routing: Routing) -> Self {
        Self { routing, ..self }
    }

    /// The same agents, with Codex or without it. Without it, no other shell's turns go to it either.
    #[must_use]
    pub fn with_codex(self, enabled: bool) -> Self {
        let routing = match enabled {
            true => self.routing,
            false => Routing::ByShell,
        };
        Self {
            routing,
            codex_enabled: enabled,
            ..self
        }
    }

    /// The agent that runs a turn, which is noted in the turn: it decides whose conversation is continued.
    ///
    /// # Errors
    /// [`CodexDisabled`] if it would be Codex's and there is none.
    pub fn assign(&self, turn: &mut Turn) -> Result<Arc<dyn Agent>, CodexDisabled> {
        turn.agent = self.routing.agent(turn);
        if turn.agent == AgentKind::Codex && !self.codex_enabled {
            return Err(CodexDisabled);
        }
        Ok(self.of(turn.agent))
    }

    /// The agent of a kind.
    pub fn of(&self, kind: AgentKind) -> Arc<dyn Agent> {
        match kind {
            AgentKind::Codex => Arc::clone(&self.codex),
            AgentKind::ClaudeCode => Arc::clone(&self.claude_code),
        }
    }

    /// Ends every process of every agent.
    pub async fn shutdown(&self) {
        tokio::join!(self.codex.shutdown(), self.claude_code.shutdown());
    }
}
