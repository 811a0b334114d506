//! The callbacks of Wegent of January 2026, each of which holds the whole result so far.
//!
//! # What is sent
//!
//! * At the beginning `50 RUNNING`, then a first result with an empty text.
//! * **Snapshots**: the text, the steps of the thinking, the workbench. A later one stands for all before it, so that
//!   what piled up makes one message, and as they grow they are sent less often ([`Message::rest`]).
//! * **Increments** (Codex only): what is new of its events, which Wegent's backend appends to what it has.
//! * At the end the complete text in one more `RUNNING` if it was not sent yet (the backend ignores the text of a terminal
//!   callback once it has another), then the terminal callback, which is complete in itself. After a cancel nothing
//!   comes before it: a `RUNNING` would bring the turn back to life. It then repeats the text that was sent last.
//!
//! What a snapshot says the next one says again, and the terminal callback has all events, so that the courier may pass
//! over what the endpoint can't take ([`Message::repeated`]): Wegent's manager answers 502 for whatever its backend
//! refuses, for as long as it is asked.
//!
//! # How often
//!
//! Up to 250 KB a snapshot is followed by the next one so that about 100 KB are sent in a second. Beyond that it is the
//! time that is kept, not the rate: somebody watches, and a second callback is never more than 3 s after the first,
//! sending included. An answer of 1 MB costs up to 400 KB in a second then.
//!
//! A snapshot that is made again after a crash covers the same records and may hold more than the first one did: it may
//! have been an increment then.

mod bounds;
mod events;
mod question;
mod thinking;
mod time;
mod validation;
mod wire;
mod workbench;

use std::time::Duration;

use agent_core::{AgentEvent, AgentKind, SessionRef, Usage};
use bytes::Bytes;

pub use self::events::CodexEvents;
use self::{
    thinking::Thinking,
    wire::{Callback, ResultBody, Status},
    workbench::Workbench,
};
use super::{Allowance, Encoder, Message, Recorded, Rest, Step, text::Answer};
use crate::{EndKind, RecordBody, TaskFacts, TurnEnd, TurnHeader, TurnRecord};

/// The least time between two messages; what is recorded meanwhile makes one.
const LEAST_REST: Duration = Duration::from_millis(250);
/// The longest time between the beginnings of two snapshots, however large they are; sending a large one takes its time.
const LONGEST_REST: Duration = Duration::from_millis(2500);
/// How many bytes of snapshots are sent in a second, up to the longest rest.
const BYTES_PER_SECOND: u64 = 100_000;
/// How long an error's text is in the smallest terminal message, in bytes.
const MAX_MINIMAL_ERROR: usize = 500;

/// Encodes a turn into cumulative callbacks.
#[derive(Debug, Default)]
pub struct CumulativeEncoder {
    turn: Option<Box<Turn>>,
    /// How much may be sent now.
    allowance: Allowance,
    /// Every record up to here has been folded.
    covered: u64,
    /// How many messages of the beginning have been made.
    opened: u8,
    minimal: Option<Message>,
}

/// What is known of the turn.
#[derive(Debug)]
struct Turn {
    header: TurnHeader,
    facts: TaskFacts,
    answer: Answer,
    value: String,
    /// How long the text was that was sent last, in bytes.
    sent: usize,
    thinking: Thinking,
    events: CodexEvents,
    session: Option<SessionRef>,
    usage: Option<Usage>,
    /// Whether there is something that no snapshot has shown yet.
    changed: bool,
    progress: u8,
    /// When the last record was made, in milliseconds since 1970.
    at_ms: u64,
}

impl CumulativeEncoder {
    /// An encoder before a turn's first record.
    pub fn new() -> Self {
        Self {
            allowance: Allowance::Everything,
            ..Self::default()
        }
    }

    /// The messages of the first record: `50`, then the first result.
    fn open(&mut self, header: &TurnHeader, at_ms: u64, seq: u64) -> Step {
        self.opened += 1;
        if self.opened == 1 {
            let turn = self.turn.insert(Box::new(Turn::new(header.clone(), at_ms)));
            let message = turn.started(self.covered, seq);
            return step(0, Some(message));
        }
        self.covered = seq;
        let message = self.turn.as_mut().map(|turn| match turn.is_validation() {
            true => turn.checking(seq),
            false => turn.snapshot(seq, "init"),
        });
        step(1, message)
    }

