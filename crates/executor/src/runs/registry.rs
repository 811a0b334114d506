//! The handle of the runs: what HTTP and the command line talk to.

use agent_core::{Attempt, SubtaskId, TaskId, TurnKey};
use futures::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use wegent_protocol::Dispatch;

use super::{
    Accepted, CancelError, Cancelled, EndSessionError, Gates, History, HistoryError, HoldGuard,
    Session, SubmitError, TurnView, Turns, actor::Runs, opening::Services,
};

/// The handle: what HTTP and the command line talk to.
#[derive(Clone)]
pub struct Registry {
    commands: mpsc::Sender<Command>,
    gates: Gates,
}

/// What the handle asks of the actor.
pub(super) enum Command {
    Submit(
        Box<Dispatch>,
        Arrival,
        oneshot::Sender<Result<Accepted, SubmitError>>,
    ),
    Cancel(
        TaskId,
        Option<SubtaskId>,
        HoldGuard,
        oneshot::Sender<Result<Cancelled, CancelError>>,
    ),
    Sessions(oneshot::Sender<Vec<Session>>),
    EndSession(TaskId, oneshot::Sender<Result<(), EndSessionError>>),
    Turns(oneshot::Sender<Vec<TurnView>>),
    History(
        TurnKey,
        Option<Attempt>,
        u64,
        oneshot::Sender<Result<History, HistoryError>>,
    ),
    Shutdown(oneshot::Sender<()>),
}

/// How a turn came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    /// By a request, whose caller may repeat it for a while.
    Request,
    /// With the process's start. The same comes with every start of the container, and is run once.
    Start {
        /// Its end isn't told before this.
        end_not_before: Instant,
    },
}

/// Makes the registry and takes up what an earlier process left behind.
///
/// # Errors
/// [`journal::StoreError`] when the journals can't be listed.
pub fn registry(services: Services) -> Result<(Registry, Runs), journal::StoreError> {
    let (sender, commands) = mpsc::channel(64);
    let gates = Gates::default();
    let runs = Runs::new(services, commands, gates.clone())?;
    let registry = Registry {
        commands: sender,
        gates,
    };
    Ok((registry, runs))
}

impl Registry {
    /// Takes over the turn that came with the process's start, unless an earlier process did. Its end is not told before
    /// `end_not_before`.
    ///
    /// # Errors
    /// [`SubmitError`] when it can't be taken over.
    pub async fn submit_at_start(
        &self,
        dispatch: Dispatch,
        end_not_before: Instant,
    ) -> Result<Accepted, SubmitError> {
        self.send(dispatch, Arrival::Start { end_not_before }).await
    }

    async fn send(&self, dispatch: Dispatch, arrival: Arrival) -> Result<Accepted, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Submit(Box::new(dispatch), arrival, reply);
        let sent = self.commands.send(command).await;
        sent.map_err(|_| SubmitError::ShuttingDown)?;
        answer.await.map_err(|_| SubmitError::ShuttingDown)?
    }

    /// Stops every turn, lets the couriers have what is left of the time, and returns when all is done.
    /// Dropping the [`Runs`] future is what bounds it.
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Shutdown(reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

impl Turns for Registry {
    fn submit(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<Accepted, SubmitError>> {
        Box::pin(self.send(dispatch, Arrival::Request))
    }

    fn sessions(&self) -> BoxFuture<'_, Vec<Session>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            // An executor that ends has none any more.
            let _ = self.commands.send(Command::Sessions(reply)).await;
            answer.await.unwrap_or_default()
        })
    }

    fn end_session(&self, task: TaskId) -> BoxFuture<'_, Result<(), EndSessionError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let _ = self.commands.send(Command::EndSession(task, reply)).await;
            answer.await.unwrap_or(Err(EndSessionError::Unknown))
        })
    }

    fn turns(&self) -> BoxFuture<'_, Vec<TurnView>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let _ = self.commands.send(Command::Turns(reply)).await;
            answer.await.unwrap_or_default()
        })
    }

    fn history(
        &self,
        key: TurnKey,
        attempt: Option<Attempt>,
        after: u64,
    ) -> BoxFuture<'_, Result<History, HistoryError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let command = Command::History(key, attempt, after, reply);
            let _ = self.commands.send(command).await;
            answer.await.map_err(|_| HistoryError::ShuttingDown)?
        })
    }

    fn cancel(
        &self,
        task: TaskId,
        subtask: Option<SubtaskId>,
    ) -> BoxFuture<'_, Result<Cancelled, CancelError>> {
        // From the call's arrival on no request of the task may start.
        let hold = HoldGuard::new(self.gates.of(task).hold());
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let sent = self
                .commands
                .send(Command::Cancel(task, subtask, hold, reply))
                .await;
            sent.map_err(|_| CancelError::NothingRunning)?;
            answer.await.map_err(|_| CancelError::NothingRunning)?
        })
    }
}
