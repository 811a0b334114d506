//! One turn from its preparation to its `Ended` record.

use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use agent_core::{
    Agent, AgentError, AgentEvent, Cancel, CancelHandle, CancelReason, Emitted, ErrorClass,
    EventSink, Events, FileChanges, Limit, Outcome, StopReason, StopStep, Turn, TurnCx,
    UnknownAgent,
    git::TurnChanges,
    prepare::{PrepareCx, PrepareError, Prepared, Preparer},
};
use futures::FutureExt;
use journal::Seq;
use redact::Secrets;
use tokio::sync::watch;
use wegent_protocol::{EndKind, Validation, limit_code};

use super::{
    Limits, RunStatus,
    glances::{Glances, Seen},
    limits::Meter,
    marks::Marks,
    recorder::Recorder,
};
use crate::{logging::Covered, validate::Machine};

/// The code of a turn whose first callback was refused.
const CALLBACK_REJECTED: &str = "callback_rejected";
/// How many events may wait for the journal before the agent waits.
const EVENT_BUFFER: usize = 256;
/// How long it may take to find out what a turn changed.
const CHANGES: Duration = Duration::from_secs(20);
/// The same for one that was told to stop.
const CHANGES_OF_A_CANCELLED_TURN: Duration = Duration::from_millis(300);

/// What there is to do.
pub(super) enum Job {
    /// Run the turn.
    Turn {
        /// What was asked for.
        turn: Box<Turn>,
        /// Who does it.
        agent: Arc<dyn Agent>,
    },
    /// Look for what an agent needs.
    Validate {
        /// What was asked for.
        asked: Validation,
        /// Where it is looked for.
        machine: Arc<Machine>,
    },
    /// Nobody does this here.
    Refuse(Refusal),
}

/// Why a request that is well formed is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The shell type is none we know.
    UnknownAgent(UnknownAgent),
    /// What was asked for is not to be done here, or can't be read.
    Refused {
        /// Why, naming the field.
        message: String,
    },
}

/// How far a turn's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It goes on, or waits.
    No,
    /// It is over. That is being recorded, and may be told already.
    Recording,
    /// That is on disk.
    Recorded,
}

/// One turn that is about to run, or waits for its turn.
pub(super) struct Run {
    /// What there is to do.
    pub(super) job: Job,
    /// Where what happens is written.
    pub(super) recorder: Recorder,
    /// Whether what changes in the repository is told while the turn runs, and not only at its end.
    pub(super) tells_changes: bool,
    /// How far it has been delivered.
    pub(super) delivered: watch::Receiver<Seq>,
    /// Prepares it.
    pub(super) preparer: Arc<Preparer>,
    /// What must not be shown; grows while the turn is prepared.
    pub(super) secrets: Secrets,
    /// Tells the run to stop.
    pub(super) cancel: Cancel,
    /// Tells it so from within.
    pub(super) stop: CancelHandle,
    /// What it may use.
    pub(super) limits: Limits,
    /// Tells how far the end is.
    pub(super) ended: watch::Sender<Ended>,
    /// Keeps the turn's secrets out of the log.
    pub(super) covered: Covered,
}

impl Run {
    /// Runs the turn to its end, which is recorded when this returns. A panic ends the turn, not the executor.
    pub(super) async fn run(self) -> RunStatus {
        let Self {
            job,
            mut recorder,
            tells_changes,
            delivered,
            preparer,
            secrets,
            cancel,
            stop,
            limits,
            ended,
            covered: _covered,
        } = self;
        let kind = match job {
            Job::Refuse(refusal) => refusal.end(),
            Job::Validate { asked, machine } => validated(asked, &machine, &cancel, &limits).await,
            Job::Turn { turn, agent } => {
                let (events, receiver) = EventSink::new(EVENT_BUFFER);
                let cx = PrepareCx {
                    agent: agent.as_ref(),
                    events,
                    cancel: cancel.clone(),
                    secrets,
                };
                let (glances, seen) = Glances::new(tells_changes);
                let recording = Recording {
                    recorder: &mut recorder,
                    marks: Marks::new(delivered),
                    seen,
                    meter: Meter::new(limits, stop),
                };
                let work = recording.follow(work(*turn, &preparer, cx, glances), receiver);
                match AssertUnwindSafe(work).catch_unwind().await {
                    Ok((result, changes)) => {
                        recorder.changes(changes);
                        end_of(result, &cancel, &limits)
                    }
                    Err(panic) => panicked(panic.as_ref()),
                }
            }
        };
        finish(recorder, kind, &ended).await
    }