    /// Folds records up to the end. Says how many, and gives the end if it was reached.
    fn fold<'a>(&mut self, pending: &[Recorded<'a>]) -> (usize, Option<(&'a TurnEnd, u64, u64)>) {
        for (folded, recorded) in pending.iter().enumerate() {
            let record = recorded.record;
            if let (RecordBody::Ended(end), Some(_)) = (&record.body, &self.turn) {
                return (folded, Some((end, record.at_ms, recorded.seq)));
            }
            if let Some(turn) = &mut self.turn {
                turn.take_in(record);
            }
            self.covered = recorded.seq;
        }
        (pending.len(), None)
    }

    fn end(&mut self, end: &TurnEnd, at_ms: u64, seq: u64) -> Step {
        let covered = self.covered;
        let Some(turn) = &mut self.turn else {
            return step(1, None);
        };
        if !matches!(end.kind, EndKind::Cancelled { .. }) && !turn.is_validation() {
            turn.complete_text(&end.kind);
            if turn.has_news() {
                // Not yet the end itself: the text has to be there before it.
                let message = turn.snapshot(covered, "last");
                return step(0, Some(message));
            }
        }
        (turn.at_ms, turn.progress) = (at_ms, 100);
        self.minimal = Some(turn.minimal(&end.kind, seq));
        let message = turn.terminal(end, seq);
        self.covered = seq;
        self.turn = None;
        step(1, Some(message))
    }
}

fn step(consumed: usize, message: Option<Message>) -> Step {
    Step { consumed, message }
}

impl Encoder for CumulativeEncoder {
    fn next(&mut self, pending: &[Recorded<'_>]) -> Step {
        if let Some(first) = pending.first()
            && let RecordBody::Begun(header) = &first.record.body
            && self.opened < 2
        {
            return self.open(header.get(), first.record.at_ms, first.seq);
        }
        let (folded, end) = self.fold(pending);
        match end {
            Some((end, at_ms, seq)) if folded == 0 => return self.end(end, at_ms, seq),
            // What stands before the end is covered first: the end's messages depend on nothing else.
            Some(_) => return step(folded, None),
            None => {}
        }
        let covered = self.covered;
        let message = self.turn.as_mut().and_then(|turn| match self.allowance {
            Allowance::Everything if turn.has_news() => Some(turn.snapshot(covered, "s")),
            Allowance::Everything | Allowance::Increments => turn.increment(covered),
            Allowance::Nothing => None,
        });
        step(folded, message)
    }

    fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    fn holds_back(&self) -> Option<Allowance> {
        let turn = self.turn.as_ref()?;
        if turn.events.has_new() {
            Some(Allowance::Increments)
        } else if turn.has_news() {
            Some(Allowance::Everything)
        } else {
            None
        }
    }

    fn minimal_terminal(&self) -> Option<Message> {
        self.minimal.clone()
    }
}

impl Turn {
    fn new(header: TurnHeader, at_ms: u64) -> Self {
        let codex = header.agent == Some(AgentKind::Codex);
        Self {
            facts: header.envelope.task.as_deref().cloned().unwrap_or_default(),
            answer: Answer::default(),
            value: String::new(),
            sent: 0,
            thinking: Thinking::begun(codex),
            events: CodexEvents::new(codex),
            session: None,
            usage: None,
            // A validation shows nothing of this.
            changed: header.envelope.validation_id.is_none(),
            progress: 0,
            at_ms,
            header,
        }
    }

    fn take_in(&mut self, record: &TurnRecord) {
        self.at_ms = self.at_ms.max(record.at_ms);
        match &record.body {
            RecordBody::Begun(_) | RecordBody::Ended(_) => {}
            RecordBody::Gap { dropped } => self.notice(&super::gap_notice(*dropped)),
            RecordBody::Event(event) => self.event(event, record.at_ms),
        }
    }

    fn event(&mut self, event: &AgentEvent, at_ms: u64) {
        self.events.take_in(event);
        self.changed |= self.thinking.take_in(event, at_ms);
        match event {
            AgentEvent::Session(session) => {
                self.changed |= self.session.as_ref() != Some(session);
                self.session = Some(session.clone());
            }
            AgentEvent::Usage(usage) => self.usage = Some(usage.clone()),
            AgentEvent::Text {
                delta,
                parent: None,
                ..
            } => {
                let said = self.answer.say(delta);
                self.value.push_str(&said);
            }
            AgentEvent::Notice(notice) => self.notice(&notice.text),
            AgentEvent::Question(asked) => self.paragraph(&question::text(asked)),
            // Steps of the thinking, or nothing that is shown.
            AgentEvent::Text { .. }
            | AgentEvent::Reasoning { .. }
            | AgentEvent::BlockEnd { .. }
            | AgentEvent::Tool(_)
            | AgentEvent::Subagent(_)
            | AgentEvent::Plan { .. }
            | AgentEvent::Model { .. }
            | AgentEvent::Retry(_)
            | AgentEvent::Preparation(_)
            | AgentEvent::Place { .. } => {}
        }
    }

