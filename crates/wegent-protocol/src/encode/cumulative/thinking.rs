//! The steps of the thinking: what an agent did, in the shapes of Claude Code's own messages.
//!
//! Wegent's interface counts `tool_use` blocks by their name and shows a card for each. The answer's text is not among
//! the steps: it streams as the result's `value`.

use agent_core::{
    AgentEvent, BlockId, NoticeKind, PlanStep, Preparation, PreparationState, PrepareStep, Retry,
    SubagentEvent, ToolCallId, ToolEvent, ToolStatus, Usage,
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    super::fold::todos,
    bounds::{bounded, bounded_value},
};
use crate::EndKind;

/// How long a text within a step may be, in bytes: every snapshot repeats all steps.
const MAX_TEXT: usize = 4 * 1024;
/// How long it may be once the steps together are long.
const MAX_TEXT_LATE: usize = 200;
/// From where on the steps together are long, in bytes.
const LONG: usize = 128 * 1024;
/// How many steps there are at most.
const MAX_STEPS: usize = 2000;

/// One step on the wire.
#[derive(Serialize)]
struct Step<'a> {
    title: &'a str,
    next_action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

/// The steps so far. They are only ever added to.
#[derive(Debug)]
pub(super) struct Thinking {
    codex: bool,
    steps: Vec<Box<RawValue>>,
    bytes: usize,
    running: bool,
    /// Calls whose arguments are not known yet, with their name and parent.
    unshown: Vec<(ToolCallId, String, Option<ToolCallId>)>,
    /// Reasoning that goes on.
    reasoning: Option<(BlockId, String)>,
    model: Option<String>,
    session: Option<String>,
    cwd: Option<String>,
    introduced: bool,
    plans: usize,
}

impl Thinking {
    /// The steps at the beginning of a turn.
    pub(super) fn begun(codex: bool) -> Self {
        let mut thinking = Self {
            codex,
            steps: Vec::new(),
            bytes: 0,
            running: false,
            unshown: Vec::new(),
            reasoning: None,
            model: None,
            session: None,
            cwd: None,
            introduced: false,
            plans: 0,
        };
        thinking.add("thinking.initialize_agent", None);
        thinking
    }

    /// The steps, each written out.
    pub(super) fn steps(&self) -> &[Box<RawValue>] {
        &self.steps
    }

