//! The one writer of a turn's records: redacts, stamps, appends.

use agent_core::{
    AgentEvent, CleanUp, ErrorClass, FileChanges, Outcome, SessionRef, SubagentEvent, ToolEvent,
    Usage,
    redaction::{EventRedactor, Redacted},
};
use journal::{JournalError, Seq, TurnLog, Writer};
use tokio::task::JoinSet;
use wegent_protocol::{EndKind, RecordBody, TurnEnd, TurnHeader, TurnRecord};

use super::event_file::EventFile;
use crate::clock::Clock;

/// Writes the records of one turn. [`end`](Self::end) consumes it, so nothing can follow the end.
#[derive(Debug)]
pub(super) struct Recorder {
    log: TurnLog<TurnRecord>,
    writer: Writer<TurnRecord>,
    redactor: EventRedactor,
    clock: Clock,
    facts: Facts,
    /// Where an operator reads what Codex did.
    events: Option<EventFile>,
    /// Events that could not be appended since the last one that was.
    dropped: u64,
    /// Syncs under way: never waited for before an event is sent.
    syncs: JoinSet<()>,
}

/// What the end's record repeats of the events before.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) tool_called: bool,
    pub(super) session: Option<SessionRef>,
    usage: Option<Usage>,
    pub(super) changes: FileChanges,
    clean_up: CleanUp,
}

impl Recorder {
    /// Begins the turn: its header is on disk when this returns.
    ///
    /// # Errors
    /// [`JournalError`] when it can't be.
    pub(super) async fn begin(
        log: TurnLog<TurnRecord>,
        redactor: EventRedactor,
        header: Redacted<TurnHeader>,
        clock: Clock,
    ) -> Result<Self, JournalError> {
        let mut writer = log.writer()?;
        writer.append(&TurnRecord {
            at_ms: clock.now_ms(),
            body: RecordBody::Begun(Box::new(header)),
        })?;
        log.sync().await?;
        Ok(Self {
            log,
            writer,
            redactor,
            clock,
            facts: Facts::default(),
            events: None,
            dropped: 0,
            syncs: JoinSet::new(),
        })
    }

    /// Goes on with a turn whose process has died.
    ///
    /// # Errors
    /// [`JournalError`] when the journal can't be written.
    pub(super) fn go_on(
        log: TurnLog<TurnRecord>,
        redactor: EventRedactor,
        clock: Clock,
        facts: Facts,
    ) -> Result<Self, JournalError> {
        let writer = log.writer()?;
        Ok(Self {
            log,
            writer,
            redactor,
            clock,
            facts,
            events: None,
            dropped: 0,
            syncs: JoinSet::new(),
        })
    }

    /// Writes what is recorded from now on into this file, too.
    pub(super) fn keep_events(&mut self, file: EventFile) {
        self.events = Some(file);
    }

    /// Records one event.
    pub(super) fn event(&mut self, event: AgentEvent) {
        let sync = self.note(&event);
        for event in self.redactor.push(event) {
            self.show(event);
        }
        if sync {
            self.sync_later();
        }
    }

    /// Where the last record stands.
    pub(super) fn position(&self) -> Seq {
        self.log.last()
    }

