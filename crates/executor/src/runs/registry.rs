//! The run registry: one actor that knows every turn and decides what a request means.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_core::{
    Attempt, CancelHandle, CancelReason, Layout, SubtaskId, TaskId, TurnKey, environment,
    redaction::EventRedactor,
};
use futures::future::BoxFuture;
use journal::{Retention, Seq, Store};
use redact::Secrets;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{Id, JoinSet},
};
use wegent_protocol::{
    Dispatch, Encoder, Fingerprint, ResponsesEncoder, TurnHeader, TurnRecord, Work,
};

use super::{
    Accepted, CancelError, Cancelled, Gate, HoldGuard, RunStatus, SubmitError, Turns,
    log_name::TurnLogName,
    recorder::Recorder,
    recover::{Epitaph, Pending, Recovered, recover, sweep},
    run::{Job, Refusal, Run},
};
use crate::{
    clock::Clock,
    config::IdentityConfig,
    courier::{Courier, Delivery, RetryPolicy},
    factory::Agents,
    outlets::Outlets,
};

/// How many turns of one task may wait.
pub const QUEUE_LIMIT: usize = 16;
/// For how long a request with the same body is a repeat of the turn that it started.
const REPEAT_WINDOW_MS: u64 = 10 * 60 * 1000;
/// How long a cancel may take before its answer is given up.
const CANCEL_LIMIT: Duration = Duration::from_secs(9);

/// What the registry works with.
pub struct Services {
    /// The journals.
    pub store: Store,
    /// How long ended journals are kept.
    pub retention: Retention,
    /// Who runs turns.
    pub agents: Agents,
    /// Where workspaces lie.
    pub layout: Layout,
    /// Where messages go.
    pub outlets: Outlets,
    /// The pace of retries.
    pub retries: RetryPolicy,
    /// The name that callbacks bear when the request gives none.
    pub identity: IdentityConfig,
    /// The executor's own environment: its secrets must not be shown.
    pub image: environment::Environment,
    /// The time.
    pub clock: Clock,
}

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
    turns: HashMap<TurnKey, Known>,
    tasks: HashMap<TaskId, Lane>,
    work: JoinSet<Done>,
    /// Which turn a task of `work` belongs to, should it panic.
    owners: HashMap<Id, TurnKey>,
    stopping: bool,
}

enum Command {
    Submit(
        Box<Dispatch>,
        oneshot::Sender<Result<Accepted, SubmitError>>,
    ),
    Cancel(
        TaskId,
        Option<SubtaskId>,
        HoldGuard,
        oneshot::Sender<Result<Cancelled, CancelError>>,
    ),
    Shutdown(oneshot::Sender<()>),
}

/// What the registry knows of the latest attempt of a turn.
struct Known {
    attempt: Attempt,
    fingerprint: Fingerprint,
    state: State,
}

enum State {
    Waiting,
    Running(Running),
    /// The end is recorded but not delivered.
    Ending(RunStatus),
    Delivered {
        status: RunStatus,
        at_ms: u64,
    },
}

struct Running {
    cancel: CancelHandle,
    ended: watch::Receiver<Option<RunStatus>>,
}

/// The turns of one task: one runs, the others wait in their order.
#[derive(Default)]
struct Lane {
    running: Option<TurnKey>,
    waiting: VecDeque<(TurnKey, CancelHandle, Run)>,
}

enum Done {
    Ran(TurnKey, RunStatus),
    Delivered(TurnKey, Attempt, Option<Delivery>),
    Other,
}

/// The gate of each task that has one in use.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<HashMap<TaskId, Gate>>>);

