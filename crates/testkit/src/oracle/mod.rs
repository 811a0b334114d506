//! What a person sees of a turn, computed from its callbacks by Wegent's own rules.
//!
//! Wegent's backend and web UI turn callbacks into a message: text chunks are merged by their offset, blocks
//! are kept by their id, and a text block ends where a tool's block begins. [`replay`] does the same with a
//! callback log and notes on the way everything that a well-behaved executor does not do. Every callback log
//! of every test goes through it:
//!
//! ```
//! use serde_json::json;
//! use testkit::{Callback, oracle};
//!
//! let event = |data: serde_json::Value| {
//!     Callback::of(json!({"event_type": data["type"], "task_id": 1, "subtask_id": 2, "data": data}))
//! };
//! let view = oracle::replay(&[
//!     event(json!({"type": "response.created", "response": {"id": "resp_2"}})),
//!     event(json!({"type": "response.output_text.delta", "delta": "Hello", "offset": 0})),
//!     event(json!({"type": "response.completed", "response": {"output": [
//!         {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
//!     ]}})),
//! ]);
//! oracle::assert_clean(&view);
//! assert_eq!(view.shown_text(), "Hello");
//! ```
//!
//! The rules, all of Wegent's web UI or backend:
//!
//! * a chunk before `chat:start` (our `response.created`) is dropped; `chat:start` empties the text;
//! * offsets count Unicode code points; an equal chunk is ignored, an overlap trimmed, and at a gap or a
//!   mismatch the text from the offset on is replaced;
//! * blocks are upserted by id, and the open text or thinking block is closed by every tool or block event;
//! * at the end the longer of the streamed and the final text is kept.

mod event;
mod fold;
mod text;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Callback;

/// What a person sees, and what was wrong on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// How many runs of the turn the log holds: a `response.created` after a terminal event begins another.
    /// All other fields but `problems` speak of the last one.
    pub attempts: u32,
    /// The streamed text.
    pub text: String,
    /// The text of `response.completed`.
    pub final_text: Option<String>,
    /// The streamed reasoning.
    pub reasoning: String,
    /// The blocks in the order in which they are shown.
    pub blocks: Vec<Block>,
    /// How the turn ended.
    pub terminal: Option<Terminal>,
    /// Callbacks sent again: their first sending was not acknowledged, or their sender died before it could know.
    pub repeats: u32,
    /// Everything that a well-behaved executor does not do, in all attempts.
    pub problems: Vec<Problem>,
}

/// A block of the message.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Text of the answer.
    Text(String),
    /// Reasoning.
    Thinking(String),
    /// A tool call.
    Tool(ToolBlock),
    /// A block of another type (`subagent`, a child's text, …), as it came; opaque.
    Other {
        /// Its id.
        id: String,
        /// The block with its updates.
        block: Value,
    },
}

/// A tool call, as its block shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolBlock {
    /// The block's id, which is the call's.
    pub id: String,
    /// The tool's name; decides which card is shown.
    pub name: String,
    /// The tool's arguments; opaque.
    pub input: Value,
    /// The tool's output, if it came; opaque.
    pub output: Option<Value>,
    /// `pending`, `generating_arguments`, `done` or `error`.
    pub status: String,
    /// The call of the sub-agent that made this one.
    pub parent: Option<String>,
}

impl ToolBlock {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "done" | "error")
    }
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Terminal {
    /// `response.completed`.
    Completed {
        /// `end_turn`, `tool_deferred`, ….
        stop_reason: Option<String>,
        /// Token figures; opaque.
        usage: Value,
        /// The whole `response` object; opaque.
        response: Value,
    },
    /// `error`.
    Failed {
        /// The code by which the UI chooses its card.
        code: String,
        /// What the person reads.
        message: String,
    },
    /// `response.incomplete`.
    Cancelled {
        /// What was said about it.
        message: String,
    },
}

