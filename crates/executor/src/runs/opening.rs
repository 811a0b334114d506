//! The beginning of a turn: its first record, its courier, its run.

use std::{sync::Arc, time::Duration};

use agent_core::{
    AgentEvent, AgentKind, Attempt, CancelHandle, Notice, NoticeKind, Prompt, environment,
    prepare::Preparer, redaction::EventRedactor,
};
use journal::{JournalError, Retention, Seq, Store};
use redact::{Added, Secrets};
use secrecy::ExposeSecret;
use tokio::{sync::watch, time::Instant};
use wegent_protocol::{Dispatch, Protocol, TurnHeader, TurnRecord, Work};

use super::{
    Gate, HoldGuard, Limits, SubmitError,
    catalog::{Card, OpenTurn},
    event_file::EventFile,
    log_name::TurnLogName,
    recorder::Recorder,
    recover::{Again, Pending},
    run::{Ended, Job, Refusal, Run},
};
use crate::{
    clock::Clock,
    config::IdentityConfig,
    courier::{Courier, RetryPolicy, Terms},
    factory::Agents,
    logging::{Covered, LogSecrets},
    outlets::Outlets,
    validate::Machine,
};

/// How long after a flat payload its turn's end is told at the earliest: the manager tells Wegent that the turn runs only
/// when it has our answer.
const LEAST_FLAT_TURN: Duration = Duration::from_secs(1);

/// What is said to an agent that was cut off in the middle of its work.
const GO_ON: &str = "Your work on the last request was cut off because the executor was restarted. Look at what is done \
                     already, then finish it.";

/// What the registry works with.
pub struct Services {
    /// The journals.
    pub store: Store,
    /// How long ended journals are kept.
    pub retention: Retention,
    /// Who runs turns.
    pub agents: Agents,
    /// Prepares turns.
    pub preparer: Arc<Preparer>,
    /// Looks for what agents need.
    pub machine: Arc<Machine>,
    /// Where messages go.
    pub outlets: Outlets,
    /// The pace of retries.
    pub retries: RetryPolicy,
    /// The name that callbacks bear when the request gives none.
    pub identity: IdentityConfig,
    /// What the file is called in which Codex's events are kept, in a task's state folder. `None`: they are not kept.
    pub codex_events: Option<String>,
    /// The executor's own environment: its secrets must not be shown.
    pub image: environment::Environment,
    /// What must not be in the log.
    pub log: LogSecrets,
    /// What a turn may use.
    pub limits: Limits,
    /// Whether turns that a restart has cut off are taken up again, where they can be.
    pub rerun: bool,
    /// The time.
    pub clock: Clock,
}

/// A turn that is safe on disk and can run.
pub(super) struct Opened {
    /// The turn.
    pub(super) run: Run,
    /// How it is reached while it runs.
    pub(super) handle: RunHandle,
    /// Its journal.
    pub(super) open: OpenTurn,
    /// What can be shown of it.
    pub(super) card: Card,
    /// Delivers it.
    pub(super) courier: Courier,
    /// Keeps the courier back.
    pub(super) hold: HoldGuard,
}

/// How a running turn is reached.
pub(super) struct RunHandle {
    /// Tells it to stop.
    pub(super) cancel: CancelHandle,
    /// Tells how far its end is.
    pub(super) ended: watch::Receiver<Ended>,
}

/// A turn whose journal has begun.
struct Beginning {
    dispatch: Dispatch,
    attempt: Attempt,
    recorder: Recorder,
    pending: Pending,
    card: Card,
    secrets: Secrets,
    covered: Covered,
}

impl Services {
    /// Writes the turn's first record. Its courier waits until the returned hold is dropped, and whenever `task_gate` is
    /// held.
    pub(super) async fn open(
        &self,
        dispatch: Dispatch,
        attempt: Attempt,
        task_gate: Gate,
        end_not_before: Option<Instant>,
    ) -> Result<Opened, SubmitError> {
        let secrets = self.secrets_of(&dispatch);
        let covered = self.log.cover(secrets.clone());
        let redactor = EventRedactor::new(secrets.clone());
        let callback_url = self.outlets.callback_url(dispatch.callback_url.as_deref());
        let header = self.header(&dispatch, attempt, callback_url.clone());
        let header = redactor
            .redact_value(header)
            .map_err(SubmitError::journal)?;
        let name = TurnLogName {
            key: dispatch.key,
            attempt,
        }
        .to_log_name();
        let log = self
            .store
            .create::<TurnRecord>(&name)
            .map_err(SubmitError::journal)?;
        let cursor = log.cursor().map_err(SubmitError::journal)?;
        let pending = Pending {
            log: log.clone(),
            cursor,
            callback_url,
            protocol: dispatch.protocol,
        };
        let card = Card {
            agent: header.agent,
            began_ms: self.clock.now_ms(),
            events: 0,
        };
        let begun = Recorder::begin(log.clone(), redactor, header, self.clock.clone()).await;
        let mut recorder = begun.map_err(SubmitError::journal)?;
        if let Some(file) = self.event_file(&dispatch) {
            recorder.keep_events(file);
        }
        let turn_gate = Gate::default();
        let hold = HoldGuard::new(turn_gate.hold());
        let earliest =
            (dispatch.protocol == Protocol::Cumulative).then(|| Instant::now() + LEAST_FLAT_TURN);
        let beginning = Beginning {
            dispatch,
            attempt,
            recorder,
            pending,
            card,
            secrets,
            covered,
        };
        let terms = Terms {
            gates: vec![task_gate, turn_gate],
            end_not_before: earliest.max(end_not_before),
            turn: None,
        };
        Ok(self.assemble(beginning, terms, hold))
    }

