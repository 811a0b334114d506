//! The run registry: one actor that knows every turn and decides what a request means.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use agent_core::{AgentKind, Attempt, CancelReason, SubtaskId, TaskId, TurnKey};
use futures::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinSet},
    time::Instant,
};
use tracing::Instrument;
use wegent_protocol::Dispatch;

use super::{
    Accepted, CancelError, Cancelled, EndSessionError, Gates, HoldGuard, RunStatus, Session,
    SubmitError, Turns,
    ledger::{Ledger, Meaning, QUEUE_LIMIT, REPEAT_WINDOW_MS, State},
    opening::{Opened, RunHandle, Services},
    recover::{Recovered, recover, sweep},
    run::{Ended, Run},
};
use crate::courier::{Courier, Delivery, Terms};

/// How often old journals are looked for.
const SWEEP_EVERY_MS: u64 = 60 * 1000;
/// How long a cancel may take before its answer is given up.
const CANCEL_LIMIT: Duration = Duration::from_secs(9);
/// How long a session may still be busy after its turn's end was told: the caller may have acted on that at once.
const ENDING_LIMIT: Duration = Duration::from_secs(1);

/// The handle: what HTTP and the command line talk to.
#[derive(Clone)]
pub struct Registry {
    commands: mpsc::Sender<Command>,
    gates: Gates,
}

/// The actor behind [`Registry`]. It ends when it has been told to shut down and everything has ended.
pub struct Runs {
    services: Services,
    commands: mpsc::Receiver<Command>,
    gates: Gates,
    ledger: Ledger<RunHandle, (RunHandle, Run)>,
    work: JoinSet<Done>,
    /// Which turn a task of `work` runs, should it panic.
    owners: HashMap<Id, TurnKey>,
    phase: Phase,
    /// Whose turns have run, and since when.
    sessions: BTreeMap<TaskId, Session>,
    /// When old journals were last removed, in milliseconds since 1970.
    swept_at_ms: u64,
}

/// How far the actor is on its way to its end.
enum Phase {
    Serving,
    /// No turn is taken any more. Whoever asked for it waits.
    Stopping(Option<oneshot::Sender<()>>),
    /// No turn runs any more either; agents end their processes, couriers may still have much to do.
    Draining(Option<oneshot::Sender<()>>),
}

enum Command {
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
    Shutdown(oneshot::Sender<()>),
}

/// How a turn came.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    /// By a request, whose caller may repeat it for a while.
    Request,
    /// With the process's start. The same comes with every start of the container, and is run once.
    Start {
        /// Its end isn't told before this.
        end_not_before: Instant,
    },
}

enum Done {
    Ran(TurnKey, RunStatus),
    Delivered(TurnKey, Attempt, Option<Delivery>),
    Other,
}

