//! Which agent runs a turn.

use std::sync::Arc;

use agent_core::{Agent, AgentKind};

/// The agents of this executor, one of each kind.
#[derive(Clone)]
pub struct Agents {
    codex: Arc<dyn Agent>,
    claude_code: Arc<dyn Agent>,
}

impl Agents {
    /// These agents.
    pub fn new(codex: Arc<dyn Agent>, claude_code: Arc<dyn Agent>) -> Self {
        Self { codex, claude_code }
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
