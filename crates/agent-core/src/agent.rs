//! The [`Agent`] trait: one turn in, events out, the end as the return value.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    EventSink, PrepareStep, SessionRef, SinkClosed, TaskId, ToolCallId, Turn, Usage, Workspace,
};

/// Which agent runs a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex.
    Codex,
}

impl AgentKind {
    /// The shell type as the platform spells it in its records.
    pub fn shell_type(self) -> &'static str {
        match self {
            Self::ClaudeCode => "ClaudeCode",
            Self::Codex => "Codex",
        }
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shell_type())
    }
}

/// A shell type that no agent answers to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsupported agent kind `{0}`")]
pub struct UnknownAgent(pub String);

impl FromStr for AgentKind {
    type Err = UnknownAgent;

    /// Accepts every spelling seen on the wire, in any case: `Codex`, `CodeX`, `ClaudeCode`, `Claude Code`.
    fn from_str(text: &str) -> Result<Self, UnknownAgent> {
        let folded: String = text
            .chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect();
        match folded.as_str() {
            "claudecode" => Ok(Self::ClaudeCode),
            "codex" => Ok(Self::Codex),
            _ => Err(UnknownAgent(text.trim().to_owned())),
        }
    }
}

/// Something that can run a turn. Object safe: a factory hands out `Arc<dyn Agent>`.
pub trait Agent: Send + Sync + 'static {
    /// Which agent this is.
    fn kind(&self) -> AgentKind;

    /// Runs one turn to its end.
    ///
    /// Events go to `cx.events` in the order in which they happened; the end is the return value.
    /// Dropping the future leaves nothing of the turn running: the guard of its processes sees to it.
    ///
    /// # Errors
    /// [`AgentError`] says why the turn failed. A cancelled turn is not an error, see [`Outcome::Cancelled`].
    fn run<'a>(
        &'a self,
        turn: &'a Turn,
        workspace: &'a Workspace,
        cx: TurnCx,
    ) -> BoxFuture<'a, Result<Outcome, AgentError>>;

    /// Starts what a turn of the task will need while its workspace is still being prepared. Best effort.
    /// `state` is the task's state folder; it may not exist yet.
    fn warm_up<'a>(&'a self, task: TaskId, state: &'a Path) -> BoxFuture<'a, ()>;

    /// Where this agent looks for the skills of a task.
    fn skills_folder(&self, task: TaskId, state: &Path) -> SkillsFolder;

    /// Whether a process waits for the task's next turn.
    fn has_session(&self, _task: TaskId) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    /// Ends the process that waits for the task's next turn, and returns when it has gone. Says whether there was one.
    fn end_session(&self, _task: TaskId) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    /// Ends every process of this agent, all sessions included, and returns when they are gone.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// Where an agent looks for skills. Nothing of it need exist yet. It is never in the working folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillsFolder {
    /// The folder; each skill is a folder in it.
    pub path: PathBuf,
    /// Whether it is one task's alone.
    pub exclusive: bool,
}

/// What an agent gets beside the turn: where events go, and when to stop.
#[derive(Debug)]
pub struct TurnCx {
    /// Where events go.
    pub events: EventSink,
    /// Tells when to stop, and why.
    pub cancel: Cancel,
}

/// Why a turn was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A person asked for it.
    User,
    /// The turn goes on elsewhere; its terminal event is the new owner's.
    Superseded,
    /// The executor is shutting down.
    Shutdown,
    /// The platform refused the turn's first callback: it does not want the turn.
    Rejected,
    /// It has used as much of something as it may.
    Limit(Limit),
}

/// What may be limited in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The time it takes, its preparation included.
    WallTime,
    /// How often the model answers.
    Turns,
    /// The tokens that the model reads and writes.
    Tokens,
    /// What the model costs.
    Cost,
    /// The time in which nothing happens.
    IdleTime,
    /// What it says and what its tools give out.
    Output,
    /// The questions that it leaves open.
    Questions,
}

/// The agent's side of a turn's cancellation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<Option<CancelReason>>);

/// The owner's side of a turn's cancellation.
#[derive(Clone, Debug)]
pub struct CancelHandle(Arc<watch::Sender<Option<CancelReason>>>);

impl CancelHandle {
    /// A handle and the token it controls.
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(None);
        (Self(Arc::new(sender)), Cancel(receiver))
    }

    /// Tells the turn to stop. The first reason wins.
    pub fn cancel(&self, reason: CancelReason) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    /// The reason given, if the turn was told to stop.
    pub fn reason(&self) -> Option<CancelReason> {
        *self.0.borrow()
    }
}

