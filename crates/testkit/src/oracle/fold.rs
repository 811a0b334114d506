//! Callbacks in, a view out.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    Block, Problem, Terminal, ToolBlock, View,
    event::{self, Event, Item},
    text::{Merge, Text},
};
use crate::Callback;

/// One attempt while it is read.
#[derive(Debug, Default)]
struct Attempt {
    created: bool,
    text: Text,
    final_text: Option<String>,
    reasoning: String,
    blocks: Vec<Block>,
    by_id: HashMap<String, usize>,
    /// The text or thinking block that more of the same kind goes to.
    open: Option<usize>,
    terminal: Option<Terminal>,
}

#[derive(Debug, Default)]
pub(super) struct Fold {
    attempt: Attempt,
    attempts: u32,
    problems: Vec<Problem>,
    repeats: u32,
    last: Option<Last>,
    /// Some callback was not acknowledged, so text may rightly come twice.
    lost: bool,
}

/// The callback before, as far as a repeat is known by it.
#[derive(Debug)]
struct Last {
    body: Value,
    key: Option<String>,
    acknowledged: bool,
}

impl Last {
    fn of(callback: &Callback) -> Self {
        Self {
            body: callback.body.clone(),
            key: callback.header("idempotency-key").map(str::to_owned),
            acknowledged: callback.acknowledged(),
        }
    }

    /// Whether `callback` is this one again: because it had not been acknowledged, or because its sender, killed just
    /// then, could not take note of that. The key, which is what it is for, tells that from the same words said twice.
    fn again(&self, callback: &Callback) -> bool {
        let same_key =
            self.key.is_some() && self.key.as_deref() == callback.header("idempotency-key");
        self.body == callback.body && (same_key || !self.acknowledged)
    }
}

impl Fold {
    pub(super) fn push(&mut self, callback: &Callback) {
        if !callback.shown {
            self.lost = true;
            return;
        }
        let again = self.last.as_ref().is_some_and(|last| last.again(callback));
        self.last = Some(Last::of(callback));
        self.lost |= !callback.acknowledged();
        let kind = callback.event_type().to_owned();
        if again {
            self.repeats += 1;
            // Reasoning has no offset: the UI has no way to tell, and shows it twice.
            if !kind.starts_with("response.reasoning") {
                return;
            }
        }
        self.check_envelope(callback);
        match serde_json::from_value::<Event>(callback.data().clone()) {
            Ok(event) => self.apply(&kind, event),
            Err(error) => self.problems.push(Problem::Malformed {
                event: kind,
                reason: error.to_string(),
            }),
        }
    }

    pub(super) fn finish(mut self) -> View {
        if self.attempt.terminal.is_none() {
            self.problems.push(Problem::NoTerminal);
        }
        let attempt = self.attempt;
        View {
            attempts: self.attempts,
            text: attempt.text.into_string(),
            final_text: attempt.final_text,
            reasoning: attempt.reasoning,
            blocks: attempt.blocks,
            terminal: attempt.terminal,
            repeats: self.repeats,
            problems: self.problems,
        }
    }

    fn check_envelope(&mut self, callback: &Callback) {
        for field in ["task_id", "subtask_id"] {
            if !callback.body.get(field).is_some_and(Value::is_i64) {
                self.problems.push(Problem::NotAnInteger { field });
            }
        }
        if callback
            .body
            .get("message_id")
            .is_some_and(|id| !id.is_i64())
        {
            self.problems.push(Problem::NotAnInteger {
                field: "message_id",
            });
        }
        let inner = callback
            .data()
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if inner != callback.event_type() {
            let outer = callback.event_type().to_owned();
            self.problems.push(Problem::TypesDiffer {
                outer,
                inner: inner.to_owned(),
            });
        }
    }