/// Something that a well-behaved executor does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Output came before `response.created`; the UI drops it.
    #[error("`{event}` before response.created")]
    BeforeCreated {
        /// The event's type.
        event: String,
    },
    /// `response.created` came again inside one attempt; it empties the text.
    #[error("response.created twice in one attempt")]
    CreatedTwice,
    /// An event came after the terminal one.
    #[error("`{event}` after the terminal event")]
    AfterTerminal {
        /// The event's type.
        event: String,
    },
    /// The log ends without a terminal event.
    #[error("no terminal event")]
    NoTerminal,
    /// A chunk has no offset.
    #[error("text delta without an offset")]
    NoOffset,
    /// A chunk begins beyond the end of the text.
    #[error("offset {offset} but only {length} code points of text")]
    OffsetGap {
        /// The chunk's offset.
        offset: u64,
        /// The code points there were.
        length: u64,
    },
    /// A chunk contradicts text that was shown before.
    #[error("the delta at offset {offset} differs from the text shown before")]
    OffsetMismatch {
        /// The chunk's offset.
        offset: u64,
    },
    /// A chunk repeats text, though everything before had been acknowledged.
    #[error("the delta at offset {offset} repeats text that had been acknowledged")]
    OffsetOverlap {
        /// The chunk's offset.
        offset: u64,
    },
    /// An update names a block that was never created.
    #[error("update for unknown block `{id}`")]
    UnknownBlock {
        /// The block's id.
        id: String,
    },
    /// A tool's block still spins in a completed turn.
    #[error("tool block `{id}` ({name}) left {status} in a completed turn")]
    LeftPending {
        /// The block's id.
        id: String,
        /// The tool.
        name: String,
        /// Its status.
        status: String,
    },
    /// A tool's id is blank; the backend rejects the event.
    #[error("blank tool id in `{event}`")]
    BlankToolId {
        /// The event's type.
        event: String,
    },
    /// An id is not a JSON integer; the backend rejects the event.
    #[error("`{field}` is not a JSON integer")]
    NotAnInteger {
        /// The field.
        field: &'static str,
    },
    /// `event_type` and `data.type` differ.
    #[error("event_type `{outer}` but data.type `{inner}`")]
    TypesDiffer {
        /// `event_type`.
        outer: String,
        /// `data.type`.
        inner: String,
    },
    /// A field that the event needs is missing or of another type.
    #[error("`{event}` can't be read: {reason}")]
    Malformed {
        /// The event's type.
        event: String,
        /// What is wrong.
        reason: String,
    },
    /// The backend does not know the event and drops it.
    #[error("the backend drops `{event}`")]
    Dropped {
        /// The event's type.
        event: String,
    },
}

/// Computes what a person sees after `callbacks`, which are those of one subtask in order of arrival.
/// Callbacks that did not reach the front end ([`Callback::shown`]) are left out.
pub fn replay<'a>(callbacks: impl IntoIterator<Item = &'a Callback>) -> View {
    let mut fold = fold::Fold::default();
    for callback in callbacks {
        fold.push(callback);
    }
    fold.finish()
}

/// Panics, showing the whole view, if anything was wrong.
///
/// # Panics
/// If the view lists a problem.
#[track_caller]
pub fn assert_clean(view: &View) {
    if view.problems.is_empty() {
        return;
    }
    let problems: Vec<String> = view
        .problems
        .iter()
        .map(|problem| format!("  - {problem}"))
        .collect();
    panic!(
        "the callbacks break Wegent's rules:\n{}\n{view:#?}",
        problems.join("\n")
    );
}

impl View {
    /// The text that stays on the screen: the longer of the streamed and the final one.
    pub fn shown_text(&self) -> &str {
        match &self.final_text {
            Some(last) if last.chars().count() > self.text.chars().count() => last,
            _ => &self.text,
        }
    }

    /// The tool calls in order.
    pub fn tools(&self) -> impl Iterator<Item = &ToolBlock> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Tool(tool) => Some(tool),
            _ => None,
        })
    }

    /// How often each tool was called.
    pub fn tool_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for tool in self.tools() {
            *counts.entry(tool.name.as_str()).or_default() += 1;
        }
        counts
    }

    /// Whether the turn completed.
    pub fn completed(&self) -> bool {
        matches!(self.terminal, Some(Terminal::Completed { .. }))
    }

    /// The error code, if the turn failed.
    pub fn error_code(&self) -> Option<&str> {
        match &self.terminal {
            Some(Terminal::Failed { code, .. }) => Some(code),
            _ => None,
        }
    }
}
