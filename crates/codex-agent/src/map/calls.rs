//! Tool calls: each is a card that runs, says things, and ends.

use agent_core::{AgentEvent, ToolCallId, ToolEvent};
use codex_app_server::protocol::{ItemId, PatchUpdated, ThreadItem};

use super::{Mapper, call};
use crate::tools::{Card, Shown, card, file_input};

impl Mapper {
    /// Output that comes before its command was announced has no card to go to; the end brings it all.
    pub(super) fn output(&mut self, item: &ItemId, delta: String) -> Vec<AgentEvent> {
        if !self.calls.contains_key(item) {
            return Vec::new();
        }
        call(item)
            .map(|call| AgentEvent::Tool(ToolEvent::Output { call, delta }))
            .into_iter()
            .collect()
    }

    /// What an MCP tool says while it runs, as output of its call.
    pub(super) fn progress(&mut self, item: &ItemId, message: &str) -> Vec<AgentEvent> {
        self.output(item, format!("{message}\n"))
    }

    /// A patch while it is being written.
    pub(super) fn patch(&mut self, patch: PatchUpdated) -> Vec<AgentEvent> {
        let (Some(call), Some(shown)) = (call(&patch.item_id), self.calls.get_mut(&patch.item_id))
        else {
            return Vec::new();
        };
        let (_, input) = file_input(&patch.changes);
        if *shown == input {
            return Vec::new();
        }
        shown.clone_from(&input);
        vec![AgentEvent::Tool(ToolEvent::Input { call, input })]
    }

    /// A tool call begins.
    pub(super) fn started(
        &mut self,
        item: &ThreadItem,
        parent: Option<ToolCallId>,
    ) -> Vec<AgentEvent> {
        if let Some(events) = self.about_subagent(item, parent.as_ref(), false) {
            return events;
        }
        self.log_unknown(item);
        let (Shown::Tool(card), Some(id)) = (card(item), item.id()) else {
            return Vec::new();
        };
        self.begin_call(&id, parent, &card)
    }

    pub(super) fn begin_call(
        &mut self,
        id: &ItemId,
        parent: Option<ToolCallId>,
        card: &Card,
    ) -> Vec<AgentEvent> {
        let Some(call) = call(id) else {
            return Vec::new();
        };
        self.calls.insert(id.clone(), card.input.clone());
        let mut events = self.before_block(parent.as_ref());
        events.push(AgentEvent::Tool(ToolEvent::Started {
            call,
            parent,
            name: card.name.clone(),
            input: card.input.clone(),
        }));
        events
    }

    /// The end of a tool call.
    pub(super) fn completed(
        &mut self,
        item: &ThreadItem,
        parent: Option<ToolCallId>,
    ) -> Vec<AgentEvent> {
        if let Some(events) = self.about_subagent(item, parent.as_ref(), true) {
            return events;
        }
        let (Shown::Tool(card), Some(id)) = (card(item), item.id()) else {
            return Vec::new();
        };
        let Some(call) = call(&id) else {
            return Vec::new();
        };
        let mut events = match self.calls.remove(&id) {
            None => {
                self.log_unknown(item);
                let events = self.begin_call(&id, parent, &card);
                self.calls.remove(&id);
                events
            }
            Some(shown) if shown == card.input => Vec::new(),
            // The arguments of some tools are only known when they are done.
            Some(_) => vec![AgentEvent::Tool(ToolEvent::Input {
                call: call.clone(),
                input: card.input,
            })],
        };
        events.push(AgentEvent::Tool(ToolEvent::Finished {
            call,
            status: card.status,
            output: card.output,
        }));
        events
    }

    /// An item of an unknown kind is shown as any tool call, and logged once.
    fn log_unknown(&mut self, item: &ThreadItem) {
        if let ThreadItem::Unknown { kind, .. } = item
            && self.logged.insert(kind.clone())
        {
            tracing::warn!(
                kind,
                "item of a kind that this version doesn't know; shown as a plain tool call"
            );
        }
    }
}