    /// Takes up a turn that was cut off: it is run again, or goes on in its conversation.
    pub(super) fn reopen(
        &self,
        again: Again,
        name: TurnLogName,
        pending: Pending,
        card: Card,
        task_gate: Gate,
    ) -> Result<Opened, JournalError> {
        let Again {
            mut dispatch,
            facts,
        } = again;
        let secrets = self.secrets_of(&dispatch);
        let covered = self.log.cover(secrets.clone());
        let redactor = EventRedactor::new(secrets.clone());
        if let (Work::Turn(turn), true) = (&mut dispatch.work, facts.tool_called) {
            turn.prompt = Prompt::text(GO_ON);
            turn.new_session = false;
        }
        let text = match facts.tool_called {
            true => "The executor was restarted; the work goes on from where it was cut off.",
            false => {
                "The executor was restarted before any tool was called; the turn is run again."
            }
        };
        let log = pending.log.clone();
        let mut recorder = Recorder::go_on(log, redactor, self.clock.clone(), facts)?;
        recorder.event(AgentEvent::Notice(Notice {
            kind: NoticeKind::Restarted,
            text: text.to_owned(),
        }));
        let beginning = Beginning {
            dispatch,
            attempt: name.attempt,
            recorder,
            pending,
            card,
            secrets,
            covered,
        };
        let terms = Terms {
            gates: vec![task_gate],
            ..Terms::default()
        };
        Ok(self.assemble(beginning, terms, HoldGuard::new(())))
    }

    /// The turn whose journal has begun.
    fn assemble(&self, beginning: Beginning, terms: Terms, hold: HoldGuard) -> Opened {
        let Beginning {
            dispatch,
            attempt,
            recorder,
            pending,
            card,
            secrets,
            covered,
        } = beginning;
        let (cancel_handle, cancel) = CancelHandle::new();
        let terms = Terms {
            turn: Some(cancel_handle.clone()),
            ..terms
        };
        let log = pending.log.clone();
        let courier = self.courier(pending, terms);
        let delivered = courier.progress();
        let (ended, ended_receiver) = watch::channel(Ended::No);
        // The other protocol has no place for it before the end.
        let tells_changes = dispatch.protocol == Protocol::Cumulative;
        let (job, limits) = self.job(dispatch, attempt);
        let run = Run {
            tells_changes,
            job,
            limits,
            stop: cancel_handle.clone(),
            recorder,
            delivered: delivered.clone(),
            preparer: Arc::clone(&self.preparer),
            secrets,
            cancel,
            ended,
            covered,
        };
        let handle = RunHandle {
            cancel: cancel_handle,
            ended: ended_receiver,
        };
        Opened {
            run,
            handle,
            open: OpenTurn { log, delivered },
            card,
            courier,
            hold,
        }
    }

    /// The courier of a journal.
    pub(super) fn courier(&self, pending: Pending, terms: Terms) -> Courier {
        let Pending {
            log,
            cursor,
            callback_url,
            protocol,
        } = pending;
        let encoder = wegent_protocol::encoder(protocol);
        let transport = self.outlets.transport(callback_url.as_deref());
        let reader = log.reader(Seq::START);
        Courier::new(reader, cursor, encoder, transport, terms, self.retries)
    }

    fn header(
        &self,
        dispatch: &Dispatch,
        attempt: Attempt,
        callback_url: Option<String>,
    ) -> TurnHeader {
        let created_at = self.clock.now_ms() / 1000;
        let mut header = TurnHeader::new(dispatch, attempt, callback_url, created_at);
        // Without it the platform can't find the container again.
        let IdentityConfig { name, namespace } = &self.identity;
        let envelope = &mut header.envelope;
        envelope.executor_name.get_or_insert_with(|| name.clone());
        envelope.executor_namespace = envelope
            .executor_namespace
            .take()
            .or_else(|| namespace.clone());
        header
    }

    fn secrets_of(&self, dispatch: &Dispatch) -> Secrets {
        let secrets = Secrets::new();
        let refused = dispatch.secrets().filter(|secret| {
            // An empty one is none.
            !secret.expose_secret().is_empty() && secrets.add((*secret).clone()) != Added::Guarded
        });
        let refused = refused.count();
        if refused > 0 {
            tracing::warn!(turn = %dispatch.key, refused, "secrets of the request too short or too common to be kept out of answers");
        }
        for (_, secret) in environment::secret_variables(&self.image) {
            secrets.add(secret);
        }
        secrets
    }

    fn event_file(&self, dispatch: &Dispatch) -> Option<EventFile> {
        let Work::Turn(turn) = &dispatch.work else {
            return None;
        };
        let name = self.codex_events.as_ref()?;
        let folder = self.preparer.layout.state_folder(dispatch.key.task);
        (turn.agent == AgentKind::Codex).then(|| EventFile::new(&folder, name))
    }

    /// What there is to do, and what it may use.
    fn job(&self, dispatch: Dispatch, attempt: Attempt) -> (Job, Limits) {
        let mut limits = self.limits;
        let job = match dispatch.work {
            Work::Turn(mut turn) => {
                turn.attempt = attempt;
                match self.agents.assign(&mut turn) {
                    Ok(agent) => {
                        limits = limits.of_turn(agent.kind(), &mut turn.options);
                        Job::Turn { turn, agent }
                    }
                    Err(disabled) => Job::Refuse(Refusal::Refused {
                        message: disabled.to_string(),
                    }),
                }
            }
            Work::Validation(asked) => Job::Validate {
                asked,
                machine: Arc::clone(&self.machine),
            },
            Work::UnknownAgent(unknown) => Job::Refuse(Refusal::UnknownAgent(unknown)),
            Work::Refused(refused) => Job::Refuse(Refusal::Refused {
                message: refused.to_string(),
            }),
        };
        (job, limits)
    }
}