    /// Ends a turn that never started.
    pub(super) async fn cancelled_while_waiting(self, reason: CancelReason) -> RunStatus {
        let kind = cancelled(reason, &self.limits);
        finish(self.recorder, kind, &self.ended).await
    }
}

async fn finish(recorder: Recorder, kind: EndKind, ended: &watch::Sender<Ended>) -> RunStatus {
    let status = RunStatus::of(&kind);
    match &kind {
        EndKind::Failed {
            class,
            message,
            code,
        } => tracing::warn!(?class, code, message, "turn failed"),
        _ => tracing::info!(%status, "turn ended"),
    }
    ended.send_replace(Ended::Recording);
    recorder.end(kind).await;
    ended.send_replace(Ended::Recorded);
    status
}

/// The report is the turn's text. That something is missing is no failure of the turn.
async fn validated(
    asked: Validation,
    machine: &Machine,
    cancel: &Cancel,
    limits: &Limits,
) -> EndKind {
    tokio::select! {
        report = machine.validate(asked) => EndKind::Completed {
            text: report.to_json(),
            stop: StopReason::EndTurn,
        },
        reason = cancel.cancelled() => cancelled(reason, limits),
    }
}

/// How a turn ended, and what it changed in its repository.
type Worked = (Result<Outcome, AgentError>, FileChanges);

/// Prepares the turn and runs it.
async fn work(turn: Turn, preparer: &Preparer, cx: PrepareCx<'_>, glances: Glances) -> Worked {
    let task = turn.key.task;
    // What the preparation needs is given back before the agent runs.
    let prepared = Box::pin(preparer.prepare(turn, &cx)).await;
    let Prepared { turn, workspace } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            if cx.cancel.reason().is_some() {
                // As below: it was warmed up meanwhile.
                cx.agent.end_session(task).await;
            }
            return (not_prepared(error), FileChanges::default());
        }
    };
    let changes = tokio::select! {
        begun = TurnChanges::begin(&workspace.cwd) => begun,
        // The agent ends what it has warmed up.
        _ = cx.cancel.cancelled() => TurnChanges::none(),
    };
    let PrepareCx {
        agent,
        events,
        cancel,
        ..
    } = cx;
    let cwd = workspace.cwd.display().to_string();
    let result = match events.emit(AgentEvent::Place { cwd }).await {
        Ok(()) => {
            let running = agent.run(&turn, &workspace, TurnCx { events, cancel });
            glances.beside(running, &changes).await
        }
        Err(closed) => Err(closed.into()),
    };
    if let Ok(Outcome::Cancelled {
        stopped_by: StopStep::NotStarted,
        ..
    }) = &result
    {
        // What was warmed up for it may be far from being of use.
        agent.end_session(task).await;
    }
    let patience = match &result {
        // Whoever asked for it is waiting.
        Ok(Outcome::Cancelled { .. }) => CHANGES_OF_A_CANCELLED_TURN,
        _ => CHANGES,
    };
    (result, changes.so_far(patience).await)
}

fn not_prepared(error: PrepareError) -> Result<Outcome, AgentError> {
    match error {
        PrepareError::Cancelled(reason) => Ok(Outcome::Cancelled {
            reason,
            stopped_by: StopStep::NotStarted,
            survivors: 0,
            usage: None,
        }),
        PrepareError::Failed(error) => Err(error),
    }
}

/// Where a run's events go.
struct Recording<'a> {
    recorder: &'a mut Recorder,
    marks: Marks,
    seen: Seen,
    meter: Meter,
}

