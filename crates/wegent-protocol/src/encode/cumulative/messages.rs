//! The messages that are made of what is known of a turn.

use agent_core::AgentKind;
use bytes::Bytes;

use super::{
    super::{Message, Rest},
    bounds,
    pace::{LEAST_REST, rest_after},
    turn::Turn,
    wire::{Callback, ResultBody, Status},
    workbench::Workbench,
};
use crate::{EndKind, TurnEnd, TurnHeader};

/// How long an error's text is in the smallest terminal message, in bytes.
const MAX_MINIMAL_ERROR: usize = 500;

impl Turn {
    /// `50`: the turn was taken over. A definite refusal of it says that the platform does not want the turn.
    pub(super) fn started(&mut self, through: u64, seq: u64) -> Message {
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

    pub(super) fn snapshot(&mut self, through: u64, kind: &str) -> Message {
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
    pub(super) fn increment(&mut self, through: u64) -> Option<Message> {
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

    pub(super) fn terminal(&mut self, end: &TurnEnd, seq: u64) -> Message {
        if self.is_validation() {
            return self.validated(&end.kind, seq, "end");
        }
        let usage = end.usage.as_ref().or(self.usage.as_ref()).cloned();
        if let Some(session) = &end.session {
            self.session = Some(session.clone());
        }
        self.changes.clone_from(&end.changes);
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
    pub(super) fn minimal(&self, kind: &EndKind, seq: u64) -> Message {
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
        let task = self.header.key.task;
        let mut workbench = Workbench::new(&self.facts, task, status, &self.value, self.at_ms);
        workbench.changed(&self.changes);
        workbench
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
    pub(super) fn message(
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