impl Gates {
    fn of(&self, task: TaskId) -> Gate {
        let mut gates = self.0.lock().expect("no panic happens under this lock");
        gates.retain(|other, gate| *other == task || gate.is_shared());
        gates.entry(task).or_default().clone()
    }
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
        turns: HashMap::new(),
        tasks: HashMap::new(),
        work: JoinSet::new(),
        owners: HashMap::new(),
        stopping: false,
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
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let sent = self
                .commands
                .send(Command::Submit(Box::new(dispatch), reply))
                .await;
            sent.map_err(|_| SubmitError::ShuttingDown)?;
            answer.await.map_err(|_| SubmitError::ShuttingDown)?
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
    /// Serves until it is told to shut down and everything has ended.
    pub async fn run(mut self) {
        let mut stopped: Option<oneshot::Sender<()>> = None;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Submit(dispatch, reply)) => {
                        let answer = self.submit(*dispatch).await;
                        let _ = reply.send(answer);
                    }
                    Some(Command::Cancel(task, subtask, hold, reply)) => self.cancel(task, subtask, hold, reply).await,
                    Some(Command::Shutdown(reply)) => {
                        self.stop().await;
                        stopped = Some(reply);
                    }
                    None => self.stop().await,
                },
                Some(done) = self.work.join_next_with_id() => self.done(done),
            }
            if self.stopping && self.work.is_empty() {
                self.services.agents.shutdown().await;
                if let Some(reply) = stopped.take() {
                    let _ = reply.send(());
                }
                return;
            }
        }
    }

    async fn submit(&mut self, dispatch: Dispatch) -> Result<Accepted, SubmitError> {
        let key = dispatch.key;
        if let Some(status) = self.repeat_of(&dispatch) {
            tracing::info!(%key, %status, "the same request again");
            return Ok(Accepted {
                key,
                status,
                hold: None,
            });
        }
        if self.stopping {
            return Err(SubmitError::ShuttingDown);
        }
        let lane = self.tasks.entry(key.task).or_default();
        let busy = lane.running.is_some();
        if busy && lane.waiting.len() >= QUEUE_LIMIT {
            return Err(SubmitError::QueueFull { limit: QUEUE_LIMIT });
        }
        let attempt = Attempt(self.turns.get(&key).map_or(1, |known| known.attempt.0 + 1));
        let fingerprint = dispatch.fingerprint;
        let (run, cancel, ended, hold) = self.begin(dispatch, attempt).await?;
        let status = if busy {
            RunStatus::Queued
        } else {
            RunStatus::Running
        };
        tracing::info!(%key, %attempt, %status, "turn accepted");
        if busy {
            self.turns.insert(
                key,
                Known {
                    attempt,
                    fingerprint,
                    state: State::Waiting,
                },
            );
            self.tasks
                .entry(key.task)
                .or_default()
                .waiting
                .push_back((key, cancel, run));
        } else {
            let state = State::Running(Running { cancel, ended });
            self.turns.insert(
                key,
                Known {
                    attempt,
                    fingerprint,
                    state,
                },
            );
            self.start(key, run);
        }
        Ok(Accepted {
            key,
            status,
            hold: Some(hold),
        })
    }

    /// The state of the turn if the request is one we have already: while it runs or its end is not delivered in
    /// any case, after that when the body is the same and came within the window.
    fn repeat_of(&self, dispatch: &Dispatch) -> Option<RunStatus> {
        let known = self.turns.get(&dispatch.key)?;
        match &known.state {
            State::Waiting => Some(RunStatus::Queued),
            State::Running(_) => Some(RunStatus::Running),
            State::Ending(status) => Some(*status),
            State::Delivered { status, at_ms } => {
                let age = self.services.clock.now_ms().saturating_sub(*at_ms);
                (known.fingerprint == dispatch.fingerprint && age <= REPEAT_WINDOW_MS)
                    .then_some(*status)
            }
        }
    }

    /// Writes the turn's first record and starts its courier, which waits until the returned hold is dropped.
    async fn begin(
        &mut self,
        dispatch: Dispatch,
        attempt: Attempt,
    ) -> Result<
        (
            Run,
            CancelHandle,
            watch::Receiver<Option<RunStatus>>,
            HoldGuard,
        ),
        SubmitError,
    > {
        let key = dispatch.key;
        let secrets = self.secrets_of(&dispatch);
        let redactor = EventRedactor::new(secrets);
        let callback_url = self
            .services
            .outlets
            .callback_url(dispatch.callback_url.as_deref());
        let created_at = self.services.clock.now_ms() / 1000;
        let mut header = TurnHeader::new(&dispatch, attempt, callback_url.clone(), created_at);
        // Without it the platform can't find the container again.
        let IdentityConfig { name, namespace } = &self.services.identity;
        header
            .envelope
            .executor_name
            .get_or_insert_with(|| name.clone());
        header.envelope.executor_namespace = header
            .envelope
            .executor_namespace
            .or_else(|| namespace.clone());
        let header = redactor
            .redact_value(header)
            .map_err(SubmitError::journal)?;
        let name = TurnLogName { key, attempt }.to_log_name();
        let log = self
            .services
            .store
            .create::<TurnRecord>(&name)
            .map_err(SubmitError::journal)?;
        let (reader, cursor) = (
            log.reader(Seq::START),
            log.cursor().map_err(SubmitError::journal)?,
        );
        let pending = Pending {
            reader,
            cursor,
            callback_url,
        };
        let begun = Recorder::begin(log, redactor, header, self.services.clock.clone()).await;
        let recorder = begun.map_err(SubmitError::journal)?;
        let turn_gate = Gate::default();
        let hold = HoldGuard::new(turn_gate.hold());
        self.deliver(
            key,
            attempt,
            pending,
            vec![self.gates.of(key.task), turn_gate],
        );
        let (cancel_handle, cancel) = CancelHandle::new();
        let (ended, ended_receiver) = watch::channel(None);
        let run = Run {
            job: self.job(dispatch, attempt),
            recorder,
            layout: self.services.layout.clone(),
            cancel,
            ended,
        };
        Ok((run, cancel_handle, ended_receiver, hold))
    }

    fn secrets_of(&self, dispatch: &Dispatch) -> Secrets {
        let secrets = Secrets::new();
        for secret in dispatch.secrets() {
            secrets.add(secret.clone());
        }
        for secret in environment::secret_values(&self.services.image) {
            secrets.add(secret);
        }
        secrets
    }

    fn job(&self, dispatch: Dispatch, attempt: Attempt) -> Job {
        match dispatch.work {
            Work::Turn(mut turn) => {
                turn.attempt = attempt;
                let agent = self.services.agents.of(turn.agent);
                Job::Turn { turn, agent }
            }
            Work::Validation => Job::Refuse(Refusal::Validation),
            Work::UnknownAgent(unknown) => Job::Refuse(Refusal::UnknownAgent(unknown)),
        }
    }

    fn start(&mut self, key: TurnKey, run: Run) {
        self.tasks.entry(key.task).or_default().running = Some(key);
        let span = tracing::info_span!("turn", task_id = %key.task, subtask_id = %key.subtask);
        let id = self
            .work
            .spawn(tracing::Instrument::instrument(
                async move { Done::Ran(key, run.run().await) },
                span,
            ))
            .id();
        self.owners.insert(id, key);
    }

    fn deliver(&mut self, key: TurnKey, attempt: Attempt, pending: Pending, gates: Vec<Gate>) {
        let Pending {
            reader,
            cursor,
            callback_url,
        } = pending;
        let encoder: Box<dyn Encoder> = Box::new(ResponsesEncoder::new());
        let transport = self.services.outlets.transport(callback_url.as_deref());
        let courier = Courier::new(
            reader,
            cursor,
            encoder,
            transport,
            gates,
            self.services.retries,
        );
        let span = tracing::info_span!("courier", task_id = %key.task, subtask_id = %key.subtask);
        let work = async move {
            let delivery = courier.run().await;
            if let Err(error) = &delivery {
                tracing::error!(%error, "the journal can't be read; its turn is not delivered further");
            }
            Done::Delivered(key, attempt, delivery.ok())
        };
        self.work.spawn(tracing::Instrument::instrument(work, span));
    }

    async fn cancel(
        &mut self,
        task: TaskId,
        subtask: Option<SubtaskId>,
        hold: HoldGuard,
        reply: oneshot::Sender<Result<Cancelled, CancelError>>,
    ) {
        let mut stopping = Vec::new();
        let mut keys = self.cancel_waiting(task, subtask, CancelReason::User).await;
        if let Some(key) = self.tasks.get(&task).and_then(|lane| lane.running)
            && subtask.is_none_or(|subtask| subtask == key.subtask)
            && let Some(Known {
                state: State::Running(running),
                ..
            }) = self.turns.get(&key)
        {
            running.cancel.cancel(CancelReason::User);
            stopping.push(running.ended.clone());
            keys.push(key);
        }
        if keys.is_empty() {
            let _ = reply.send(Err(CancelError::NothingRunning));
            return;
        }
        self.work.spawn(async move {
            let stopped = async {
                for mut ended in stopping {
                    let _ = ended.wait_for(Option::is_some).await;
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
        let Some(lane) = self.tasks.get_mut(&task) else {
            return Vec::new();
        };
        let (ending, waiting) = std::mem::take(&mut lane.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(key, ..)| {
                subtask.is_none_or(|subtask| subtask == key.subtask)
            });
        lane.waiting = waiting;
        let mut keys = Vec::new();
        for (key, _cancel, run) in ending {
            let status = run.cancelled_while_waiting(reason).await;
            self.set_state(key, State::Ending(status));
            keys.push(key);
        }
        keys
    }

    async fn stop(&mut self) {
        self.stopping = true;
        let tasks: Vec<TaskId> = self.tasks.keys().copied().collect();
        for task in tasks {
            self.cancel_waiting(task, None, CancelReason::Shutdown)
                .await;
        }
        for known in self.turns.values() {
            if let State::Running(running) = &known.state {
                running.cancel.cancel(CancelReason::Shutdown);
            }
        }
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
        // Its courier may have been faster.
        if let Some(Known {
            state: State::Running(_),
            ..
        }) = self.turns.get(&key)
        {
            self.set_state(key, State::Ending(status));
        }
        let Some(lane) = self.tasks.get_mut(&key.task) else {
            return;
        };
        lane.running = None;
        match lane.waiting.pop_front() {
            Some((next, cancel, run)) => {
                let state = State::Running(Running {
                    cancel,
                    ended: run.ended.subscribe(),
                });
                self.set_state(next, state);
                self.start(next, run);
            }
            None => {
                self.tasks.remove(&key.task);
            }
        }
    }

    fn delivered(&mut self, key: TurnKey, attempt: Attempt, delivery: Option<Delivery>) {
        let Some(known) = self
            .turns
            .get_mut(&key)
            .filter(|known| known.attempt == attempt)
        else {
            return;
        };
        let status = match &known.state {
            State::Ending(status) => *status,
            // The run's own word is still on its way; it was recorded before it could be delivered.
            State::Running(running) => running.ended.borrow().unwrap_or(RunStatus::Failed),
            State::Waiting | State::Delivered { .. } => return,
        };
        if delivery == Some(Delivery::Refused) {
            tracing::error!(%key, "the platform refused the turn's end; it will not hear of it again");
        }
        known.state = State::Delivered {
            status,
            at_ms: self.services.clock.now_ms(),
        };
        self.forget_old();
    }

    fn set_state(&mut self, key: TurnKey, state: State) {
        if let Some(known) = self.turns.get_mut(&key) {
            known.state = state;
        }
    }

    /// Gives back the room of journals that were delivered long ago.
    fn forget_old(&self) {
        let Services {
            store,
            retention,
            clock,
            ..
        } = &self.services;
        sweep(store, retention, clock, |name| {
            let known = self.turns.get(&name.key)?;
            match &known.state {
                State::Delivered { status, at_ms } => Some(Epitaph {
                    fingerprint: known.fingerprint,
                    status: *status,
                    delivered_at_ms: *at_ms,
                }),
                // An older attempt is only asked about once its log is closed, and so delivered.
                State::Waiting | State::Running(_) | State::Ending(_)
                    if known.attempt > name.attempt =>
                {
                    Some(Epitaph {
                        fingerprint: known.fingerprint,
                        status: RunStatus::Failed,
                        delivered_at_ms: 0,
                    })
                }
                State::Waiting | State::Running(_) | State::Ending(_) => None,
            }
        });
    }

    fn take_up(&mut self, recovered: Recovered) {
        let Recovered {
            name,
            fingerprint,
            status,
            delivered_at_ms,
            pending,
        } = recovered;
        let newer = self
            .turns
            .get(&name.key)
            .is_some_and(|known| known.attempt > name.attempt);
        if !newer {
            let state = match delivered_at_ms {
                Some(at_ms) => State::Delivered { status, at_ms },
                None => State::Ending(status),
            };
            self.turns.insert(
                name.key,
                Known {
                    attempt: name.attempt,
                    fingerprint,
                    state,
                },
            );
        }
        if let Some(pending) = pending {
            self.deliver(
                name.key,
                name.attempt,
                pending,
                vec![self.gates.of(name.key.task)],
            );
        }
    }
}
