//! What is known of a turn, as its records tell it.

use agent_core::{AgentEvent, AgentKind, FileChanges, SessionRef, Usage};

use super::{
    super::{gap_notice, text::Answer},
    events::CodexEvents,
    question,
    thinking::Thinking,
};
use crate::{EndKind, RecordBody, TaskFacts, TurnHeader, TurnRecord};

/// What is known of the turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) header: TurnHeader,
    pub(super) facts: TaskFacts,
    pub(super) answer: Answer,
    pub(super) value: String,
    /// How long the text was that was sent last, in bytes.
    pub(super) sent: usize,
    pub(super) thinking: Thinking,
    pub(super) events: CodexEvents,
    pub(super) session: Option<SessionRef>,
    pub(super) usage: Option<Usage>,
    /// What had changed in the workspace when that was last looked at.
    pub(super) changes: FileChanges,
    /// Whether there is something that no snapshot has shown yet.
    pub(super) changed: bool,
    pub(super) progress: u8,
    /// When the last record was made, in milliseconds since 1970.
    pub(super) at_ms: u64,
}

impl Turn {
    pub(super) fn new(header: TurnHeader, at_ms: u64) -> Self {
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
            changes: FileChanges::default(),
            // A validation shows nothing of this.
            changed: header.envelope.validation_id.is_none(),
            progress: 0,
            at_ms,
            header,
        }
    }

    pub(super) fn take_in(&mut self, record: &TurnRecord) {
        self.at_ms = self.at_ms.max(record.at_ms);
        match &record.body {
            RecordBody::Begun(_) | RecordBody::Ended(_) => {}
            RecordBody::Changes(changes) => {
                self.changed = true;
                self.changes = FileChanges::clone(changes);
            }
            RecordBody::Gap { dropped } => self.notice(&gap_notice(*dropped)),
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
            | AgentEvent::CleanUp(_)
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
    pub(super) fn complete_text(&mut self, kind: &EndKind) {
        if let EndKind::Completed { text, .. } = kind
            && self.value.is_empty()
        {
            let said = self.answer.say(text);
            self.value.push_str(&said);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.changed || self.sent < self.value.len() || self.events.has_new()
    }
}
