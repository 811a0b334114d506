//! What the HTTP routes ask of the runs.

use std::fmt;

use agent_core::{AgentKind, Attempt, SubtaskId, TaskId, TurnKey};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use wegent_protocol::{Dispatch, EndKind};

use super::{
    catalog::Card,
    history::{History, HistoryError},
    log_name::TurnLogName,
};

/// Takes turns and ends them.
pub trait Turns: Send + Sync + 'static {
    /// Takes a turn over. Returns as soon as it is safe on disk, long before it has run; asked again for the
    /// same turn it returns that one's state.
    fn submit(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<Accepted, SubmitError>>;

    /// Ends what runs or waits of a task, or of one of its subtasks. Returns when the work has stopped.
    ///
    /// From the call until the returned [`HoldGuard`] is dropped no callback of the task is started: the
    /// manager can't take one before it has read our answer.
    fn cancel(
        &self,
        task: TaskId,
        subtask: Option<SubtaskId>,
    ) -> BoxFuture<'_, Result<Cancelled, CancelError>>;

    /// The tasks whose agent's process is there.
    fn sessions(&self) -> BoxFuture<'_, Vec<Session>>;

    /// Ends the process that waits for a task's next turn. Returns when it has gone.
    fn end_session(&self, task: TaskId) -> BoxFuture<'_, Result<(), EndSessionError>>;

    /// The latest attempt of every turn that is known, in the order of their keys.
    fn turns(&self) -> BoxFuture<'_, Vec<TurnView>>;

    /// What happened in a turn after the record `after`: in this attempt, or in the latest.
    fn history(
        &self,
        key: TurnKey,
        attempt: Option<Attempt>,
        after: u64,
    ) -> BoxFuture<'_, Result<History, HistoryError>>;
}

/// A turn at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TurnView {
    /// The task.
    pub task: TaskId,
    /// The subtask.
    pub subtask: SubtaskId,
    /// Which run of it.
    pub attempt: Attempt,
    /// Who runs it; `None` if nobody does.
    pub agent: Option<AgentKind>,
    /// How far it is.
    pub state: RunStatus,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// The number of its last event so far.
    pub events: u64,
    /// Up to which of them the platform has taken what there was to send. Equal to `events` in the end.
    pub delivered: u64,
}

impl TurnView {
    pub(super) fn new(name: TurnLogName, card: Card, state: RunStatus, delivered: u64) -> Self {
        Self {
            task: name.key.task,
            subtask: name.key.subtask,
            attempt: name.attempt,
            agent: card.agent,
            state,
            started_at_ms: card.began_ms,
            events: card.events,
            delivered,
        }
    }
}

/// A task whose agent's process is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The task.
    pub task: TaskId,
    /// Whose process it is.
    pub agent: AgentKind,
    /// When the task's first turn began, in milliseconds since 1970.
    pub since_ms: u64,
}

/// A session wasn't ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndSessionError {
    /// The task has none.
    #[error("there is no session")]
    Unknown,
    /// A turn of the task runs.
    #[error("a turn is running; cancel it first")]
    Busy,
}

/// A turn that was taken over.
#[derive(Debug)]
pub struct Accepted {
    /// Which turn.
    pub key: TurnKey,
    /// How far it is.
    pub status: RunStatus,
    /// Keeps the turn's first callback back until the answer to the dispatch is written out.
    pub hold: Option<HoldGuard>,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It waits for another turn of its task.
    Queued,
    /// It runs, or its end isn't delivered yet.
    Running,
    /// It ended with an answer, or with a question.
    Completed,
    /// It ended with an error.
    Failed,
    /// It was ended.
    Cancelled,
}

impl RunStatus {
    /// The status of a turn that ended so.
    pub fn of(end: &EndKind) -> Self {
        match end {
            EndKind::Completed { .. } | EndKind::Waiting { .. } => Self::Completed,
            EndKind::Failed { .. } => Self::Failed,
            EndKind::Cancelled { .. } => Self::Cancelled,
        }
    }

    /// Wegent's word for it, out of the task states that its manager knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A turn wasn't taken over.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// As many turns of the task wait as may.
    #[error("the task has {limit} turns waiting already")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// The turn can't be made safe on disk.
    #[error("the journal can't be written")]
    Journal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The executor is about to end.
    #[error("the executor is shutting down")]
    ShuttingDown,
}

impl SubmitError {
    /// The journal refused.
    pub fn journal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Journal(Box::new(error))
    }
}

/// Turns that were ended.
#[derive(Debug)]
pub struct Cancelled {
    /// Which turns; never empty.
    pub keys: Vec<TurnKey>,
    /// Keeps the task's callbacks back until the answer to the cancel is written out.
    pub hold: HoldGuard,
}

/// Nothing was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// Nothing runs or waits there.
    #[error("nothing is running")]
    NothingRunning,
}

/// Keeps callbacks back while it lives. What it does when it is dropped is its maker's affair.
pub struct HoldGuard {
    _guard: Box<dyn Send + Sync>,
}

impl HoldGuard {
    /// A guard that drops `guard` with itself.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

impl fmt::Debug for HoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HoldGuard")
    }
}
