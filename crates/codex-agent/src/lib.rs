//! Runs a turn on the task's Codex app-server.
//!
//! # How it works
//!
//! Each task has one `codex app-server`, started through its guard and kept warm between turns (`servers`); only so many are
//! alive at once. A turn
//! opens the task's conversation in it (a new thread, the loaded one, or one resumed from its rollout), starts
//! `turn/start` and folds what Codex says into events (`map`). The provider, its key, MCP servers and the
//! environment of tools go with the thread over the pipe (`thread_config`); the process itself knows no key.
//!
//! # Guarantees
//!
//! * A turn's end leaves nothing of its tools running; a cancelled one neither, within four seconds.
//! * The conversation's id is stored as soon as it can be resumed; a conversation that is unknown here is replaced by a
//!   fresh one, and the person is told.
//! * A question to the person leaves Codex's turn open in its warm app-server until the next turn (`pausing`). A form of the
//!   platform's tool ends it (`form`).
//! * A process that dies before a tool was called or a message was complete costs the turn nothing but time.
//! * Every phase of a turn has its limit (`watch`), every home its bounds (`upkeep`).
//! * A stream that breaks shows its text once (`agent_core::void_text`).
//!
//! # Example
//!
//! ```
//! use agent_core::{Agent, AgentKind};
//! use codex_agent::{CodexAgent, CodexConfig, HomePolicy};
//!
//! let config = CodexConfig::new("example", HomePolicy::PerTask("/var/lib/example/codex".into()));
//! assert_eq!(CodexAgent::new(config).kind(), AgentKind::Codex);
//! ```
#![warn(missing_docs)]

mod binary;
mod config_toml;
mod edits;
mod elicitation;
mod exec;
mod exec_lines;
mod failure;
mod form;
mod home;
mod input;
mod launch;
mod listen;
mod login;
mod map;
mod opening;
mod pausing;
mod provider;
mod questions;
mod requests;
mod roles;
mod servers;
mod stopping;
mod thread_config;
mod tokens;
mod tools;
mod turn;
mod upkeep;
mod version;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use agent_core::{
    Agent, AgentError, AgentEvent, AgentKind, AgentOptions, Notice, NoticeKind, Outcome,
    SkillsFolder, StopStep, TaskId, Turn, TurnCx, Workspace, environment::Environment,
    hook::FileEditHook,
};
use futures::future::{BoxFuture, FutureExt};

pub use binary::find as find_program;
pub use home::HomePolicy;
pub use requests::Approvals;
pub use thread_config::Access;
pub use version::check as check_version;

use servers::{Need, Servers};
use turn::Drive;

/// What the agent runs with.
#[derive(Clone, Debug)]
pub struct CodexConfig {
    /// Whose processes they are: marks them, so that a restart can find what an earlier executor left behind.
    pub owner: String,
    /// The CLI, or npm's wrapper of it; `None` looks for `codex` on the image's `PATH`.
    pub binary: Option<PathBuf>,
    /// Where Codex homes lie.
    pub homes: HomePolicy,
    /// What the agent may do on this machine.
    pub access: Access,
    /// When the person is asked.
    pub approvals: Approvals,
    /// The environment of the image: the CLI gets an allow-list of it, tools get all but secrets.
    pub image: Environment,
    /// How long Codex may take to answer one request.
    pub rpc_timeout: Duration,
    /// How long the parts of a turn may take.
    pub deadlines: Deadlines,
    /// How long an app-server may wait for its task's next turn.
    pub idle: Duration,
    /// How long it may wait for the person's answer, where Codex doesn't say how long. Later answers reach the model as
    /// text.
    pub question: Duration,
    /// How many app-servers may be alive at once.
    pub max_servers: usize,
    /// What runs before and after every edit of a file.
    pub file_edit_hook: Option<FileEditHook>,
}

/// How long the parts of a turn may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the process's start to the end of its handshake.
    pub ready: Duration,
    /// From `turn/start` to the first sign of progress, and again after each error that Codex reports.
    pub first_progress: Duration,
    /// Between two signs of life afterwards, while no tool runs.
    pub silence: Duration,
    /// The whole turn.
    pub turn: Duration,
}

impl CodexConfig {
    /// A configuration with the defaults, full of caution: no environment, no access beyond the workspace.
    pub fn new(owner: impl Into<String>, homes: HomePolicy) -> Self {
        Self {
            owner: owner.into(),
            binary: None,
            homes,
            access: Access::WorkspaceWrite,
            approvals: Approvals::Never,
            image: Environment::new(),
            rpc_timeout: Duration::from_secs(300),
            deadlines: Deadlines {
                ready: Duration::from_secs(60),
                first_progress: Duration::from_secs(180),
                silence: Duration::from_secs(600),
                turn: Duration::from_secs(86_400),
            },
            idle: Duration::from_secs(600),
            question: Duration::from_secs(3600),
            max_servers: 32,
            file_edit_hook: None,
        }
    }
}

