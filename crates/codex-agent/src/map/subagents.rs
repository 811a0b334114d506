//! Sub-agents: each works in a thread of its own, for the turn that asked for it.
//!
//! A sub-agent is a block ([`SubagentEvent`]); what it says and does has that block's call as its parent. Its words are
//! shown whole, when a message is complete: the deltas would only be a preview of it.
//!
//! Codex 0.169 tells of them in two ways, depending on the model. Older models call tools that come as
//! `collabAgentToolCall`: `spawnAgent` names the new thread only when it is done, and the thread may speak before that.
//! Newer ones make `subAgentActivity` items, which name the thread at once. In both, the sub-agent's work is a turn of
//! its own that says which turn it is a part of, and that turn's end is the end of the work. A sub-agent that is given
//! more work later has another turn, and so another block.

use std::collections::{BTreeMap, HashSet};

use agent_core::{AgentEvent, SubagentEvent, ToolCallId, ToolStatus};
use codex_app_server::protocol::{
    CollabAgentToolCall, ItemId, ItemStatus, Notification, SubAgentActivity, ThreadId, ThreadItem,
    Turn, TurnId, TurnStatus,
};
use serde_json::{Value, json};

use super::{Mapper, block, call};

/// The name under which a sub-agent's block is shown.
const NAME: &str = "Agent";
/// How much of a prompt is its title, in characters.
const TITLE: usize = 80;
/// How many notifications may wait until it is known whose they are.
const MAX_EARLY: usize = 256;

/// The sub-agents of a turn.
#[derive(Debug, Default)]
pub(super) struct Subagents {
    agents: BTreeMap<ThreadId, Subagent>,
    /// The calls that spawned, or are spawning, an agent.
    spawns: HashSet<ItemId>,
    /// Those of them whose thread isn't known yet.
    unnamed: HashSet<ItemId>,
    /// What unknown threads said while a call was spawning one.
    early: Vec<Notification>,
}

#[derive(Debug, Default)]
struct Subagent {
    /// The block that shows its work, while it has some.
    call: Option<ToolCallId>,
    /// The turn it runs.
    turn: Option<TurnId>,
    /// What it said last.
    answer: String,
    /// What it was told last, other than when it was spawned.
    told: Option<String>,
}

impl Subagents {
    fn runs(&self, thread: &ThreadId, turn: &TurnId) -> bool {
        self.agents
            .get(thread)
            .is_some_and(|agent| agent.turn.as_ref() == Some(turn))
    }

    fn call(&self, thread: &ThreadId) -> Option<ToolCallId> {
        self.agents.get(thread)?.call.clone()
    }

    /// Whether what the thread says has to wait: a call that is under way may turn out to have spawned it.
    fn is_early(&self, thread: &ThreadId) -> bool {
        !self.unnamed.is_empty()
            && self.early.len() < MAX_EARLY
            && !self.agents.contains_key(thread)
    }
}

impl Mapper {
    /// The turns that sub-agents run.
    pub(crate) fn running_subagents(&self) -> Vec<(ThreadId, TurnId)> {
        let agents = self.subagents.agents.iter();
        agents
            .filter_map(|(thread, agent)| Some((thread.clone(), agent.turn.clone()?)))
            .collect()
    }

    /// Every thread in which a sub-agent of this turn has worked.
    pub(crate) fn subagent_threads(&self) -> Vec<ThreadId> {
        self.subagents.agents.keys().cloned().collect()
    }

    /// The end of blocks whose sub-agents won't be heard any more.
    pub(crate) fn abandon_subagents(&mut self) -> Vec<AgentEvent> {
        let agents = self.subagents.agents.values_mut();
        agents
            .filter_map(|agent| {
                agent.turn = None;
                let stopped = "[stopped before it was done]".to_owned();
                Some(finished(agent.call.take()?, ToolStatus::Failed, stopped))
            })
            .collect()
    }

    /// The end of all blocks, while the turn waits for the person. The sub-agents work on.
    pub(super) fn pause_subagents(&mut self) -> Vec<AgentEvent> {
        let agents = self.subagents.agents.values_mut();
        agents
            .filter_map(|agent| {
                let note = "[works on while the turn waits for an answer]".to_owned();
                Some(finished(agent.call.take()?, ToolStatus::Done, note))
            })
            .collect()
    }

