//! The run registry's actor: it knows every turn and decides what a request means.

use std::{collections::HashMap, time::Duration};

use agent_core::{Attempt, CancelReason, SubtaskId, TaskId, TurnKey};
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinSet},
};
use tracing::Instrument;
use wegent_protocol::{Dispatch, Fingerprint};

use super::{
    Accepted, CancelError, Cancelled, Gates, History, HistoryError, HoldGuard, RunStatus,
    SubmitError,
    catalog::{Card, Catalog, OpenTurn},
    ledger::{Ledger, Meaning, QUEUE_LIMIT, REPEAT_WINDOW_MS, State},
    log_name::TurnLogName,
    opening::{Opened, RunHandle, Services},
    recover::{Again, Pending, Recovered, recover, sweep},
    registry::{Arrival, Command},
    run::{Ended, Run},
    sessions::Sessions,
};
use crate::courier::{Courier, Delivery, Terms};

/// How often old journals are looked for.
const SWEEP_EVERY_MS: u64 = 60 * 1000;
/// How long a cancel may take before its answer is given up.
const CANCEL_LIMIT: Duration = Duration::from_secs(9);

/// The actor behind [`Registry`](super::Registry). It ends when it has been told to shut down and everything has ended.
pub struct Runs {
    pub(super) services: Services,
    commands: mpsc::Receiver<Command>,
    gates: Gates,
    pub(super) ledger: Ledger<RunHandle, (RunHandle, Run)>,
    catalog: Catalog,
    pub(super) work: JoinSet<Done>,
    /// Which turn a task of `work` runs, should it panic.
    owners: HashMap<Id, TurnKey>,
    phase: Phase,
    pub(super) sessions: Sessions,
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

pub(super) enum Done {
    Ran(TurnKey, RunStatus),
    Delivered(TurnKey, Attempt, Option<Delivery>),
    /// Whoever waits for a session's end may have waited long enough.
    Waited,
    Other,
}

impl Runs {
    /// An actor that has taken up what an earlier process left behind.
    pub(super) fn new(
        services: Services,
        commands: mpsc::Receiver<Command>,
        gates: Gates,
    ) -> Result<Self, journal::StoreError> {
        let mut runs = Self {
            services,
            commands,
            gates,
            ledger: Ledger::default(),
            catalog: Catalog::default(),
            work: JoinSet::new(),
            owners: HashMap::new(),
            phase: Phase::Serving,
            sessions: Sessions::default(),
            swept_at_ms: 0,
        };
        let Services {
            store,
            clock,
            rerun,
            ..
        } = &runs.services;
        for recovered in recover(store, clock, *rerun)? {
            runs.take_up(recovered);
        }
        Ok(runs)
    }

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
            Command::Turns(reply) => {
                let _ = reply.send(self.catalog.views(|key| self.ledger.status(key)));
            }
            Command::History(key, attempt, after, reply) => {
                self.history(key, attempt, after, reply);
            }
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
            open,
            card,
            courier,
            hold,
        } = opened;
        self.catalog
            .list(TurnLogName { key, attempt }, card, Some(open));
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
        self.sessions.guard(key.task, &run.secrets);
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

    fn done(&mut self, done: Result<(Id, Done), tokio::task::JoinError>) {
        match done {
            Ok((id, Done::Ran(key, status))) => {
                self.owners.remove(&id);
                self.ran(key, status);
            }
            Ok((_, Done::Delivered(key, attempt, delivery))) => {
                self.delivered(key, attempt, delivery)
            }
            Ok((_, Done::Waited)) => self.refuse_to_wait_longer(),
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
        } else {
            self.end_awaited_session(key.task);
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
        self.catalog.close(TurnLogName { key, attempt });
        // It reads the folder, so not after every turn.
        if now.saturating_sub(self.swept_at_ms) >= SWEEP_EVERY_MS {
            self.swept_at_ms = now;
            let Services {
                store,
                retention,
                clock,
                ..
            } = &self.services;
            sweep(store, retention, clock, |name| {
                let card = self.catalog.card(name).unwrap_or_default();
                self.ledger.epitaph(name, card)
            });
        }
    }

    /// A journal that nobody writes or delivers any more is opened elsewhere: it may be long.
    fn history(
        &mut self,
        key: TurnKey,
        attempt: Option<Attempt>,
        after: u64,
        reply: oneshot::Sender<Result<History, HistoryError>>,
    ) {
        let Some((latest, open)) = self.catalog.latest(key) else {
            let _ = reply.send(Err(HistoryError::Unknown));
            return;
        };
        let attempt = attempt.unwrap_or(latest);
        let name = TurnLogName { key, attempt };
        let status = self.ledger.status(key);
        let open = open.filter(|_| attempt == latest).zip(status);
        let store = self.services.store.clone();
        self.work.spawn(async move {
            let opened = tokio::task::spawn_blocking(move || match open {
                Some((open, status)) => Ok(History::of_open(name, status, open, after)?),
                None => History::of_closed(&store, name, after),
            });
            // It fails only by a panic, or by the end of everything.
            if let Ok(history) = opened.await {
                let _ = reply.send(history);
            }
            Done::Other
        });
    }

    fn take_up(&mut self, recovered: Recovered) {
        let Recovered {
            name,
            fingerprint,
            status,
            delivered_at_ms,
            card,
            mut pending,
            again,
        } = recovered;
        if let Some(again) = again
            && let Some(pending) = pending.take()
        {
            self.take_up_again(name, fingerprint, card, pending, again);
            return;
        }
        let state = match delivered_at_ms {
            Some(at_ms) => State::Delivered { status, at_ms },
            None => State::Ending(status),
        };
        self.ledger.recovered(name, fingerprint, state);
        let Some(pending) = pending else {
            self.catalog.list(name, card, None);
            return;
        };
        let terms = Terms {
            gates: vec![self.gates.of(name.key.task)],
            ..Terms::default()
        };
        let log = pending.log.clone();
        let courier = self.services.courier(pending, terms);
        let delivered = courier.progress();
        let open = OpenTurn { log, delivered };
        self.catalog.list(name, card, Some(open));
        self.deliver(name.key, name.attempt, courier);
    }

    /// Has a turn that was cut off run again, in its turn among those of its task.
    fn take_up_again(
        &mut self,
        name: TurnLogName,
        fingerprint: Fingerprint,
        card: Card,
        pending: Pending,
        again: Again,
    ) {
        let (key, attempt) = (name.key, name.attempt);
        if let Some(turn) = again.dispatch.turn() {
            self.note_session(key.task, turn.agent);
        }
        let gate = self.gates.of(key.task);
        let opened = match self.services.reopen(again, name, pending, card, gate) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%key, %error, "the turn can't be taken up again");
                return;
            }
        };
        let Opened {
            run,
            handle,
            open,
            card,
            courier,
            ..
        } = opened;
        self.catalog.list(name, card, Some(open));
        self.deliver(key, attempt, courier);
        if self.ledger.is_busy(key.task) {
            self.ledger.waits(key, attempt, fingerprint, (handle, run));
        } else {
            self.ledger.started(key, attempt, fingerprint, handle);
            self.start(key, run);
        }
    }
}