/// The agent behind ShellType `Codex`.
pub struct CodexAgent {
    config: CodexConfig,
    servers: Arc<Servers>,
    /// Whether the CLI turned out to have no app-server that can be talked to.
    exec_only: AtomicBool,
}

impl CodexAgent {
    /// An agent without any process yet.
    pub fn new(config: CodexConfig) -> Self {
        Self {
            servers: Servers::new(config.clone()),
            exec_only: AtomicBool::new(false),
            config,
        }
    }

    /// Starts an app-server ahead of any task; the first task gets it.
    ///
    /// # Errors
    /// [`AgentError`] when there is no CLI or its home can't be made.
    pub async fn prepare_spare(&self) -> Result<(), AgentError> {
        self.servers.prepare_spare().await
    }

    async fn run_turn(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        cx: TurnCx,
    ) -> Result<Outcome, AgentError> {
        let task = turn.key.task;
        self.tell_of_unreachable_servers(turn, &cx).await?;
        note_unknown_limits(&turn.options);
        let drive = Drive {
            config: &self.config,
            turn,
            workspace,
            cx: &cx,
        };
        if self.exec_only.load(Ordering::Relaxed) {
            return drive.run_exec().await;
        }
        let mut server = tokio::select! {
            server = self.servers.take(Need::of(turn, &workspace.state)) => server?,
            reason = cx.cancel.cancelled() => return Ok(turn::cancelled(reason, StopStep::NotStarted, 0, None)),
        };
        let driven = drive.run(&mut server).await;
        if driven.reusable {
            self.servers.give_back(task, server).await;
        } else {
            server.shutdown().await;
        }
        match driven.result {
            Err(error) if exec::is_called_for(&error) => {
                tracing::warn!(error = %error.chain(), "codex has no app-server to talk to; turns run by `codex exec`");
                if !self.exec_only.swap(true, Ordering::Relaxed) {
                    let text = exec::ANNOUNCEMENT.to_owned();
                    drive.notice(NoticeKind::Warning, text).await?;
                }
                drive.run_exec().await
            }
            result => result,
        }
    }

    /// A server that is left out in silence would look like one that has no tools.
    async fn tell_of_unreachable_servers(
        &self,
        turn: &Turn,
        cx: &TurnCx,
    ) -> Result<(), AgentError> {
        for server in &turn.mcp_servers {
            if let Some(kind) = thread_config::unreachable(server) {
                let notice = Notice {
                    kind: NoticeKind::Warning,
                    text: agent_core::prepare::unreachable(&server.name, kind),
                };
                cx.events.emit(AgentEvent::Notice(notice)).await?;
            }
        }
        Ok(())
    }
}

impl Agent for CodexAgent {
    fn kind(&self) -> AgentKind {
        AgentKind::Codex
    }

    fn run<'a>(
        &'a self,
        turn: &'a Turn,
        workspace: &'a Workspace,
        cx: TurnCx,
    ) -> BoxFuture<'a, Result<Outcome, AgentError>> {
        self.run_turn(turn, workspace, cx).boxed()
    }

    fn warm_up<'a>(&'a self, task: TaskId, state: &'a Path) -> BoxFuture<'a, ()> {
        self.servers.warm(task, state).boxed()
    }

    fn skills_folder(&self, task: TaskId, _state: &Path) -> SkillsFolder {
        let homes = &self.config.homes;
        SkillsFolder {
            path: home::skills(&homes.path(task)),
            exclusive: matches!(homes, HomePolicy::PerTask(_)),
        }
    }

    fn has_session(&self, task: TaskId) -> BoxFuture<'_, bool> {
        self.servers.has(task).boxed()
    }

    fn end_session(&self, task: TaskId) -> BoxFuture<'_, bool> {
        self.servers.end(task).boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.servers.shutdown().boxed()
    }
}

/// Codex knows no rules for tools. The number of model calls is the executor's to keep.
fn note_unknown_limits(options: &AgentOptions) {
    let given = [
        ("allowed_tools", !options.allowed_tools.is_empty()),
        ("disallowed_tools", !options.disallowed_tools.is_empty()),
    ];
    let given = given.iter().filter(|(_, given)| *given);
    let ignored: Vec<&str> = given.map(|(name, _)| *name).collect();
    if !ignored.is_empty() {
        tracing::warn!(?ignored, "codex can't heed these options of the request");
    }
}