/// Makes the registry and takes up what an earlier process left behind.
///
/// # Errors
/// [`journal::StoreError`] when the journals can't be listed.
pub fn registry(services: Services) -> Result<(Registry, Runs), journal::StoreError> {
    let (sender, commands) = mpsc::channel(64);
    let gates = Gates::default();
    let mut runs = Runs {
        services,
        commands,
        gates: gates.clone(),
        ledger: Ledger::default(),
        work: JoinSet::new(),
        owners: HashMap::new(),
        phase: Phase::Serving,
        sessions: BTreeMap::new(),
        swept_at_ms: 0,
    };
    for recovered in recover(&runs.services.store, &runs.services.clock)? {
        runs.take_up(recovered);
    }
    Ok((
        Registry {
            commands: sender,
            gates,
        },
        runs,
    ))
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
            let given_up = Instant::now() + ENDING_LIMIT;
            loop {
                let (reply, answer) = oneshot::channel();
                let _ = self.commands.send(Command::EndSession(task, reply)).await;
                let ended = answer.await.unwrap_or(Err(EndSessionError::Unknown));
                if ended != Err(EndSessionError::Busy) || Instant::now() >= given_up {
                    return ended;
                }
                tokio::time::sleep(ENDING_LIMIT / 20).await;
            }
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

impl Runs {
    /// Serves until it is told to shut down, or nobody can tell it anything any more, and everything has ended.
    pub async fn run(mut self) {
        let mut open = true;
        loop {
            tokio::select! {
                command = self.commands.recv(), if open => match command {
                    Some(command) => self.obey(command).await,
                    None => {
                        open = false;
                        self.stop(None).await;
                    }
                },
                Some(done) = self.work.join_next_with_id() => self.done(done),
            }
            if self.has_ended() {
                return;
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(dispatch, arrival, reply) => {
                let answer = self.submit(*dispatch, arrival).await;
                let _ = reply.send(answer);
            }
            Command::Cancel(task, subtask, hold, reply) => {
                self.cancel(task, subtask, hold, reply).await
            }
            Command::Sessions(reply) => self.list_sessions(reply),
            Command::EndSession(task, reply) => self.end_session(task, reply),
            Command::Shutdown(reply) => self.stop(Some(reply)).await,
        }
    }

    /// Whether all is over. Once no turn runs, agents are told to end their processes: couriers may take longer.
    fn has_ended(&mut self) -> bool {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Serving) {
            Phase::Stopping(reply) if self.ledger.busy_tasks().is_empty() => {
                let agents = self.services.agents.clone();
                self.work.spawn(async move {
                    agents.shutdown().await;
                    Done::Other
                });
                Phase::Draining(reply)
            }
            Phase::Draining(reply) if self.work.is_empty() => {
                if let Some(reply) = reply {
                    let _ = reply.send(());
                }
                return true;
            }
            phase => phase,
        };
        false
    }

    async fn submit(
        &mut self,
        dispatch: Dispatch,
        arrival: Arrival,
    ) -> Result<Accepted, SubmitError> {
        let (key, fingerprint) = (dispatch.key, dispatch.fingerprint);
        let (window, end_not_before) = match arrival {
            Arrival::Request => (REPEAT_WINDOW_MS, None),
            Arrival::Start { end_not_before } => (u64::MAX, Some(end_not_before)),
        };
        let meaning = self
            .ledger
            .meaning(key, fingerprint, window, self.services.clock.now_ms());
        let (attempt, status) = match meaning {
            Meaning::Repeat(status) => {
                tracing::info!(%key, %status, "the same request again");
                return Ok(Accepted {
                    key,
                    status,
                    hold: None,
                });
            }
            _ if !matches!(self.phase, Phase::Serving) => return Err(SubmitError::ShuttingDown),
            Meaning::Full => return Err(SubmitError::QueueFull { limit: QUEUE_LIMIT }),
            Meaning::Start(attempt) => (attempt, RunStatus::Running),
            Meaning::Wait(attempt) => (attempt, RunStatus::Queued),
        };
        if let Some(turn) = dispatch.turn() {
            self.note_session(key.task, turn.agent);
        }
        let opened = self
            .services
            .open(dispatch, attempt, self.gates.of(key.task), end_not_before)
            .await?;
        let Opened {
            run,
            handle,
            courier,
            hold,
        } = opened;
        tracing::info!(%key, %attempt, %status, "turn accepted");
        self.deliver(key, attempt, courier);
        if status == RunStatus::Queued {
            self.ledger.waits(key, attempt, fingerprint, (handle, run));
        } else {
            self.ledger.started(key, attempt, fingerprint, handle);
            self.start(key, run);
        }
        Ok(Accepted {
            key,
            status,
            hold: Some(hold),
        })
    }

    fn start(&mut self, key: TurnKey, run: Run) {
        let span = tracing::info_span!("turn", task_id = %key.task, subtask_id = %key.subtask);
        let work = async move { Done::Ran(key, run.run().await) };
        let id = self.work.spawn(work.instrument(span)).id();
        self.owners.insert(id, key);
    }

    fn deliver(&mut self, key: TurnKey, attempt: Attempt, courier: Courier) {
        let span = tracing::info_span!("courier", task_id = %key.task, subtask_id = %key.subtask);
        let work = async move {
            let delivery = courier.run().await;
            if let Err(error) = &delivery {
                tracing::error!(%error, "the journal can't be read; its turn is not delivered further");
            }
            Done::Delivered(key, attempt, delivery.ok())
        };
        self.work.spawn(work.instrument(span));
    }

    async fn cancel(
        &mut self,
        task: TaskId,
        subtask: Option<SubtaskId>,
        hold: HoldGuard,
        reply: oneshot::Sender<Result<Cancelled, CancelError>>,
    ) {
        let mut keys = self.cancel_waiting(task, subtask, CancelReason::User).await;
        let mut stopping = None;
        // A turn whose end is known may have told it already: there is nothing left to cancel.
        let running = self.ledger.running(task, subtask);
        let running = running.filter(|(_, running)| *running.ended.borrow() == Ended::No);
        if let Some((key, running)) = running {
            running.cancel.cancel(CancelReason::User);
            stopping = Some(running.ended.clone());
            keys.push(key);
        }
        if keys.is_empty() {
            let _ = reply.send(Err(CancelError::NothingRunning));
            return;
        }
        self.work.spawn(async move {
            let stopped = async {
                if let Some(mut ended) = stopping {
                    let _ = ended.wait_for(|ended| *ended == Ended::Recorded).await;
                }
            };
            if tokio::time::timeout(CANCEL_LIMIT, stopped).await.is_err() {
                tracing::error!(%task, "the turn did not stop in time");
            }
            let _ = reply.send(Ok(Cancelled { keys, hold }));
            Done::Other
        });
    }

    /// Ends turns of the task that still wait, and says which.
    async fn cancel_waiting(
        &mut self,
        task: TaskId,
        subtask: Option<SubtaskId>,
        reason: CancelReason,
    ) -> Vec<TurnKey> {
        let mut keys = Vec::new();
        for (key, (_, run)) in self.ledger.take_waiting(task, subtask) {
            let status = run.cancelled_while_waiting(reason).await;
            self.ledger.ended_waiting(key, status);
            keys.push(key);
        }
        keys
    }

    async fn stop(&mut self, reply: Option<oneshot::Sender<()>>) {
        if matches!(self.phase, Phase::Serving) {
            self.phase = Phase::Stopping(reply);
        }
        for task in self.ledger.busy_tasks() {
            self.cancel_waiting(task, None, CancelReason::Shutdown)
                .await;
        }
        for running in self.ledger.all_running() {
            running.cancel.cancel(CancelReason::Shutdown);
        }
    }

    /// The first turn of a task, or of another agent in it, begins a session.
    fn note_session(&mut self, task: TaskId, agent: AgentKind) {
        let since_ms = self.services.clock.now_ms();
        let known = self.sessions.get(&task);
        if known.is_none_or(|session| session.agent != agent) {
            let session = Session {
                task,
                agent,
                since_ms,
            };
            self.sessions.insert(task, session);
        }
    }

    fn list_sessions(&mut self, reply: oneshot::Sender<Vec<Session>>) {
        let known: Vec<(Session, bool)> = self
            .sessions
            .values()
            .map(|session| (session.clone(), self.ledger.is_busy(session.task)))
            .collect();
        let agents = self.services.agents.clone();
        self.work.spawn(async move {
            let mut sessions = Vec::new();
            for (session, busy) in known {
                if busy || agents.of(session.agent).has_session(session.task).await {
                    sessions.push(session);
                }
            }
            let _ = reply.send(sessions);
            Done::Other
        });
    }

    fn end_session(&mut self, task: TaskId, reply: oneshot::Sender<Result<(), EndSessionError>>) {
        if self.ledger.is_busy(task) {
            let _ = reply.send(Err(EndSessionError::Busy));
            return;
        }
        let Some(session) = self.sessions.remove(&task) else {
            let _ = reply.send(Err(EndSessionError::Unknown));
            return;
        };
        let agent = self.services.agents.of(session.agent);
        self.work.spawn(async move {
            let ended = match agent.end_session(task).await {
                true => Ok(()),
                false => Err(EndSessionError::Unknown),
            };
            let _ = reply.send(ended);
            Done::Other
        });
    }

    fn done(&mut self, done: Result<(Id, Done), tokio::task::JoinError>) {
        match done {
            Ok((id, Done::Ran(key, status))) => {
                self.owners.remove(&id);
                self.ran(key, status);
            }
            Ok((_, Done::Delivered(key, attempt, delivery))) => {
                self.delivered(key, attempt, delivery)
            }
            Ok((_, Done::Other)) => {}
            Err(error) => {
                tracing::error!(%error, "a task of the executor panicked");
                if let Some(key) = self.owners.remove(&error.id()) {
                    self.ran(key, RunStatus::Failed);
                }
            }
        }
    }

    fn ran(&mut self, key: TurnKey, status: RunStatus) {
        self.ledger.ended(key, status);
        if let Some((next, attempt, fingerprint, (handle, run))) = self.ledger.next_after(key) {
            self.ledger.started(next, attempt, fingerprint, handle);
            self.start(next, run);
        }
    }

    fn delivered(&mut self, key: TurnKey, attempt: Attempt, delivery: Option<Delivery>) {
        let status = match delivery {
            Some(Delivery::Delivered(status)) => status,
            Some(Delivery::Refused(status)) => {
                tracing::error!(%key, "the platform refused the turn's end; it will not hear of it again");
                status
            }
            // Nothing more comes of it before the next start.
            Some(Delivery::Unfinished) | None => RunStatus::Failed,
        };
        let now = self.services.clock.now_ms();
        self.ledger.delivered(key, attempt, status, now);
        // It reads the folder, so not after every turn.
        if now.saturating_sub(self.swept_at_ms) >= SWEEP_EVERY_MS {
            self.swept_at_ms = now;
            let Services {
                store,
                retention,
                clock,
                ..
            } = &self.services;
            sweep(store, retention, clock, |name| self.ledger.epitaph(name));
        }
    }

    fn take_up(&mut self, recovered: Recovered) {
        let Recovered {
            name,
            fingerprint,
            status,
            delivered_at_ms,
            pending,
        } = recovered;
        let state = match delivered_at_ms {
            Some(at_ms) => State::Delivered { status, at_ms },
            None => State::Ending(status),
        };
        self.ledger.recovered(name, fingerprint, state);
        if let Some(pending) = pending {
            let terms = Terms {
                gates: vec![self.gates.of(name.key.task)],
                ..Terms::default()
            };
            let courier = self.services.courier(pending, terms);
            self.deliver(name.key, name.attempt, courier);
        }
    }
}