    /// Text of the answer that stands by itself.
    fn paragraph(&mut self, text: &str) {
        let gap = if self.value.is_empty() || self.value.ends_with("\n\n") {
            ""
        } else {
            "\n\n"
        };
        let said = self.answer.say(&format!("{gap}{text}"));
        self.value.push_str(&said);
    }

    fn notice(&mut self, text: &str) {
        let said = self.answer.notice(text);
        self.value.push_str(&said);
    }

    /// An answer that never came as text is there at the end only.
    fn complete_text(&mut self, kind: &EndKind) {
        if let EndKind::Completed { text, .. } = kind
            && self.value.is_empty()
        {
            let said = self.answer.say(text);
            self.value.push_str(&said);
        }
    }

    fn has_news(&self) -> bool {
        self.changed || self.sent < self.value.len() || self.events.has_new()
    }

    /// `50`: the turn was taken over. A definite refusal of it says that the platform does not want the turn.
    fn started(&mut self, through: u64, seq: u64) -> Message {
        self.progress = 50;
        let mut message = self.message(
            Status::Running,
            Some("Task execution started"),
            None,
            self.validation_begun(),
            (through, seq, "started"),
        );
        message.required = true;
        message
    }

    fn snapshot(&mut self, through: u64, kind: &str) -> Message {
        self.progress = self.progress.max(self.next_progress());
        let message_text = self.thinking.message();
        let events = self.events.take_new();
        let (value, workbench) = (&self.value, self.workbench("running"));
        let result = ResultBody {
            value: Some(value),
            thinking: Some(self.thinking.steps()),
            workbench: Some(workbench),
            codex_event: (!events.is_empty()).then_some(events.as_slice()),
            ..self.result()
        };
        let place = (through, through, kind);
        let mut message = self.message(
            Status::Running,
            Some(message_text),
            None,
            Some(result),
            place,
        );
        message.rest = rest_after(message.body.len());
        self.sent = self.value.len();
        self.changed = false;
        message
    }

    /// What is new of Codex's events, if anything is.
    fn increment(&mut self, through: u64) -> Option<Message> {
        let events = self.events.take_new();
        if events.is_empty() {
            return None;
        }
        self.progress = self.progress.max(self.next_progress());
        let result = ResultBody {
            codex_event: Some(&events),
            ..self.result()
        };
        let message_text = self.thinking.message();
        let place = (through, through, "events");
        let mut message = self.message(
            Status::Running,
            Some(message_text),
            None,
            Some(result),
            place,
        );
        message.rest.increment = LEAST_REST;
        Some(message)
    }

    fn terminal(&mut self, end: &TurnEnd, seq: u64) -> Message {
        if self.is_validation() {
            return self.validated(&end.kind, seq, "end");
        }
        let usage = end.usage.as_ref().or(self.usage.as_ref()).cloned();
        if let Some(session) = &end.session {
            self.session = Some(session.clone());
        }
        self.events.end(&end.kind, usage.as_ref());
        let begun_ms = self.header.created_at.saturating_mul(1000);
        let took_ms = self.at_ms.saturating_sub(begun_ms);
        let session = self.session_id();
        self.thinking
            .end(&end.kind, session.as_deref(), usage.as_ref(), took_ms);
        let (status, word, text, error) = match &end.kind {
            EndKind::Completed { .. } | EndKind::Waiting { .. } => (
                Status::Completed,
                "completed",
                Some("${{thinking.execution_completed}}"),
                None,
            ),
            EndKind::Failed { message, .. } => {
                (Status::Failed, "failed", None, Some(message.as_str()))
            }
            EndKind::Cancelled { .. } => (
                Status::Cancelled,
                "completed",
                Some("${{tasks.cancel_task}}"),
                None,
            ),
        };
        let value = match end.kind {
            EndKind::Cancelled { .. } => &self.value[..self.sent],
            _ => &self.value,
        };
        let mut workbench = self.workbench(word);
        workbench.changed(&end.changes);
        if let EndKind::Completed { .. } | EndKind::Waiting { .. } = &end.kind {
            workbench.completed(self.at_ms);
        }
        let events = self.events.all();
        let result = ResultBody {
            value: Some(value),
            error,
            thinking: Some(self.thinking.steps()),
            workbench: Some(workbench),
            codex_events: (!events.is_empty()).then_some(events),
            ..self.result()
        };
        self.message(status, text, error, Some(result), (seq, seq, "end"))
    }

