//! What Codex did, as the events of `codex exec --json`, which Wegent's interface lists in a panel of their own.

use std::collections::HashMap;

use agent_core::{
    AgentEvent, BlockId, PlanStatus, PlanStep, SubagentEvent, ToolCallId, ToolEvent, ToolStatus,
    Usage,
};
use serde_json::{Value, json, value::RawValue};

use super::bounds::{bounded, bounded_value};
use crate::EndKind;

/// How long a text within an event may be, in bytes.
const MAX_TEXT: usize = 16 * 1024;
/// How many bytes of events are kept: the last callback repeats them all.
const MAX_BYTES: usize = 1024 * 1024;
/// How many events are kept.
const MAX_EVENTS: usize = 5000;

/// The events of a Codex turn; those of other agents' turns are none. Bounded: some 1 MB, each text 16 KB.
#[derive(Debug)]
pub struct CodexEvents {
    codex: bool,
    all: Vec<Box<RawValue>>,
    bytes: usize,
    /// How many have been sent.
    sent: usize,
    left_out: bool,
    turn_started: bool,
    /// Text and reasoning that goes on, in the order of its beginning.
    open: Vec<(BlockId, &'static str, String)>,
    calls: HashMap<ToolCallId, Value>,
    plan: Option<Value>,
}

impl CodexEvents {
    /// No events yet. `codex`: whether it is a turn of Codex's at all.
    pub fn new(codex: bool) -> Self {
        Self {
            codex,
            all: Vec::new(),
            bytes: 0,
            sent: 0,
            left_out: false,
            turn_started: false,
            open: Vec::new(),
            calls: HashMap::new(),
            plan: None,
        }
    }

    /// Every event so far.
    pub(super) fn all(&self) -> &[Box<RawValue>] {
        &self.all
    }

    /// Whether there are events that were not taken yet.
    pub(super) fn has_new(&self) -> bool {
        self.sent < self.all.len()
    }

    /// Takes the events that were not taken yet.
    pub fn take_new(&mut self) -> Vec<Box<RawValue>> {
        let new = self.all[self.sent..].to_vec();
        self.sent = self.all.len();
        new
    }

    /// Takes in what happened.
    pub fn take_in(&mut self, event: &AgentEvent) {
        if !self.codex {
            return;
        }
        match event {
            AgentEvent::Session(session) => {
                self.add(json!({"type": "thread.started", "thread_id": session.id.as_str()}));
                self.start_turn();
            }
            AgentEvent::Text {
                block,
                parent: None,
                delta,
            } => self.push(block, "agent_message", delta),
            AgentEvent::Reasoning {
                block,
                parent: None,
                delta,
            } => self.push(block, "reasoning", delta),
            AgentEvent::BlockEnd { block } => {
                let ended = self.open.iter().position(|(open, ..)| open == block);
                if let Some(index) = ended {
                    let (id, kind, text) = self.open.remove(index);
                    self.said(&id, kind, &text);
                }
            }
            AgentEvent::Tool(event) => self.tool(event),
            AgentEvent::Subagent(event) => self.subagent(event),
            AgentEvent::Plan { call, steps } => self.plan(call, steps),
            AgentEvent::Notice(notice) => {
                self.add(json!({"type": "error", "message": bounded(&notice.text, MAX_TEXT)}));
            }
            AgentEvent::Retry(retry) => {
                self.add(json!({"type": "error", "message": bounded(&retry.error, MAX_TEXT)}));
            }
            AgentEvent::Text { .. }
            | AgentEvent::Reasoning { .. }
            | AgentEvent::Model { .. }
            | AgentEvent::Place { .. }
            | AgentEvent::Question(_)
            | AgentEvent::Preparation(_)
            | AgentEvent::CleanUp(_)
            | AgentEvent::Usage(_) => {}
        }
    }

    /// The last events.
    pub fn end(&mut self, kind: &EndKind, usage: Option<&Usage>) {
        if !self.codex {
            return;
        }
        for (id, kind, text) in std::mem::take(&mut self.open) {
            self.said(&id, kind, &text);
        }
        if let Some(item) = self.plan.take() {
            self.add(json!({"type": "item.completed", "item": item}));
        }
        match kind {
            EndKind::Completed { .. } | EndKind::Waiting { .. } => {
                let mut event = json!({"type": "turn.completed"});
                if let Some(usage) = usage {
                    event["usage"] = json!({
                        "input_tokens": usage.input_tokens,
                        "cached_input_tokens": usage.cached_input_tokens,
                        "output_tokens": usage.output_tokens,
                    });
                }
                self.force(&event);
            }
            EndKind::Failed { message, .. } => {
                let message = bounded(message, MAX_TEXT);
                self.force(&json!({"type": "turn.failed", "error": {"message": message}}));
            }
            EndKind::Cancelled { .. } => {}
        }
    }

    fn start_turn(&mut self) {
        if !self.turn_started {
            self.turn_started = true;
            self.add(json!({"type": "turn.started"}));
        }
    }

    fn push(&mut self, block: &BlockId, kind: &'static str, delta: &str) {
        let index = match self.open.iter().position(|(open, ..)| open == block) {
            Some(index) => index,
            None => {
                self.open.push((block.clone(), kind, String::new()));
                self.open.len() - 1
            }
        };
        let text = &mut self.open[index].2;
        // Its middle is left out in the end; it must not be kept whole until then.
        if text.len() < 4 * MAX_TEXT {
            text.push_str(delta);
        }
    }

