//! Runs a turn on Claude Code.
//!
//! # How it works
//!
//! Each conversation has one long-lived `claude` process, started through its guard, spoken to over its stream-json
//! protocol (`protocol`) and kept warm between the task's turns (`pool`). A turn opens the task's conversation
//! (`opening`: the warm process, a resumed one, or a new one), says the prompt (`turn`) and folds what Claude says into
//! events (`listen`, `map`) until the `result` line. Tokens, MCP servers and the model go over the pipe; the model's key stays
//! with the `key_proxy`, so that no shell that Claude starts can see it.
//!
//! # Guarantees
//!
//! * A turn's end leaves nothing of its tools running; a cancelled one neither, within four seconds. A turn that Claude
//!   begins by itself because of that is interrupted, and what it says reaches nobody.
//! * The conversation's id is stored as soon as it can be resumed; a conversation that is unknown here is replaced by a
//!   fresh one, and the person is told. Two executors never use one at the same time.
//! * A stream that breaks shows its text once (`agent_core::void_text`).
//! * What only the person can answer ends the turn as waiting (`control`, `questions`, `form`); nobody is waited for. Without a mode
//!   that asks, what Claude asks for is allowed with full access, and denied without.
//! * A failure's class comes from its type, not from the words of its message.
//!
//! # Example
//!
//! ```
//! use agent_core::{Agent, AgentKind};
//! use claude_code_agent::{ClaudeCodeAgent, ClaudeConfig};
//!
//! let agent = ClaudeCodeAgent::new(ClaudeConfig::new("example"));
//! assert_eq!(agent.kind(), AgentKind::ClaudeCode);
//! ```
#![warn(missing_docs)]

mod answer;
mod binary;
mod cli;
mod control;
mod edits;
mod endpoint;
mod failure;
mod folder;
mod form;
#[doc(hidden)]
pub mod fuzzing;
pub mod key_proxy;
mod listen;
mod map;
mod mcp;
mod opening;
mod plan;
mod pool;
mod process;
mod prompt;
mod protocol;
mod questions;
mod session;
mod stopping;
mod tasks;
mod turn;
mod usage;

pub use binary::find as find_program;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent_core::{
    Agent, AgentError, AgentKind, Outcome, SkillsFolder, TaskId, Turn, TurnCx, Workspace,
    environment::Environment, hook::FileEditHook,
};
use futures::future::{BoxFuture, FutureExt, ready};

use key_proxy::UpstreamConfig;
use opening::Opener;
use pool::Pool;
use turn::Drive;

/// What the agent runs with.
#[derive(Clone, Debug)]
pub struct ClaudeConfig {
    /// Whose processes they are: marks them, so that a restart can find what an earlier executor left behind.
    pub owner: String,
    /// The CLI, or npm's wrapper of it; `None` looks for `claude` in `~/.local/bin` and on the image's `PATH`.
    pub binary: Option<PathBuf>,
    /// What the agent may do on this machine.
    pub access: Access,
    /// The environment of the image; the CLI and its tools get all of it but secrets.
    pub image: Environment,
    /// What runs before and after every edit of a file.
    pub file_edit_hook: Option<FileEditHook>,
    /// How the key proxy reaches the model's API; `None` gives the key to the CLI itself, and so to every shell that it
    /// starts.
    pub key_proxy: Option<UpstreamConfig>,
    /// How long the parts of a turn may take.
    pub deadlines: Deadlines,
    /// How long a process may wait for its task's next turn.
    pub idle: Duration,
    /// What a turn may cost in US dollars. The CLI counts that per process, so with a limit each turn has its own.
    pub max_cost_usd: Option<f64>,
}

/// What the agent may do on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything the executor itself may do: the container is the sandbox.
    Full,
    /// Edit files in the working folder. What would need a permission is declined.
    WorkspaceWrite,
}

/// How long the parts of a turn may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the process's start to the end of its handshake.
    pub ready: Duration,
    /// For MCP servers to connect. What takes longer may be missing in the turn.
    pub mcp: Duration,
    /// From the prompt to the first output.
    pub first_output: Duration,
    /// Between two signs of life in the middle of a turn. While a tool runs, silence is not counted.
    pub silence: Duration,
    /// The whole turn; `None` sets no limit.
    pub turn: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(60),
            mcp: Duration::from_secs(30),
            first_output: Duration::from_secs(300),
            silence: Duration::from_secs(600),
            turn: None,
        }
    }
}

impl ClaudeConfig {
    /// A configuration with the defaults, full of caution: no environment, no access beyond the working folder.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            binary: None,
            access: Access::WorkspaceWrite,
            image: Environment::new(),
            file_edit_hook: None,
            key_proxy: Some(UpstreamConfig::default()),
            deadlines: Deadlines::default(),
            idle: Duration::from_secs(600),
            max_cost_usd: None,
        }
    }
}

/// The agent behind ShellType `ClaudeCode`.
pub struct ClaudeCodeAgent {
    config: ClaudeConfig,
    opener: Opener,
    pool: Arc<Pool>,
}

impl ClaudeCodeAgent {
    /// An agent without any process yet.
    pub fn new(config: ClaudeConfig) -> Self {
        Self {
            pool: Pool::new(config.idle),
            opener: Opener::new(config.clone()),
            config,
        }
    }

    async fn run_turn(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        cx: TurnCx,
    ) -> Result<Outcome, AgentError> {
        let task = turn.key.task;
        let warm = self.pool.take(task).await;
        let drive = Drive {
            config: &self.config,
            opener: &self.opener,
            turn,
            workspace,
            cx: &cx,
        };
        let driven = Box::pin(drive.run(warm)).await;
        if let Some(session) = driven.session {
            self.pool.keep(task, session).await;
        }
        driven.result
    }
}

impl Agent for ClaudeCodeAgent {
    fn kind(&self) -> AgentKind {
        AgentKind::ClaudeCode
    }

    fn run<'a>(
        &'a self,
        turn: &'a Turn,
        workspace: &'a Workspace,
        cx: TurnCx,
    ) -> BoxFuture<'a, Result<Outcome, AgentError>> {
        self.run_turn(turn, workspace, cx).boxed()
    }

    /// Nothing: the CLI must be started in the turn's working folder, which is what is still being prepared.
    fn warm_up<'a>(&'a self, _task: TaskId, _state: &'a Path) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    fn skills_folder(&self, _task: TaskId, state: &Path) -> SkillsFolder {
        SkillsFolder {
            path: folder::path(state).join("skills"),
            exclusive: true,
        }
    }

    fn has_session(&self, task: TaskId) -> BoxFuture<'_, bool> {
        self.pool.has(task).boxed()
    }

    fn end_session(&self, task: TaskId) -> BoxFuture<'_, bool> {
        self.pool.end(task).boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.pool.shutdown().boxed()
    }
}
