//! Runs a turn on Claude Code. Not available yet: every turn ends with a clear error.
//!
//! The crate has its place in the workspace already, so that the factory, the decoder and the callbacks
//! know both agents from the start.
//!
//! ```
//! use agent_core::{Agent, AgentKind};
//! assert_eq!(claude_code_agent::ClaudeCodeAgent.kind(), AgentKind::ClaudeCode);
//! ```
#![warn(missing_docs)]

use agent_core::{Agent, AgentError, AgentKind, ErrorClass, Outcome, Turn, TurnCx, Workspace};
use futures::future::{BoxFuture, FutureExt, ready};

/// The agent behind ShellType `ClaudeCode`.
#[derive(Debug, Default)]
pub struct ClaudeCodeAgent;

impl Agent for ClaudeCodeAgent {
    fn kind(&self) -> AgentKind {
        AgentKind::ClaudeCode
    }

    fn run<'a>(
        &'a self,
        _turn: &'a Turn,
        _workspace: &'a Workspace,
        _cx: TurnCx,
    ) -> BoxFuture<'a, Result<Outcome, AgentError>> {
        let error = AgentError::Request {
            class: ErrorClass::Unsupported,
            message: "shell_type: ClaudeCode is not available in this executor yet".to_owned(),
        };
        ready(Err(error)).boxed()
    }

    fn warm_up<'a>(&'a self, _turn: &'a Turn, _state: &'a std::path::Path) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}