impl Recording<'_> {
    /// Drives `running` while its events are recorded, and records what is left when it has ended.
    async fn follow(mut self, running: impl Future<Output = Worked>, mut events: Events) -> Worked {
        let mut running = pin!(running);
        let (result, changes) = loop {
            tokio::select! {
                biased;
                Some(emitted) = events.next() => self.take(emitted),
                () = self.marks.answer() => {}
                Some(changes) = self.seen.next() => self.recorder.changes_so_far(changes),
                () = self.meter.watch_time() => {}
                worked = &mut running => break worked,
            }
        };
        while let Some(emitted) = events.try_next() {
            self.take(emitted);
        }
        if let Ok(outcome) = &result {
            self.recorder.outcome(outcome);
        }
        (result, changes)
    }

    fn take(&mut self, emitted: Emitted) {
        match emitted {
            Emitted::Event(event) => {
                if self.meter.saw(&event) {
                    self.recorder.event(event);
                }
            }
            Emitted::Mark(mark) => self.marks.add(self.recorder.position(), mark),
        }
    }
}

fn end_of(result: Result<Outcome, AgentError>, cancel: &Cancel, limits: &Limits) -> EndKind {
    match result {
        Ok(Outcome::Completed(done)) => EndKind::Completed {
            text: done.text,
            stop: done.stop,
        },
        // It asked what it may not ask, and has left that open.
        Ok(Outcome::WaitingForUser { .. })
            if cancel.reason() == Some(CancelReason::Limit(Limit::Questions)) =>
        {
            stopped_at(Limit::Questions, limits.message(Limit::Questions))
        }
        Ok(Outcome::WaitingForUser { call, .. }) => {
            tracing::info!(%call, "the turn waits for the person's answer");
            EndKind::Waiting { call }
        }
        Ok(Outcome::Cancelled {
            reason,
            stopped_by,
            survivors,
            ..
        }) => {
            tracing::info!(?reason, ?stopped_by, survivors, "turn was stopped");
            cancelled(reason, limits)
        }
        Err(AgentError::Limit { limit, message }) if cancel.reason().is_none() => {
            tracing::warn!(
                ?limit,
                message,
                "the agent's CLI has ended the turn at a limit"
            );
            stopped_at(limit, limits.message(limit))
        }
        // What breaks while the turn is being stopped is part of the stopping.
        Err(error) => match cancel.reason() {
            Some(reason) => {
                tracing::warn!(error = %error.chain(), ?reason, "turn failed while it was being stopped");
                cancelled(reason, limits)
            }
            None => EndKind::Failed {
                class: error.class(),
                message: error.chain(),
                code: None,
            },
        },
    }
}

fn cancelled(reason: CancelReason, limits: &Limits) -> EndKind {
    match reason {
        CancelReason::Limit(limit) => stopped_at(limit, limits.message(limit)),
        CancelReason::User | CancelReason::Superseded => EndKind::Cancelled {
            reason,
            message: "Task cancelled".to_owned(),
        },
        CancelReason::Shutdown => EndKind::Failed {
            class: ErrorClass::Restarted,
            message:
                "The executor was shut down while the turn ran. The conversation can be continued."
                    .to_owned(),
            code: None,
        },
        CancelReason::Rejected => EndKind::Failed {
            class: ErrorClass::InvalidRequest,
            message: "The platform refused the turn's first callback, so the turn was ended."
                .to_owned(),
            code: Some(CALLBACK_REJECTED.to_owned()),
        },
    }
}

/// A limit ended the turn.
fn stopped_at(limit: Limit, message: String) -> EndKind {
    EndKind::Failed {
        class: ErrorClass::Limit,
        message,
        code: Some(limit_code(limit).to_owned()),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> EndKind {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = text, "the agent panicked");
    EndKind::Failed {
        class: ErrorClass::Internal,
        message: "The executor ran into a defect of its own; the turn was ended.".to_owned(),
        code: None,
    }
}

impl Refusal {
    fn end(&self) -> EndKind {
        let (class, message) = match self {
            Self::UnknownAgent(error) => {
                (ErrorClass::InvalidRequest, format!("shell_type: {error}"))
            }
            Self::Refused { message } => (ErrorClass::InvalidRequest, message.clone()),
        };
        EndKind::Failed {
            class,
            message,
            code: None,
        }
    }
}