    /// New blocks for the sub-agents that work on.
    pub(super) fn reopen_subagents(&mut self) -> Vec<AgentEvent> {
        let running = self.running_subagents();
        running
            .iter()
            .flat_map(|(thread, turn)| self.subagent_begins(thread, turn))
            .collect()
    }

    /// What a thread says that isn't the turn's own.
    pub(super) fn of_subagent(&mut self, notification: Notification) -> Vec<AgentEvent> {
        let Some((thread, turn)) = notification.turn() else {
            return Vec::new();
        };
        if self.subagents.is_early(thread) {
            self.subagents.early.push(notification);
            return Vec::new();
        }
        if let Notification::TurnStarted(event) = &notification {
            let is_ours = event.turn.root_turn_id.as_ref() == Some(&self.turn);
            return if is_ours {
                self.subagent_begins(&event.thread_id, &event.turn.id)
            } else {
                Vec::new()
            };
        }
        if !self.subagents.runs(thread, turn) {
            return Vec::new();
        }
        let parent = self.subagents.call(thread);
        match notification {
            Notification::ItemStarted(event) => self.started(&event.item, parent),
            Notification::ItemCompleted(event) => {
                self.subagent_item(&event.thread_id, &event.item, parent)
            }
            Notification::CommandOutputDelta(delta) => self.output(&delta.item_id, delta.delta),
            Notification::McpProgress(progress) => {
                self.progress(&progress.item_id, &progress.message)
            }
            Notification::TokenUsageUpdated(update) => self.add_usage(&update.token_usage),
            Notification::TurnCompleted(event) => self.subagent_ends(&event.thread_id, &event.turn),
            // Previews of what comes whole, bookkeeping, and a plan: the person sees the main agent's.
            _ => Vec::new(),
        }
    }

    /// An item that tells of a sub-agent; `None` if it is none, or is to be shown as an ordinary tool call.
    pub(super) fn about_subagent(
        &mut self,
        item: &ThreadItem,
        parent: Option<&ToolCallId>,
        is_over: bool,
    ) -> Option<Vec<AgentEvent>> {
        match item {
            ThreadItem::CollabAgentToolCall(item) if item.tool == "spawnAgent" => {
                Some(self.spawn(item, parent, is_over))
            }
            ThreadItem::CollabAgentToolCall(item) => {
                for thread in &item.receiver_thread_ids {
                    if let (Some(prompt), Some(agent)) =
                        (&item.prompt, self.subagents.agents.get_mut(thread))
                    {
                        agent.told = Some(prompt.clone());
                    }
                }
                None
            }
            ThreadItem::SubAgentActivity(item) => Some(match item.kind.as_str() {
                "started" => self.activity(item, parent),
                // Its turns tell the rest.
                _ => Vec::new(),
            }),
            _ => None,
        }
    }

    fn spawn(
        &mut self,
        item: &CollabAgentToolCall,
        parent: Option<&ToolCallId>,
        is_over: bool,
    ) -> Vec<AgentEvent> {
        let Some(call) = call(&item.id) else {
            return Vec::new();
        };
        let mut events = Vec::new();
        if self.subagents.spawns.insert(item.id.clone()) {
            self.subagents.unnamed.insert(item.id.clone());
            let prompt = item.prompt.as_deref().unwrap_or_default();
            let mut input = json!({ "prompt": prompt });
            if let Some(model) = item.model.as_deref().filter(|model| !model.is_empty()) {
                input["model"] = json!(model);
            }
            events.extend(self.open_subagent(&call, parent, title(prompt), input));
        }
        if !is_over || !self.subagents.unnamed.remove(&item.id) {
            return events;
        }
        match item.receiver_thread_ids.first() {
            Some(thread) if item.status == ItemStatus::Completed => {
                let agent = self.subagents.agents.entry(thread.clone()).or_default();
                agent.call = Some(call);
            }
            _ => {
                let why = "[the sub-agent could not be started]".to_owned();
                events.push(finished(call, ToolStatus::Failed, why));
            }
        }
        for notification in std::mem::take(&mut self.subagents.early) {
            events.extend(self.of_subagent(notification));
        }
        events
    }