    fn apply(&mut self, kind: &str, event: Event) {
        if matches!(event, Event::Created {}) {
            return self.created();
        }
        if self.attempt.terminal.is_some() {
            return self.problems.push(Problem::AfterTerminal {
                event: kind.to_owned(),
            });
        }
        let ends = matches!(
            event,
            Event::Completed { .. } | Event::Failed { .. } | Event::Incomplete { .. }
        );
        if !self.attempt.created
            && !ends
            && !matches!(event, Event::WithoutEffect {} | Event::Unknown)
        {
            return self.problems.push(Problem::BeforeCreated {
                event: kind.to_owned(),
            });
        }
        match event {
            Event::Created {} | Event::WithoutEffect {} => {}
            Event::Unknown => self.problems.push(Problem::Dropped {
                event: kind.to_owned(),
            }),
            Event::Text { delta, offset } => self.text(&delta, offset),
            Event::Reasoning { delta } => self.attempt.think(&delta),
            Event::ReasoningPart { part } => self.attempt.think(&part.text),
            Event::BlockCreated { block } => self.block_created(kind, block),
            Event::BlockUpdated { block_id, updates } => {
                self.block_updated(kind, &block_id, updates)
            }
            Event::ItemAdded { item } | Event::ItemDone { item } if item.kind == "message" => {
                drop(item)
            }
            Event::ItemAdded { item } => self.item_added(kind, &item),
            Event::ItemDone { item } => self.item_done(kind, &item),
            Event::Completed { response } => self.completed(response),
            Event::Failed { code, message } => {
                self.attempt.terminal = Some(Terminal::Failed { code, message })
            }
            Event::Incomplete { response } => {
                let message = response
                    .error
                    .map(|error| error.message)
                    .unwrap_or_default();
                self.attempt.terminal = Some(Terminal::Cancelled { message });
            }
        }
    }

    fn created(&mut self) {
        if self.attempt.created && self.attempt.terminal.is_none() {
            self.problems.push(Problem::CreatedTwice);
        } else {
            self.attempts += 1;
        }
        self.attempt = Attempt {
            created: true,
            ..Attempt::default()
        };
    }

    fn text(&mut self, delta: &str, offset: Option<u64>) {
        let Some(offset) = offset else {
            self.problems.push(Problem::NoOffset);
            self.attempt.text.push(delta);
            return self.attempt.show(delta);
        };
        let (added, merge) = self.attempt.text.merge(offset, delta);
        self.attempt.show(added);
        match merge {
            Merge::Appended => {}
            Merge::Overlap if self.lost || delta.is_empty() => {}
            Merge::Overlap => self.problems.push(Problem::OffsetOverlap { offset }),
            Merge::Gap { length } => self.problems.push(Problem::OffsetGap { offset, length }),
            Merge::Mismatch => self.problems.push(Problem::OffsetMismatch { offset }),
        }
    }

    fn block_created(&mut self, kind: &str, block: Map<String, Value>) {
        self.attempt.open = None;
        let id = text_of(&block, "id");
        let is_tool = matches!(text_of(&block, "type").as_str(), "tool" | "subagent");
        if id.trim().is_empty() || (is_tool && text_of(&block, "tool_use_id").trim().is_empty()) {
            return self.problems.push(Problem::BlankToolId {
                event: kind.to_owned(),
            });
        }
        let block = if text_of(&block, "type") == "tool" {
            Block::Tool(tool_block(&id, &block))
        } else {
            Block::Other {
                id: id.clone(),
                block: Value::Object(block),
            }
        };
        self.attempt.upsert(id, block);
    }

    fn block_updated(&mut self, kind: &str, id: &str, updates: Map<String, Value>) {
        self.attempt.open = None;
        if id.trim().is_empty() {
            return self.problems.push(Problem::BlankToolId {
                event: kind.to_owned(),
            });
        }
        let Some(&index) = self.attempt.by_id.get(id) else {
            self.problems
                .push(Problem::UnknownBlock { id: id.to_owned() });
            // The backend makes a tool block of it.
            return self
                .attempt
                .upsert(id.to_owned(), Block::Tool(tool_block(id, &updates)));
        };
        match &mut self.attempt.blocks[index] {
            Block::Tool(tool) => update_tool(tool, updates),
            Block::Other { block, .. } => {
                if let Value::Object(fields) = block {
                    fields.extend(updates);
                }
            }
            Block::Text(_) | Block::Thinking(_) => {}
        }
    }