impl Cancel {
    /// Waits until the turn is told to stop. Never returns if the handle is dropped without a word.
    pub async fn cancelled(&self) -> CancelReason {
        let mut receiver = self.0.clone();
        loop {
            if let Some(reason) = *receiver.borrow_and_update() {
                return reason;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The reason, if the turn was told to stop.
    pub fn reason(&self) -> Option<CancelReason> {
        *self.0.borrow()
    }
}

/// How a turn ended, when it did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The agent finished.
    Completed(Completed),
    /// The agent asked the person something, see [`AgentEvent::Question`](crate::AgentEvent::Question), and nothing goes
    /// on until the answer comes with a later turn ([`Turn::answer`]).
    WaitingForUser {
        /// The call that asks; the answer names it.
        call: ToolCallId,
        /// The figures so far, if known.
        usage: Option<Usage>,
        /// The conversation in which the answer belongs.
        session: Option<SessionRef>,
    },
    /// The turn was told to stop and did.
    Cancelled {
        /// Why it was told to.
        reason: CancelReason,
        /// How hard the processes had to be pushed.
        stopped_by: StopStep,
        /// Processes that could not be ended (0 unless the kernel holds them).
        survivors: u32,
        /// The figures up to that point, if known.
        usage: Option<Usage>,
    },
}

/// The facts of a finished turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The confirmed final answer: the last message of the agent, as its CLI reports it whole.
    pub text: String,
    /// Why the model stopped.
    pub stop: StopReason,
    /// The turn's token figures.
    pub usage: Option<Usage>,
    /// The conversation to resume.
    pub session: Option<SessionRef>,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said everything.
    EndTurn,
    /// It ran into its output limit.
    MaxTokens,
}

/// Which rung of the ladder ended the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopStep {
    /// Nothing had been started yet.
    NotStarted,
    /// The agent's own interrupt.
    Protocol,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Which part of a turn was going on; for stalls and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The agent's process starts and shakes hands.
    Starting,
    /// The conversation is opened or resumed.
    OpeningSession,
    /// The first output is awaited.
    FirstOutput,
    /// The turn goes on.
    Running,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::OpeningSession => "opening the session",
            Self::FirstOutput => "waiting for the first output",
            Self::Running => "running",
        })
    }
}

/// What kind of failure it was, independent of any platform's names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request asks for something that is not possible or malformed.
    InvalidRequest,
    /// The request asks for something this executor does not do (yet).
    Unsupported,
    /// The model speaks another protocol than the agent.
    ModelProtocol,
    /// The turn needs something of the workspace that this executor can't prepare (yet).
    WorkspaceUnsupported,
    /// The provider does not accept the key.
    Unauthorized,
    /// The provider forbids the request.
    Forbidden,
    /// Too many requests.
    RateLimited,
    /// The account's quota or plan is used up.
    QuotaExceeded,
    /// The model does not exist or is not available.
    ModelUnavailable,
    /// The conversation does not fit the model's context.
    ContextLength,
    /// The provider refused the content.
    ContentFilter,
    /// The provider failed on its side.
    Provider,
    /// The provider is overloaded.
    Overloaded,
    /// The connection to the provider failed or broke.
    Network,
    /// Something took longer than it may.
    Timeout,
    /// The workspace is not usable: a folder is missing, a file can't be written.
    Workspace,
    /// The agent's program could not be started, died or broke its protocol.
    Agent,
    /// The executor was restarted while the turn ran.
    Restarted,
    /// The turn has used as much of something as it may.
    Limit,
    /// A defect in the executor.
    Internal,
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent's program is missing or could not be started.
    #[error("agent binary `{name}` could not be started")]
    Spawn {
        /// The program.
        name: String,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent's program ended before the turn did.
    #[error("agent exited with {status} before it finished{}", tail(.stderr_tail))]
    Exited {
        /// Exit code or signal, in words.
        status: String,
        /// The last lines of its stderr.
        stderr_tail: String,
    },
    /// Nothing came from the agent for too long.
    #[error("agent sent no output for {idle:?} while {phase}")]
    Stalled {
        /// What was going on.
        phase: Phase,
        /// How long it was silent.
        idle: Duration,
    },
    /// The model provider refused or failed.
    #[error("{message}")]
    Provider {
        /// What kind of failure.
        class: ErrorClass,
        /// What the provider or the agent said.
        message: String,
    },
    /// The request can't be run as it is.
    #[error("{message}")]
    Request {
        /// What kind of failure.
        class: ErrorClass,
        /// What is wrong, naming the field.
        message: String,
    },
    /// The workspace can't be used.
    #[error("{message}")]
    Workspace {
        /// What is wrong, naming the path.
        message: String,
        /// The reason, if the system gave one.
        #[source]
        source: Option<std::io::Error>,
    },
    /// A step of the preparation failed.
    #[error("{step}: {message}")]
    Preparation {
        /// Which one.
        step: PrepareStep,
        /// What kind of failure.
        class: ErrorClass,
        /// What is wrong.
        message: String,
        /// The reason, if there is more to say.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The agent's CLI has itself ended the turn at a limit that it was given.
    #[error("{message}")]
    Limit {
        /// Which one.
        limit: Limit,
        /// In the CLI's words.
        message: String,
    },
    /// The agent said something that its protocol does not allow.
    #[error("agent broke its protocol: {message}")]
    Protocol {
        /// What was wrong.
        message: String,
    },
    /// The turn's event sink was closed under the agent.
    #[error(transparent)]
    SinkClosed(#[from] SinkClosed),
}

fn tail(stderr: &str) -> String {
    if stderr.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", stderr.trim())
    }
}

impl AgentError {
    /// What kind of failure it was.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Spawn { .. } | Self::Exited { .. } | Self::Protocol { .. } => ErrorClass::Agent,
            Self::Stalled { .. } => ErrorClass::Timeout,
            Self::Provider { class, .. }
            | Self::Request { class, .. }
            | Self::Preparation { class, .. } => *class,
            Self::Workspace { .. } => ErrorClass::Workspace,
            Self::Limit { .. } => ErrorClass::Limit,
            Self::SinkClosed(_) => ErrorClass::Internal,
        }
    }

    /// The error with its causes, as one line.
    pub fn chain(&self) -> String {
        crate::error_chain(self)
    }
}
