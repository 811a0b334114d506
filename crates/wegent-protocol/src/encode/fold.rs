//! The fold itself: each record changes the state and yields the pieces to send, each of them complete.

use agent_core::{
    AgentEvent, BlockId, FORM_TOOL, FileChanges, Form, PlanStatus, PlanStep, Preparation,
    PreparationState, Question, SessionRef, SubagentEvent, ToolCallId, ToolEvent, ToolStatus,
    Usage,
};
use serde_json::{Value, json};

use super::{
    blocks::{Call, Calls, Child, ChildKind, Children, complete_output},
    form,
    text::{Answer, MAX_TEXT, chunks, code_points},
    wire::{Block, Item, Updates},
};
use crate::{EndKind, RecordBody, TurnEnd, TurnRecord};

/// A message's content, and the unit of merging.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Created,
    Text { delta: String, offset: u64 },
    Reasoning { delta: String },
    BlockCreated(Block),
    BlockUpdated { id: ToolCallId, updates: Updates },
    ItemDone(Box<Item>),
    End(Box<End>),
}

/// The end of a turn with all that its message needs.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) kind: EndKind,
    pub(super) usage: Option<Usage>,
    pub(super) session: Option<SessionRef>,
    pub(super) changes: FileChanges,
    pub(super) model: Option<String>,
}

impl Piece {
    /// Takes `later` in if both fit into one message, and gives it back if they don't.
    pub(super) fn merge(&mut self, later: Self) -> Option<Self> {
        match (self, later) {
            (Self::Text { delta, .. }, Self::Text { delta: more, .. })
            | (Self::Reasoning { delta }, Self::Reasoning { delta: more })
                if delta.len() + more.len() <= MAX_TEXT =>
            {
                delta.push_str(&more);
                None
            }
            (
                Self::BlockUpdated { id, updates },
                Self::BlockUpdated {
                    id: same,
                    updates: more,
                },
            ) if *id == same => {
                updates.merge(more);
                None
            }
            (_, later) => Some(later),
        }
    }
}

/// What the next piece depends on. Whatever is here comes from the records alone, so that it doesn't
/// depend on how they were batched into messages.
#[derive(Debug, Default)]
pub(super) struct Fold {
    begun: bool,
    ended: bool,
    answer: Answer,
    calls: Calls,
    /// Sub-agents that have not finished.
    subagents: Vec<ToolCallId>,
    plans: Vec<ToolCallId>,
    children: Children,
    model: Option<String>,
    usage: Option<Usage>,
    session: Option<SessionRef>,
}

impl Fold {
    /// Takes in the next record. Nothing comes of a second beginning, nor of anything after the end.
    pub(super) fn record(&mut self, record: &TurnRecord) -> Vec<Piece> {
        if self.ended {
            return Vec::new();
        }
        match &record.body {
            RecordBody::Begun(_) if self.begun => Vec::new(),
            RecordBody::Begun(_) => {
                self.begun = true;
                vec![Piece::Created]
            }
            RecordBody::Event(event) => self.event(event, record.at_ms),
            // Told at the end.
            RecordBody::Changes(_) => Vec::new(),
            RecordBody::Gap { dropped } => self.notice(&super::gap_notice(*dropped)),
            RecordBody::Ended(end) => self.end(end),
        }
    }

    fn event(&mut self, event: &AgentEvent, at_ms: u64) -> Vec<Piece> {
        match event {
            AgentEvent::Session(session) => self.session = Some(session.clone()),
            AgentEvent::Model { id } => self.model = Some(id.clone()),
            AgentEvent::Usage(usage) => self.usage = Some(usage.clone()),
            // Its interface has no place for it.
            AgentEvent::Place { .. } | AgentEvent::Retry(_) | AgentEvent::CleanUp(_) => {}
            AgentEvent::Text {
                delta,
                parent: None,
                ..
            } => return self.text(delta),
            AgentEvent::Reasoning {
                delta,
                parent: None,
                ..
            } => {
                return chunks(delta, MAX_TEXT)
                    .map(|delta| Piece::Reasoning {
                        delta: delta.to_owned(),
                    })
                    .collect();
            }
            AgentEvent::Text {
                block,
                parent: Some(parent),
                delta,
            } => {
                self.children
                    .push(block, ChildKind::Text, parent, delta, at_ms);
            }
            AgentEvent::Reasoning {
                block,
                parent: Some(parent),
                delta,
            } => {
                self.children
                    .push(block, ChildKind::Thinking, parent, delta, at_ms);
            }
            AgentEvent::BlockEnd { block } => return self.block_end(block),
            AgentEvent::Tool(tool) => return self.tool(tool, at_ms),
            AgentEvent::Subagent(subagent) => return self.subagent(subagent, at_ms),
            AgentEvent::Plan { call, steps } => return self.plan(call, steps, at_ms),
            AgentEvent::Question(question) => return self.question(question, at_ms),
            AgentEvent::Notice(notice) => return self.notice(&notice.text),
            AgentEvent::Preparation(preparation) => return self.preparation(preparation, at_ms),
        }
        Vec::new()
    }

