//! What Claude Code says, as events. A pure fold over the messages of one turn: no clock, no I/O.

mod calls;

use std::collections::HashMap;

use agent_core::{
    AgentEvent, BlockId, Notice, NoticeKind, Retry, ToolCallId,
    void_text::{AnswerText, Piece, events},
};

use self::calls::Call;
use crate::{
    edits,
    protocol::{ApiRetry, Assistant, Block, Delta, Init, Message, StreamEvent},
};

/// From this attempt on the person is told that the model's API fails: the ones before are over in a second.
const TOLD_FROM_ATTEMPT: u32 = 3;
/// Or if one has to wait as long as this for the next, in milliseconds: some providers say how long.
const TOLD_FROM_DELAY: f64 = 3000.0;

/// Folds one turn's messages into events.
#[derive(Debug, Default)]
pub(crate) struct Mapper {
    answer: AnswerText,
    thoughts: AnswerText,
    /// The message that streams, and the content block of it that does.
    streaming: Option<(String, Option<u64>)>,
    /// How many blocks of a message came whole, to name those that never streamed.
    whole: HashMap<String, u32>,
    /// Calls that run.
    calls: HashMap<ToolCallId, Call>,
    model: String,
    retry_told: bool,
    retries: u32,
    /// A line was too long to be read; it may have been a part of the answer.
    lost: bool,
}

impl Mapper {
    /// The confirmed final answer so far.
    pub(crate) fn final_answer(&self) -> Option<&str> {
        self.answer.final_answer()
    }

    /// Whether a tool runs, which may be silent for as long as it likes.
    pub(crate) fn tool_runs(&self) -> bool {
        !self.calls.is_empty()
    }

    /// A call is over without a word of the CLI's.
    pub(crate) fn forget(&mut self, call: &ToolCallId) {
        self.calls.remove(call);
    }

    /// A line was dropped for its length.
    pub(crate) fn line_lost(&mut self) {
        self.lost = true;
    }

    /// The events that a message amounts to.
    pub(crate) fn map(&mut self, message: Message) -> Vec<AgentEvent> {
        match message {
            Message::Init(init) => self.init(init),
            Message::ApiRetry(retry) => self.retry(&retry),
            Message::HookResponse(hook) => edits::failed(&hook)
                .map(|failure| AgentEvent::Notice(failure.of_edit()))
                .into_iter()
                .collect(),
            Message::Stream(line) if line.parent_tool_use_id.is_none() => self.stream(line.event),
            Message::Assistant(line) => self.assistant(line),
            Message::User(line) => self.user(line),
            Message::TaskStarted(task) => self.task_started(&task),
            Message::TaskNotification(task) => self.task_over(task),
            Message::Result(result) => match result.result {
                Some(text) if self.lost && !result.is_error => self.catch_up(&text),
                _ => Vec::new(),
            },
            // A sub-agent's words come whole, in its `assistant` lines.
            Message::Stream(_)
            // The turn loop's.
            | Message::ControlRequest(_)
            | Message::ControlResponse(_)
            | Message::ControlCancel { .. } => Vec::new(),
            Message::Other { kind } => {
                tracing::trace!(kind, "message without a mapping");
                Vec::new()
            }
        }
    }

    fn init(&mut self, init: Init) -> Vec<AgentEvent> {
        if init.model.is_empty() || init.model == self.model {
            return Vec::new();
        }
        self.model.clone_from(&init.model);
        vec![AgentEvent::Model { id: init.model }]
    }

    /// A failure that the person reads of once, when the wait gets long.
    fn retry(&mut self, retry: &ApiRetry) -> Vec<AgentEvent> {
        tracing::warn!(
            attempt = retry.attempt,
            of = retry.max_retries,
            status = retry.error_status,
            error = ?retry.error,
            "the model's API failed, claude tries again"
        );
        let answered = match retry.error_status {
            Some(status) => format!("answers with HTTP {status}"),
            None => "can't be reached".to_owned(),
        };
        let told = format!("The model's provider {answered}; the request is tried again.");
        let mut events = vec![self.tried_again(Some(retry.max_retries), told.clone())];
        let short = retry.attempt < TOLD_FROM_ATTEMPT && retry.retry_delay_ms < TOLD_FROM_DELAY;
        if !short && !self.retry_told {
            self.retry_told = true;
            events.push(notice(NoticeKind::ApiRetry, told));
        }
        events
    }

    /// Something failed and is tried again, by the CLI or by us.
    pub(crate) fn tried_again(&mut self, limit: Option<u32>, error: String) -> AgentEvent {
        self.retries += 1;
        let count = self.retries;
        AgentEvent::Retry(Retry {
            count,
            limit,
            error,
        })
    }

    fn stream(&mut self, event: StreamEvent) -> Vec<AgentEvent> {
        match event {
            StreamEvent::MessageStart { message } => self.streaming = Some((message.id, None)),
            StreamEvent::ContentBlockStart { index } => {
                if let Some((_, open)) = &mut self.streaming {
                    *open = Some(index);
                }
            }
            StreamEvent::ContentBlockStop => {
                if let Some((_, open)) = &mut self.streaming {
                    *open = None;
                }
            }
            StreamEvent::ContentBlockDelta { index, delta } => return self.delta(index, delta),
            StreamEvent::MessageDelta { .. } | StreamEvent::Other => {}
        }
        Vec::new()
    }