    /// What the callback's `message` says.
    pub(super) fn message(&self) -> &'static str {
        if self.running {
            "${{thinking.running}}"
        } else {
            "${{thinking.initialize_agent}}"
        }
    }

    /// Takes in an event. Says whether a step was added.
    pub(super) fn take_in(&mut self, event: &AgentEvent, at_ms: u64) -> bool {
        let before = self.steps.len();
        self.run();
        match event {
            AgentEvent::Place { cwd } => self.cwd = Some(cwd.clone()),
            AgentEvent::Model { id } => {
                self.model = Some(id.clone());
                self.introduce(false);
            }
            AgentEvent::Session(session) => {
                self.session = Some(session.id.to_string());
                self.introduce(false);
            }
            AgentEvent::Reasoning {
                block,
                parent: None,
                delta,
            } => self.reason(block, delta),
            AgentEvent::BlockEnd { block } => {
                if self
                    .reasoning
                    .as_ref()
                    .is_some_and(|(open, _)| open == block)
                {
                    self.end_reasoning();
                }
            }
            AgentEvent::Tool(event) => {
                self.introduce(true);
                self.tool(event, at_ms);
            }
            AgentEvent::Subagent(event) => self.subagent(event, at_ms),
            AgentEvent::Plan { steps, .. } => self.plan(steps, at_ms),
            // Told of by its retry already.
            AgentEvent::Notice(notice) if notice.kind == NoticeKind::ApiRetry => {}
            AgentEvent::Notice(notice) => self.add(&notice.text, None),
            AgentEvent::Retry(retry) => self.retried(retry),
            // The answer's text is the result's value; a sub-agent's is part of its report.
            AgentEvent::Text { .. } => self.introduce(true),
            AgentEvent::Preparation(told) => self.prepared(told),
            AgentEvent::Reasoning { .. }
            | AgentEvent::Question(_)
            | AgentEvent::Usage(_)
            | AgentEvent::CleanUp(_) => {}
        }
        self.steps.len() > before
    }

    /// The last steps.
    pub(super) fn end(
        &mut self,
        kind: &EndKind,
        session: Option<&str>,
        usage: Option<&Usage>,
        took_ms: u64,
    ) {
        self.end_reasoning();
        let (subtype, text) = match kind {
            EndKind::Completed { text, .. } => ("success", text.as_str()),
            EndKind::Waiting { .. } => ("success", ""),
            EndKind::Failed { message, .. } => ("error_during_execution", message.as_str()),
            EndKind::Cancelled { .. } => return,
        };
        let failed = matches!(kind, EndKind::Failed { .. });
        let mut details = json!({
            "type": "result",
            "subtype": subtype,
            "is_error": failed,
            "num_turns": 1,
            "duration_ms": took_ms,
            "result": bounded(text, MAX_TEXT_LATE),
        });
        if let Some(session) = session {
            details["session_id"] = json!(session);
        }
        if let Some(usage) = usage {
            details["usage"] = json!({
                "input_tokens": usage.input_tokens,
                "cached_input_tokens": usage.cached_input_tokens,
                "cache_read_input_tokens": usage.cached_input_tokens,
                "output_tokens": usage.output_tokens,
            });
            if let Some(cost) = usage.cost_usd {
                details["total_cost_usd"] = json!(cost);
            }
        }
        let title = if failed {
            "thinking.task_execution_failed"
        } else {
            "thinking.task_execution_success"
        };
        self.force(title, Some(details));
        match kind {
            EndKind::Completed { .. } | EndKind::Waiting { .. } if self.codex => {
                self.force("thinking.execution_completed", None);
            }
            EndKind::Failed { message, .. } if self.codex => {
                let details = json!({"error": bounded(message, MAX_TEXT)});
                self.force("thinking.execution_failed", Some(details));
            }
            _ => {}
        }
    }

    fn run(&mut self) {
        if !self.running {
            self.running = true;
            if self.codex {
                self.add("thinking.running", None);
            }
        }
    }

    /// The facts that Claude Code tells at a turn's start, once model and conversation are known. `now` does without
    /// what is missing: the agent has begun.
    fn introduce(&mut self, now: bool) {
        let known = self.model.is_some() && self.session.is_some();
        if self.introduced || !(known || now) {
            return;
        }
        self.introduced = true;
        let mut details = json!({
            "type": "system",
            "subtype": "init",
            "permissionMode": "bypassPermissions",
        });
        let facts = [
            ("session_id", &self.session),
            ("model", &self.model),
            ("cwd", &self.cwd),
        ];
        for (name, fact) in facts {
            if let Some(fact) = fact {
                details[name] = json!(fact);
            }
        }
        self.add("thinking.system_message_received", Some(details));
    }

    fn reason(&mut self, block: &BlockId, delta: &str) {
        match &mut self.reasoning {
            Some((open, text)) if open == block => text.push_str(delta),
            _ => {
                self.end_reasoning();
                self.reasoning = Some((block.clone(), delta.to_owned()));
            }
        }
    }

    fn end_reasoning(&mut self) {
        if let Some((_, text)) = self.reasoning.take()
            && !text.trim().is_empty()
        {
            let details =
                json!({"type": "reasoning", "content": bounded(text.trim(), self.limit())});
            self.add("thinking.model_reasoning", Some(details));
        }
    }

    fn tool(&mut self, event: &ToolEvent, at_ms: u64) {
        match event {
            ToolEvent::Started {
                call,
                parent,
                name,
                input,
            } => {
                self.end_reasoning();
                // Arguments that still come are worth waiting for: a step can't be changed.
                if input.as_object().is_some_and(serde_json::Map::is_empty) {
                    let waiting = (call.clone(), name.clone(), parent.clone());
                    self.unshown.push(waiting);
                } else {
                    self.used(call, name, parent.as_ref(), input, at_ms);
                }
            }
            ToolEvent::Input { call, input } => self.show(call, input, at_ms),
            ToolEvent::Output { .. } => {}
            ToolEvent::Finished {
                call,
                status,
                output,
            } => {
                self.show(call, &json!({}), at_ms);
                self.returned(call, *status, output, at_ms);
            }
        }
    }

    fn subagent(&mut self, event: &SubagentEvent, at_ms: u64) {
        match event {
            SubagentEvent::Started {
                call,
                parent,
                name,
                input,
                ..
            } => {
                self.end_reasoning();
                self.used(call, name, parent.as_ref(), input, at_ms);
            }
            SubagentEvent::Running { .. } => {}
            SubagentEvent::Finished {
                call,
                status,
                output,
                ..
            } => self.returned(call, *status, output, at_ms),
        }
    }

    /// Every state of a plan is a step of its own, in the form of Claude's to-do list.
    fn plan(&mut self, steps: &[PlanStep], at_ms: u64) {
        self.plans += 1;
        let id = ToolCallId::new(format!("plan-{}", self.plans)).ok();
        if let Some(id) = id {
            self.used(&id, "TodoWrite", None, &todos(steps), at_ms);
            self.returned(&id, ToolStatus::Done, "", at_ms);
        }
    }

    /// Shows a call that waited for its arguments, if it did.
    fn show(&mut self, call: &ToolCallId, input: &Value, at_ms: u64) {
        let waiting = self.unshown.iter().position(|(id, ..)| id == call);
        if let Some(index) = waiting {
            let (id, name, parent) = self.unshown.remove(index);
            self.used(&id, &name, parent.as_ref(), input, at_ms);
        }
    }

    fn used(
        &mut self,
        call: &ToolCallId,
        name: &str,
        parent: Option<&ToolCallId>,
        input: &Value,
        at_ms: u64,
    ) {
        let input = bounded_value(input, self.limit());
        let block = json!({"type": "tool_use", "id": call.as_str(), "name": name, "input": input});
        let details = json!({
            "type": "assistant",
            "timestamp": at_ms,
            "message": {
                "id": call.as_str(),
                "type": "message",
                "role": "assistant",
                "model": self.model,
                "content": [block],
                "parent_tool_use_id": parent.map(ToolCallId::as_str),
            },
        });
        self.add("thinking.assistant_message_received", Some(details));
    }

    fn returned(&mut self, call: &ToolCallId, status: ToolStatus, output: &str, at_ms: u64) {
        let block = json!({
            "type": "tool_result",
            "tool_use_id": call.as_str(),
            "content": bounded(output, self.limit()),
            "is_error": status == ToolStatus::Failed,
        });
        let details = json!({
            "type": "user",
            "timestamp": at_ms,
            "message": {
                "type": "message",
                "role": "user",
                "content": [block],
                "parent_tool_use_id": null,
            },
        });
        self.add("thinking.user_message_received", Some(details));
    }

    /// Steps can't be changed, so only the end of each part of the preparation is one.
    fn prepared(&mut self, told: &Preparation) {
        let note = bounded(&told.note, self.limit());
        match (told.state, told.step) {
            (PreparationState::Running, _) => {}
            (PreparationState::Done, PrepareStep::Git) => {
                self.add("thinking.download_code", Some(json!({"note": note})));
            }
            (PreparationState::Done, PrepareStep::Attachments) => {
                self.add(
                    "thinking.attachments_downloaded",
                    Some(json!({"note": note})),
                );
            }
            (PreparationState::Done, _) => {}
            (PreparationState::Failed, step) => {
                let details = json!({"error": format!("{step}: {note}")});
                self.add("thinking.pre_execution_failed", Some(details));
            }
        }
    }

    fn retried(&mut self, retry: &Retry) {
        let details = json!({
            "retry_count": retry.count,
            "max_retries": retry.limit,
            "session_id": self.session,
            "error": bounded(&retry.error, MAX_TEXT_LATE),
        });
        self.add("thinking.api_error_retry", Some(details));
    }

    fn limit(&self) -> usize {
        if self.bytes > LONG {
            MAX_TEXT_LATE
        } else {
            MAX_TEXT
        }
    }

    fn add(&mut self, title: &str, details: Option<Value>) {
        match self.steps.len() {
            ..MAX_STEPS => self.force(title, details),
            MAX_STEPS => self.force("… further steps are left out", None),
            _ => {}
        }
    }

    fn force(&mut self, title: &str, details: Option<Value>) {
        let step = Step {
            title,
            next_action: "continue",
            details,
        };
        let written = serde_json::value::to_raw_value(&step);
        let written = written.expect("a step is made of strings, numbers and JSON");
        self.bytes += written.get().len();
        self.steps.push(written);
    }
}