    fn text(&mut self, delta: &str) -> Vec<Piece> {
        let offset = self.answer.offset();
        let sent = self.answer.say(delta);
        text_pieces(&sent, offset)
    }

    fn notice(&mut self, text: &str) -> Vec<Piece> {
        let offset = self.answer.offset();
        let sent = self.answer.notice(text);
        text_pieces(&sent, offset)
    }

    fn block_end(&mut self, block: &BlockId) -> Vec<Piece> {
        self.children
            .end(block)
            .into_iter()
            .map(child_block)
            .collect()
    }

    fn tool(&mut self, event: &ToolEvent, at_ms: u64) -> Vec<Piece> {
        let id = event.call();
        if let ToolEvent::Started {
            parent,
            name,
            input,
            ..
        } = event
        {
            if let Some(call) = self.calls.open(id) {
                call.input = input.clone();
                return vec![update(
                    id,
                    Updates {
                        tool_input: Some(input.clone()),
                        ..Updates::default()
                    },
                )];
            }
            self.calls.start(id.clone(), input.clone());
            return vec![created(id, parent.as_ref(), name, input.clone(), at_ms)];
        }
        if self.calls.is_finished(id) {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        // A call whose start was lost: without a block of its own its end would have nowhere to go.
        if self.calls.open(id).is_none() {
            self.calls.start(id.clone(), json!({}));
            pieces.push(created(id, None, "Tool", json!({}), at_ms));
        }
        let call = self.calls.open(id).expect("it is open or was just started");
        let updates = match event {
            ToolEvent::Started { .. } => None,
            ToolEvent::Input { input, .. } => {
                call.input = input.clone();
                Some(Updates {
                    tool_input: Some(input.clone()),
                    ..Updates::default()
                })
            }
            ToolEvent::Output { delta, .. } => call.output(delta, at_ms).map(|output| Updates {
                tool_output: Some(output),
                ..Updates::default()
            }),
            // Complete in itself: the backend need not remember the block's beginning.
            ToolEvent::Finished { status, output, .. } => Some(Updates {
                tool_input: self.calls.finish(id),
                tool_output: Some(complete_output(output)),
                status: Some(ended(*status)),
                ..Updates::default()
            }),
        };
        pieces.extend(updates.map(|updates| update(id, updates)));
        pieces
    }

    /// The form's block, unless its call has one already, and then what makes the backend show it. The call is over
    /// with that, as far as this turn is concerned.
    fn question(&mut self, question: &Question, at_ms: u64) -> Vec<Piece> {
        let id = &question.call;
        let (name, input) = match &question.form {
            Form::Fields(fields) => (FORM_TOOL, form::input(fields)),
            Form::Tool { name, input } => (name.as_str(), input.clone()),
        };
        let mut pieces = Vec::new();
        if self.calls.finish(id).is_none() && !self.calls.is_finished(id) {
            self.calls.start(id.clone(), input.clone());
            self.calls.finish(id);
            pieces.push(created(id, None, name, input.clone(), at_ms));
        }
        pieces.push(Piece::ItemDone(Box::new(form::item(id, name, &input))));
        pieces
    }

    /// A sub-agent's life: `queued`, `invoking`, then `done` or `error`. What comes for one that is over is dropped.
    fn subagent(&mut self, event: &SubagentEvent, at_ms: u64) -> Vec<Piece> {
        let known = self.subagents.iter().position(|call| call == event.call());
        match (event, known) {
            (
                SubagentEvent::Started {
                    call,
                    parent,
                    name,
                    input,
                    description,
                    agent_type,
                },
                None,
            ) => {
                self.subagents.push(call.clone());
                vec![Piece::BlockCreated(Block::Subagent {
                    id: call.to_string(),
                    tool_use_id: call.to_string(),
                    tool_name: name.clone(),
                    tool_input: input.clone(),
                    title: description.clone(),
                    description: description.clone(),
                    agent_type: agent_type.clone(),
                    status: "queued",
                    timestamp: at_ms,
                    children: [],
                    parent_tool_use_id: parent.as_ref().map(ToolCallId::to_string),
                })]
            }
            (SubagentEvent::Running { call }, Some(_)) => {
                let updates = Updates {
                    status: Some("invoking"),
                    ..Updates::default()
                };
                vec![update(call, updates)]
            }
            (
                SubagentEvent::Finished {
                    call,
                    status,
                    output,
                    summary,
                },
                Some(index),
            ) => {
                self.subagents.remove(index);
                let updates = Updates {
                    output: Some(complete_output(output)),
                    summary: summary.clone(),
                    status: Some(ended(*status)),
                    ..Updates::default()
                };
                vec![update(call, updates)]
            }
            _ => Vec::new(),
        }
    }

    /// A step of the preparation is shown as a tool call is: the interface has nothing of its own for it.
    fn preparation(&mut self, told: &Preparation, at_ms: u64) -> Vec<Piece> {
        let id = format!("prepare-{}", told.step.name().replace(' ', "-"));
        let id = ToolCallId::new(id).expect("a step has a name");
        let mut pieces = Vec::new();
        if self.calls.open(&id).is_none() {
            self.calls.start(id.clone(), json!({}));
            pieces.push(created(
                &id,
                None,
                "Prepare",
                json!({ "step": told.step.name() }),
                at_ms,
            ));
        }
        let status = match told.state {
            PreparationState::Running => None,
            PreparationState::Done => Some("done"),
            PreparationState::Failed => Some("error"),
        };
        if status.is_some() {
            self.calls.finish(&id);
        }
        let updates = Updates {
            tool_output: Some(complete_output(&told.note)),
            status,
            ..Updates::default()
        };
        pieces.push(update(&id, updates));
        pieces
    }

    /// A plan is shown as the card that Wegent's interface has for Claude's `TodoWrite`.
    fn plan(&mut self, call: &ToolCallId, steps: &[PlanStep], at_ms: u64) -> Vec<Piece> {
        let input = todos(steps);
        let mut pieces = Vec::new();
        if !self.plans.contains(call) {
            self.plans.push(call.clone());
            pieces.push(created(call, None, "TodoWrite", input.clone(), at_ms));
        }
        pieces.push(update(
            call,
            Updates {
                tool_input: Some(input),
                status: Some("done"),
                ..Updates::default()
            },
        ));
        pieces
    }

    /// What is still open is closed first, so that nothing spins for ever in the interface.
    fn end(&mut self, end: &TurnEnd) -> Vec<Piece> {
        self.ended = true;
        let mut pieces: Vec<Piece> = self
            .children
            .take_open()
            .into_iter()
            .map(child_block)
            .collect();
        pieces.extend(self.calls.take_open().iter().map(cut_off));
        let cut_off = Updates {
            status: Some(ended(ToolStatus::Failed)),
            ..Updates::default()
        };
        pieces.extend(
            std::mem::take(&mut self.subagents)
                .iter()
                .map(|call| update(call, cut_off.clone())),
        );
        pieces.push(Piece::End(Box::new(End {
            kind: end.kind.clone(),
            usage: end.usage.clone().or(self.usage.take()),
            session: end.session.clone().or(self.session.take()),
            changes: end.changes.clone(),
            model: self.model.take(),
        })));
        pieces
    }
}

fn text_pieces(sent: &str, mut offset: u64) -> Vec<Piece> {
    let piece = |delta: &str| {
        let piece = Piece::Text {
            delta: delta.to_owned(),
            offset,
        };
        offset += code_points(delta);
        piece
    };
    chunks(sent, MAX_TEXT).map(piece).collect()
}

fn created(
    id: &ToolCallId,
    parent: Option<&ToolCallId>,
    name: &str,
    input: Value,
    at_ms: u64,
) -> Piece {
    Piece::BlockCreated(Block::Tool {
        id: id.to_string(),
        tool_use_id: id.to_string(),
        tool_name: name.to_owned(),
        tool_input: input,
        status: "pending",
        timestamp: at_ms,
        parent_tool_use_id: parent.map(ToolCallId::to_string),
    })
}

fn update(id: &ToolCallId, updates: Updates) -> Piece {
    Piece::BlockUpdated {
        id: id.clone(),
        updates,
    }
}

fn ended(status: ToolStatus) -> &'static str {
    match status {
        ToolStatus::Done => "done",
        ToolStatus::Failed => "error",
    }
}

fn cut_off(call: &Call) -> Piece {
    update(
        &call.id,
        Updates {
            tool_output: call.shown(),
            status: Some("error"),
            ..Updates::default()
        },
    )
}

fn child_block(child: Child) -> Piece {
    let id = child.block.to_string();
    let parent_tool_use_id = child.parent.to_string();
    let (kind, timestamp, status) = (child.kind, child.at_ms, "done");
    let content = child.into_content();
    Piece::BlockCreated(match kind {
        ChildKind::Text => Block::Text {
            id,
            parent_tool_use_id,
            content,
            status,
            timestamp,
        },
        ChildKind::Thinking => Block::Thinking {
            id,
            parent_tool_use_id,
            content,
            status,
            timestamp,
        },
    })
}

pub(super) fn todos(steps: &[PlanStep]) -> Value {
    let todo = |step: &PlanStep| {
        let status = match step.status {
            PlanStatus::Pending => "pending",
            PlanStatus::InProgress => "in_progress",
            PlanStatus::Completed => "completed",
        };
        json!({"content": step.text, "status": status, "activeForm": step.text})
    };
    json!({"todos": steps.iter().map(todo).collect::<Vec<_>>()})
}