    fn activity(
        &mut self,
        item: &SubAgentActivity,
        parent: Option<&ToolCallId>,
    ) -> Vec<AgentEvent> {
        let agent = self
            .subagents
            .agents
            .entry(item.agent_thread_id.clone())
            .or_default();
        let is_new = self.subagents.spawns.insert(item.id.clone());
        let Some(call) = call(&item.id).filter(|_| is_new && agent.call.is_none()) else {
            return Vec::new();
        };
        agent.call = Some(call.clone());
        let name = item.agent_path.rsplit('/').next().unwrap_or_default();
        let mut input = json!({ "name": name });
        if let Some(model) = &item.model {
            input["model"] = json!(model);
        }
        self.open_subagent(&call, parent, title(name), input)
    }

    fn open_subagent(
        &mut self,
        call: &ToolCallId,
        parent: Option<&ToolCallId>,
        description: Option<String>,
        input: Value,
    ) -> Vec<AgentEvent> {
        let mut events = self.before_block(parent);
        events.push(AgentEvent::Subagent(SubagentEvent::Started {
            call: call.clone(),
            parent: parent.cloned(),
            name: NAME.to_owned(),
            input,
            description,
            agent_type: None,
        }));
        events
    }

    fn subagent_begins(&mut self, thread: &ThreadId, turn: &TurnId) -> Vec<AgentEvent> {
        let agent = self.subagents.agents.entry(thread.clone()).or_default();
        agent.turn = Some(turn.clone());
        agent.answer.clear();
        let told = agent.told.take();
        let mut events = Vec::new();
        let call = match agent.call.clone() {
            Some(call) => call,
            None => {
                let Ok(call) = ToolCallId::new(format!("agent-{turn}")) else {
                    return Vec::new();
                };
                agent.call = Some(call.clone());
                let prompt = told.unwrap_or_default();
                let input = json!({ "prompt": prompt });
                events = self.open_subagent(&call, None, title(&prompt), input);
                call
            }
        };
        events.push(AgentEvent::Subagent(SubagentEvent::Running { call }));
        events
    }

    fn subagent_item(
        &mut self,
        thread: &ThreadId,
        item: &ThreadItem,
        parent: Option<ToolCallId>,
    ) -> Vec<AgentEvent> {
        let (id, text, is_thought) = match item {
            ThreadItem::AgentMessage(message) => (&message.id, message.text.clone(), false),
            ThreadItem::Plan(plan) => (&plan.id, plan.text.clone(), false),
            ThreadItem::Reasoning(reasoning) => {
                let parts = if reasoning.summary.is_empty() {
                    &reasoning.content
                } else {
                    &reasoning.summary
                };
                (&reasoning.id, parts.join("\n\n"), true)
            }
            item => return self.completed(item, parent),
        };
        let Some(id) = block(id).filter(|_| !text.is_empty()) else {
            return Vec::new();
        };
        if !is_thought && let Some(agent) = self.subagents.agents.get_mut(thread) {
            agent.answer.clone_from(&text);
        }
        let (block, delta) = (id.clone(), text);
        let said = if is_thought {
            AgentEvent::Reasoning {
                block,
                parent,
                delta,
            }
        } else {
            AgentEvent::Text {
                block,
                parent,
                delta,
            }
        };
        vec![said, AgentEvent::BlockEnd { block: id }]
    }

    fn subagent_ends(&mut self, thread: &ThreadId, turn: &Turn) -> Vec<AgentEvent> {
        let Some(agent) = self.subagents.agents.get_mut(thread) else {
            return Vec::new();
        };
        agent.turn = None;
        let Some(call) = agent.call.take() else {
            return Vec::new();
        };
        let answer = std::mem::take(&mut agent.answer);
        let (status, output) = match (&turn.status, &turn.error) {
            (TurnStatus::Completed, _) => (ToolStatus::Done, answer),
            (_, Some(error)) => (ToolStatus::Failed, error.message.clone()),
            (status, None) => (ToolStatus::Failed, format!("[{}]", status.as_str())),
        };
        vec![finished(call, status, output)]
    }
}

fn finished(call: ToolCallId, status: ToolStatus, output: String) -> AgentEvent {
    AgentEvent::Subagent(SubagentEvent::Finished {
        call,
        status,
        output,
        summary: None,
    })
}

/// The beginning of a prompt, for a title.
fn title(prompt: &str) -> Option<String> {
    let line = prompt.lines().find(|line| !line.trim().is_empty())?.trim();
    Some(match line.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    })
}