    fn item_added(&mut self, kind: &str, item: &Item) {
        self.attempt.open = None;
        let id = item.call().to_owned();
        if id.trim().is_empty() {
            return self.problems.push(Problem::BlankToolId {
                event: kind.to_owned(),
            });
        }
        let tool = ToolBlock {
            id: id.clone(),
            name: item.name.clone().unwrap_or_else(|| item.kind.clone()),
            input: item
                .arguments
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            output: None,
            status: "pending".to_owned(),
            parent: None,
        };
        self.attempt.upsert(id, Block::Tool(tool));
    }

    fn item_done(&mut self, kind: &str, item: &Item) {
        let failed = item.status.as_deref() == Some("failed");
        let mut updates = Map::new();
        updates.insert(
            "status".into(),
            Value::from(if failed { "error" } else { "done" }),
        );
        if let Some(output) = &item.output {
            updates.insert("tool_output".into(), output.clone());
        }
        self.block_updated(kind, item.call(), updates);
    }

    fn completed(&mut self, response: Map<String, Value>) {
        self.attempt.final_text = Some(event::final_text(&response));
        for block in &self.attempt.blocks {
            if let Block::Tool(tool) = block
                && !tool.is_over()
            {
                let (id, name, status) = (tool.id.clone(), tool.name.clone(), tool.status.clone());
                self.problems
                    .push(Problem::LeftPending { id, name, status });
            }
        }
        self.attempt.terminal = Some(Terminal::Completed {
            stop_reason: response
                .get("stop_reason")
                .and_then(Value::as_str)
                .map(str::to_owned),
            usage: response.get("usage").cloned().unwrap_or_default(),
            response: Value::Object(response),
        });
    }
}

impl Attempt {
    fn show(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        if let Some(Block::Text(text)) = self.open.map(|index| &mut self.blocks[index]) {
            text.push_str(delta);
        } else {
            self.open = Some(self.blocks.len());
            self.blocks.push(Block::Text(delta.to_owned()));
        }
    }

    fn think(&mut self, delta: &str) {
        self.reasoning.push_str(delta);
        if let Some(Block::Thinking(text)) = self.open.map(|index| &mut self.blocks[index]) {
            text.push_str(delta);
        } else {
            self.open = Some(self.blocks.len());
            self.blocks.push(Block::Thinking(delta.to_owned()));
        }
    }

    fn upsert(&mut self, id: String, block: Block) {
        match self.by_id.get(&id) {
            Some(&index) => self.blocks[index] = block,
            None => {
                self.by_id.insert(id, self.blocks.len());
                self.blocks.push(block);
            }
        }
    }
}

fn text_of(fields: &Map<String, Value>, key: &str) -> String {
    fields
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn tool_block(id: &str, fields: &Map<String, Value>) -> ToolBlock {
    let mut tool = ToolBlock {
        id: id.to_owned(),
        name: text_of(fields, "tool_name"),
        input: Value::Null,
        output: None,
        status: "pending".to_owned(),
        parent: None,
    };
    update_tool(&mut tool, fields.clone());
    tool
}

fn update_tool(tool: &mut ToolBlock, mut updates: Map<String, Value>) {
    if let Some(Value::String(status)) = updates.remove("status") {
        tool.status = status;
    }
    if let Some(input) = updates.remove("tool_input") {
        tool.input = input;
    }
    if let Some(output) = updates
        .remove("tool_output")
        .filter(|output| !output.is_null())
    {
        tool.output = Some(output);
    }
    if let Some(Value::String(parent)) = updates.remove("parent_tool_use_id") {
        tool.parent = Some(parent);
    }
}

#[cfg(test)]
mod tests;