    fn said(&mut self, block: &BlockId, kind: &str, text: &str) {
        let text = bounded(text.trim_start_matches('\n'), MAX_TEXT);
        let item = json!({"id": block.as_str(), "type": kind, "text": text});
        self.item("item.completed", item);
    }

    fn tool(&mut self, event: &ToolEvent) {
        match event {
            ToolEvent::Started {
                call, name, input, ..
            } => self.called(call, name, input),
            ToolEvent::Input { call, input } => {
                if let Some(item) = self.calls.get_mut(call) {
                    let kind = item["type"].as_str().unwrap_or_default().to_owned();
                    fill(item, &kind, input);
                }
            }
            ToolEvent::Output { .. } => {}
            ToolEvent::Finished {
                call,
                status,
                output,
            } => self.finished(call, *status, output),
        }
    }

    fn subagent(&mut self, event: &SubagentEvent) {
        match event {
            SubagentEvent::Started {
                call, name, input, ..
            } => self.called(call, name, input),
            SubagentEvent::Running { .. } => {}
            SubagentEvent::Finished {
                call,
                status,
                output,
                ..
            } => self.finished(call, *status, output),
        }
    }

    fn called(&mut self, call: &ToolCallId, name: &str, input: &Value) {
        let kind = kind_of(name);
        let mut item = json!({"id": call.as_str(), "type": kind, "status": "in_progress"});
        match name
            .strip_prefix("mcp__")
            .and_then(|name| name.split_once("__"))
        {
            Some((server, tool)) => {
                item["server"] = json!(server);
                item["tool"] = json!(tool);
            }
            None if kind == "mcp_tool_call" => {
                item["server"] = json!("codex");
                item["tool"] = json!(name);
            }
            None => {}
        }
        if kind == "command_execution" {
            item["aggregated_output"] = json!("");
            item["exit_code"] = Value::Null;
        }
        fill(&mut item, kind, input);
        self.calls.insert(call.clone(), item.clone());
        self.item("item.started", item);
    }

    fn finished(&mut self, call: &ToolCallId, status: ToolStatus, output: &str) {
        let Some(mut item) = self.calls.remove(call) else {
            return;
        };
        let done = status == ToolStatus::Done;
        item["status"] = json!(if done { "completed" } else { "failed" });
        match item["type"].as_str() {
            Some("command_execution") => {
                let (output, code) = exit_code(output);
                item["aggregated_output"] = json!(bounded(output, MAX_TEXT));
                item["exit_code"] = json!(code.unwrap_or(i64::from(!done)));
            }
            Some("mcp_tool_call") => item["result"] = json!(bounded(output, MAX_TEXT)),
            _ => {}
        }
        self.item("item.completed", item);
    }

    fn plan(&mut self, call: &ToolCallId, steps: &[PlanStep]) {
        let todo = |step: &PlanStep| json!({"text": step.text, "completed": step.status == PlanStatus::Completed});
        let items: Vec<Value> = steps.iter().map(todo).collect();
        let item = json!({"id": call.as_str(), "type": "todo_list", "items": items});
        let kind = match self.plan {
            None => "item.started",
            Some(_) => "item.updated",
        };
        self.plan = Some(item.clone());
        self.item(kind, item);
    }

    fn item(&mut self, kind: &str, item: Value) {
        self.start_turn();
        self.add(json!({"type": kind, "item": item}));
    }

    /// Adds an event while there is room; then, once, one that says that there is none.
    fn add(&mut self, event: Value) {
        if self.left_out {
            return;
        }
        if self.all.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES {
            self.left_out = true;
            let text = "further events of this turn are left out";
            return self.force(&json!({"type": "error", "message": text}));
        }
        self.force(&event);
    }

    fn force(&mut self, event: &Value) {
        let written = serde_json::value::to_raw_value(event).expect("an event is plain JSON");
        self.bytes += written.get().len();
        self.all.push(written);
    }
}

fn kind_of(name: &str) -> &'static str {
    match name {
        "Bash" => "command_execution",
        "Edit" | "Write" => "file_change",
        "WebSearch" => "web_search",
        _ => "mcp_tool_call",
    }
}

fn fill(item: &mut Value, kind: &str, input: &Value) {
    match kind {
        "command_execution" => item["command"] = bounded_value(&input["command"], MAX_TEXT),
        "web_search" => item["query"] = bounded_value(&input["query"], MAX_TEXT),
        "file_change" => item["changes"] = changes(input),
        _ => item["arguments"] = bounded_value(input, MAX_TEXT),
    }
}

fn changes(input: &Value) -> Value {
    let one = |change: &Value| {
        let kind = match change["kind"].as_str() {
            Some(kind) => kind,
            None if input.get("content").is_some() => "add",
            None => "update",
        };
        json!({"path": change["file_path"], "kind": kind})
    };
    match input["changes"].as_array() {
        Some(changes) => changes.iter().map(one).collect(),
        None => json!([one(input)]),
    }
}

/// The output of a command and its exit code, which stands behind it unless it is 0.
fn exit_code(output: &str) -> (&str, Option<i64>) {
    let code = output
        .rsplit_once("[exit code ")
        .and_then(|(before, code)| {
            let code = code.strip_suffix(']')?.parse().ok()?;
            Some((before, Some(code)))
        });
    code.unwrap_or((output, None))
}