    fn delta(&mut self, index: u64, delta: Delta) -> Vec<AgentEvent> {
        let Some(block) = self
            .streaming
            .as_ref()
            .and_then(|(message, _)| streamed_block(message, index))
        else {
            return Vec::new();
        };
        match delta {
            Delta::Text { text } => {
                self.thoughts.block();
                events(&block, self.answer.delta(&block, &text))
            }
            Delta::Thinking { thinking } => thought(&block, self.thoughts.delta(&block, &thinking)),
            Delta::Other => Vec::new(),
        }
    }

    fn assistant(&mut self, line: Assistant) -> Vec<AgentEvent> {
        // The prose about an API's failure is no answer; the turn's end tells of it.
        if line.error.is_some() {
            return Vec::new();
        }
        let message = line.message.id;
        let parent = match line.parent_tool_use_id.map(ToolCallId::new) {
            None => None,
            Some(Ok(parent)) => Some(parent),
            Some(Err(_)) => return Vec::new(),
        };
        let blocks = line.message.content.into_iter();
        blocks
            .flat_map(|block| match &parent {
                None => self.main_block(&message, block),
                Some(parent) => self.child_block(&message, parent, block),
            })
            .collect()
    }

    fn main_block(&mut self, message: &str, block: Block) -> Vec<AgentEvent> {
        match block {
            Block::Text { text } => {
                self.thoughts.block();
                let Some(id) = self.block_of(message) else {
                    return Vec::new();
                };
                let pieces = self.answer.complete(&id, &text);
                with_end(events(&id, pieces), id)
            }
            Block::Thinking { thinking } => {
                let Some(id) = self.block_of(message) else {
                    return Vec::new();
                };
                let pieces = self.thoughts.complete(&id, &thinking);
                with_end(thought(&id, pieces), id)
            }
            Block::ToolUse { id, name, input } => self.begin(id, name, input, None),
            Block::ToolResult(_) | Block::Image | Block::Other => Vec::new(),
        }
    }

    /// What a sub-agent said comes whole, and its blocks belong to its call.
    fn child_block(&mut self, message: &str, parent: &ToolCallId, block: Block) -> Vec<AgentEvent> {
        let (delta, is_text) = match block {
            Block::ToolUse { id, name, input } => {
                return self.begin(id, name, input, Some(parent.clone()));
            }
            Block::Text { text } => (text, true),
            Block::Thinking { thinking } => (thinking, false),
            Block::ToolResult(_) | Block::Image | Block::Other => return Vec::new(),
        };
        let Some(block) = self.whole_block(message).filter(|_| !delta.is_empty()) else {
            return Vec::new();
        };
        let (end, parent) = (block.clone(), Some(parent.clone()));
        let said = if is_text {
            AgentEvent::Text {
                block,
                parent,
                delta,
            }
        } else {
            AgentEvent::Reasoning {
                block,
                parent,
                delta,
            }
        };
        vec![said, AgentEvent::BlockEnd { block: end }]
    }

    /// Shows what a lost line would have shown.
    fn catch_up(&mut self, text: &str) -> Vec<AgentEvent> {
        if self.answer.final_answer() == Some(text) {
            return Vec::new();
        }
        let Some(block) = self.whole_block("result") else {
            return Vec::new();
        };
        let pieces = self.answer.complete(&block, text);
        with_end(events(&block, pieces), block)
    }

    /// The block that a whole content block of the main agent's is: the one that streams, or one of its own.
    fn block_of(&mut self, message: &str) -> Option<BlockId> {
        match &self.streaming {
            Some((streaming, Some(index))) if streaming == message => {
                streamed_block(message, *index)
            }
            _ => self.whole_block(message),
        }
    }

    fn whole_block(&mut self, message: &str) -> Option<BlockId> {
        let count = self.whole.entry(message.to_owned()).or_default();
        *count += 1;
        BlockId::new(format!("{message}.w{count}")).ok()
    }
}

fn streamed_block(message: &str, index: u64) -> Option<BlockId> {
    BlockId::new(format!("{message}.{index}")).ok()
}

/// Reasoning that begins anew needs no notice.
fn thought(block: &BlockId, pieces: Vec<Piece>) -> Vec<AgentEvent> {
    pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Text(delta) => Some(AgentEvent::Reasoning {
                block: block.clone(),
                parent: None,
                delta,
            }),
            Piece::Restarted => None,
        })
        .collect()
}

fn with_end(mut events: Vec<AgentEvent>, block: BlockId) -> Vec<AgentEvent> {
    events.push(AgentEvent::BlockEnd { block });
    events
}

/// A notice as an event.
pub(crate) fn notice(kind: NoticeKind, text: String) -> AgentEvent {
    AgentEvent::Notice(Notice { kind, text })
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