    /// Takes in what the agent says of the whole turn; where it says nothing, its events stand.
    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        let (usage, session) = match outcome {
            Outcome::Completed(done) => (&done.usage, done.session.as_ref()),
            Outcome::WaitingForUser { usage, session, .. } => (usage, session.as_ref()),
            Outcome::Cancelled {
                usage,
                stopped_by,
                survivors,
                ..
            } => {
                self.facts.clean_up.add(&CleanUp {
                    stopped_by: Some(*stopped_by),
                    survivors: *survivors,
                    ..CleanUp::default()
                });
                (usage, None)
            }
        };
        if let Some(usage) = usage {
            self.facts.usage = Some(usage.clone());
        }
        if let Some(session) = session {
            self.facts.session = Some(session.clone());
        }
    }

    /// Takes in what changed in the workspace. If that isn't known, what was found before stands.
    pub(super) fn changes(&mut self, changes: FileChanges) {
        if changes != FileChanges::default() {
            self.facts.changes = changes;
        }
    }

    /// Records what changed in the workspace while the turn goes on.
    pub(super) fn changes_so_far(&mut self, changes: FileChanges) {
        if changes == self.facts.changes {
            return;
        }
        self.facts.changes = changes.clone();
        match self.redactor.redact_value(changes) {
            Ok(changes) => self.append(RecordBody::Changes(Box::new(changes))),
            Err(error) => tracing::error!(%error, "what changed can't be redacted"),
        }
    }

    /// Records the end, waits until it is on disk, and closes the log.
    pub(super) async fn end(mut self, kind: EndKind) {
        for event in self.redactor.finish() {
            self.show(event);
        }
        let Facts {
            tool_called,
            session,
            usage,
            changes,
            clean_up,
        } = self.facts.clone();
        self.state_gap();
        let brief = TurnEnd {
            kind: brief(&kind),
            usage: usage.clone(),
            tool_called,
            session: session.clone(),
            changes: FileChanges::default(),
            clean_up,
        };
        told(&clean_up);
        let end = self.redacted(TurnEnd {
            kind,
            usage,
            tool_called,
            session,
            changes,
            clean_up,
        });
        if let Some(file) = self.events.take() {
            file.end(&end.kind, end.usage.as_ref());
        }
        if let Err(error) = self.append_last(end) {
            tracing::error!(%error, "the turn's end can't be recorded whole");
            let brief = self.redacted(brief);
            if let Err(error) = self.append_last(brief) {
                tracing::error!(%error, "the turn's end can't be recorded; the next start will end it");
            }
        }
        if let Err(error) = self.log.sync().await {
            tracing::error!(%error, "the turn's end may not survive a power failure");
        }
        self.syncs.join_all().await;
    }

    /// Says what is missing before the end, however full everything is.
    fn state_gap(&mut self) {
        let Some(gap) = self.gap() else {
            return;
        };
        if let Err(error) = self.writer.append_before_last(&gap) {
            tracing::error!(%error, dropped = self.dropped, "events are missing, and that can't be recorded");
        }
        self.dropped = 0;
    }

    fn redacted(&self, end: TurnEnd) -> Redacted<TurnEnd> {
        let tool_called = end.tool_called;
        self.redactor.redact_value(end).unwrap_or_else(|error| {
            tracing::error!(%error, "the turn's end can't be redacted");
            self.redactor
                .redact_value(unspeakable(tool_called))
                .expect("our own words hold no secret")
        })
    }

    fn append_last(&mut self, end: Redacted<TurnEnd>) -> Result<Seq, JournalError> {
        self.writer.append_last(&TurnRecord {
            at_ms: self.clock.now_ms(),
            body: RecordBody::Ended(Box::new(end)),
        })
    }

    /// Keeps what the end repeats. Says whether the event must reach the disk soon: the conversation's id and the
    /// first tool call decide what a restart may do.
    fn note(&mut self, event: &AgentEvent) -> bool {
        match event {
            AgentEvent::Session(session) => {
                self.facts.session = Some(session.clone());
                true
            }
            AgentEvent::Tool(ToolEvent::Started { .. })
            | AgentEvent::Subagent(SubagentEvent::Started { .. }) => {
                !std::mem::replace(&mut self.facts.tool_called, true)
            }
            AgentEvent::Usage(usage) => {
                self.facts.usage = Some(usage.clone());
                false
            }
            AgentEvent::CleanUp(clean_up) => {
                self.facts.clean_up.add(clean_up);
                false
            }
            _ => false,
        }
    }

    fn show(&mut self, event: Redacted<AgentEvent>) {
        if let Some(file) = &mut self.events {
            file.event(&event);
        }
        self.append(RecordBody::Event(event));
    }

    fn append(&mut self, body: RecordBody) {
        let record = TurnRecord {
            at_ms: self.clock.now_ms(),
            body,
        };
        let appended = self
            .close_gap(&record)
            .and_then(|()| self.writer.append(&record));
        if let Err(error) = appended {
            if self.dropped == 0 {
                tracing::error!(%error, "the journal takes no more events of this turn");
            }
            self.dropped += 1;
        }
    }

    /// Says what is missing before `next`. Held back until the outage of space is over, so that it is said once.
    fn close_gap(&mut self, next: &TurnRecord) -> Result<(), JournalError> {
        if let Some(gap) = self.gap() {
            self.writer.append_after_outage(&gap, next)?;
            self.dropped = 0;
        }
        Ok(())
    }

    /// What says that events are missing, if any are.
    fn gap(&self) -> Option<TurnRecord> {
        (self.dropped > 0).then(|| TurnRecord {
            at_ms: self.clock.now_ms(),
            body: RecordBody::Gap {
                dropped: self.dropped,
            },
        })
    }

    fn sync_later(&mut self) {
        while self.syncs.try_join_next().is_some() {}
        let log = self.log.clone();
        self.syncs.spawn(async move {
            if let Err(error) = log.sync().await {
                tracing::warn!(%error, "journal can't be synced");
            }
        });
    }
}

/// The same without what may be long. What was said has been recorded when it was, as far as there was room.
fn brief(kind: &EndKind) -> EndKind {
    /// In characters.
    const MESSAGE: usize = 1000;
    match kind {
        EndKind::Completed { stop, .. } => EndKind::Completed {
            text: String::new(),
            stop: *stop,
        },
        EndKind::Failed {
            class,
            message,
            code,
        } => EndKind::Failed {
            class: *class,
            message: message.chars().take(MESSAGE).collect(),
            code: code.clone(),
        },
        EndKind::Waiting { .. } | EndKind::Cancelled { .. } => kind.clone(),
    }
}

/// Logs what it took to end processes, if anything.
fn told(clean_up: &CleanUp) {
    if clean_up.is_nothing() {
        return;
    }
    let CleanUp {
        stopped_by,
        strays,
        killed,
        survivors,
    } = clean_up;
    tracing::info!(
        ?stopped_by,
        strays,
        killed,
        survivors,
        "what it took to leave nothing running"
    );
}

/// Stands for an end that could not be written without its secrets.
fn unspeakable(tool_called: bool) -> TurnEnd {
    let kind = EndKind::Failed {
        class: ErrorClass::Internal,
        message: "The turn ended, but its result could not be recorded.".to_owned(),
        code: None,
    };
    TurnEnd {
        kind,
        usage: None,
        tool_called,
        session: None,
        changes: FileChanges::default(),
        clean_up: CleanUp::default(),
    }
}