    /// The end without what may be too much for the endpoint.
    fn minimal(&self, kind: &EndKind, seq: u64) -> Message {
        if self.is_validation() {
            // It is small as it is.
            return self.validated(kind, seq, "min");
        }
        let short = |text: &str| bounds::beginning(text, MAX_MINIMAL_ERROR).to_owned();
        let (status, error) = match kind {
            EndKind::Completed { .. } | EndKind::Waiting { .. } => (Status::Completed, None),
            EndKind::Failed { message, .. } => (Status::Failed, Some(short(message))),
            EndKind::Cancelled { .. } => (Status::Cancelled, None),
        };
        let result = ResultBody {
            error: error.as_deref(),
            ..self.result()
        };
        let mut message = self.message(
            status,
            None,
            error.as_deref(),
            Some(result),
            (seq, seq, "min"),
        );
        message.terminal = true;
        message
    }

    /// What every result repeats.
    fn result(&self) -> ResultBody<'_> {
        let agent = self.header.agent;
        let id = self.session.as_ref().map(|session| session.id.as_str());
        let named = Some(self.facts.session_id.as_str()).filter(|id| !id.is_empty());
        ResultBody {
            shell_type: agent.map(AgentKind::shell_type),
            session_id: match agent {
                Some(AgentKind::ClaudeCode) => id.or(named),
                _ => None,
            },
            resume_session_id: match agent {
                Some(AgentKind::Codex) => id,
                _ => None,
            },
            ..ResultBody::default()
        }
    }

    fn session_id(&self) -> Option<String> {
        self.session.as_ref().map(|session| session.id.to_string())
    }

    fn workbench<'a>(&'a self, status: &'static str) -> Workbench<'a> {
        Workbench::new(
            &self.facts,
            self.header.key.task,
            status,
            self.value.as_str(),
            self.at_ms,
        )
    }

    /// 60 at first, then slowly on: Wegent takes 60 to 89 for work under way.
    fn next_progress(&self) -> u8 {
        if self.progress < 60 {
            return 60;
        }
        let steps = self.thinking.steps().len() / 2 + self.value.len() / 2048;
        70 + u8::try_from(steps.min(19)).unwrap_or(19)
    }

    /// `place`: what is covered once it was accepted, and what it is called by.
    fn message(
        &self,
        status: Status,
        message: Option<&str>,
        error: Option<&str>,
        result: Option<ResultBody<'_>>,
        (through, seq, kind): (u64, u64, &str),
    ) -> Message {
        let TurnHeader {
            key,
            attempt,
            envelope,
            ..
        } = &self.header;
        let given = |text: &'_ String| (!text.is_empty()).then(|| text.clone());
        let callback = Callback {
            task_id: key.task.0,
            subtask_id: key.subtask.0,
            task_title: given(&self.facts.title),
            subtask_title: given(&self.facts.subtask_title),
            executor_name: envelope.executor_name.as_deref(),
            executor_namespace: envelope.executor_namespace.as_deref(),
            progress: self.progress,
            status,
            message,
            error_message: error,
            result,
            task_type: given(&self.facts.kind),
        };
        let body =
            serde_json::to_vec(&callback).expect("a callback is made of strings, numbers and JSON");
        Message {
            body: Bytes::from(body),
            through,
            terminal: status.is_terminal(),
            key: format!("{key}-{attempt}-{seq}-{kind}"),
            event_type: status.as_str(),
            required: false,
            repeated: true,
            rest: Rest::default(),
        }
    }
}

/// The larger a snapshot, the longer until the next one.
fn rest_after(bytes: usize) -> Rest {
    let millis = bytes as u64 * 1000 / BYTES_PER_SECOND;
    Rest {
        increment: LEAST_REST,
        snapshot: Duration::from_millis(millis).clamp(LEAST_REST, LONGEST_REST),
    }
}
