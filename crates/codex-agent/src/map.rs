//! What Codex says, as events. A pure fold over the notifications of one turn: no clock, no I/O.

mod calls;
mod subagents;

use std::collections::{BTreeMap, HashSet};

use agent_core::{
    AgentEvent, BlockId, Notice, NoticeKind, PlanStatus, PlanStep, ToolCallId, ToolEvent,
    ToolStatus, Usage, UsageSource,
    void_text::{AnswerText, events, restarted},
};
use codex_app_server::protocol::{
    ItemId, McpServerStartup, McpServerState, Notification, PlanStepStatus, ThreadId, ThreadItem,
    TokenUsage, TurnId, TurnPlan,
};

use serde_json::Value;

use subagents::Subagents;

/// Folds one turn's notifications into events.
#[derive(Debug)]
pub(crate) struct Mapper {
    thread: ThreadId,
    turn: TurnId,
    answer: AnswerText,
    /// Reasoning items whose text has been streamed, and the part it is in.
    reasoning: BTreeMap<ItemId, u32>,
    /// Whether reasoning was shown and nothing else since.
    reasoning_open: bool,
    /// Tool calls that run, with their input as shown.
    calls: BTreeMap<ItemId, Value>,
    subagents: Subagents,
    usage: Usage,
    /// Whether Codex has said that the turn itself is over.
    over: bool,
    /// Item kinds that this version doesn't know and that were logged.
    logged: HashSet<String>,
}

impl Mapper {
    /// A mapper for `turn` of `thread`.
    pub(crate) fn new(thread: ThreadId, turn: TurnId) -> Self {
        Self {
            thread,
            turn,
            answer: AnswerText::default(),
            reasoning: BTreeMap::new(),
            reasoning_open: false,
            calls: BTreeMap::new(),
            subagents: Subagents::default(),
            usage: Usage::default(),
            over: false,
            logged: HashSet::new(),
        }
    }

    /// The turn is begun again, as `turn` of `thread`: what it says comes after what has been shown.
    pub(crate) fn begin_again(&mut self, thread: ThreadId, turn: TurnId) {
        self.thread = thread;
        self.turn = turn;
    }

    /// The confirmed final answer so far.
    pub(crate) fn final_answer(&self) -> Option<&str> {
        self.answer.final_answer()
    }

    /// The turn's token figures so far; `None` before the first.
    pub(crate) fn usage(&self) -> Option<Usage> {
        (self.usage != Usage::default()).then(|| self.usage.clone())
    }

    /// Whether Codex has said that the turn itself is over. Its sub-agents may still work.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// A call of which nothing more is to be shown by itself.
    pub(crate) fn forget(&mut self, forgotten: &ToolCallId) {
        self.calls.retain(|id, _| id.as_str() != forgotten.as_str());
    }

    /// What is known of the files of a patch that runs, as a list.
    pub(crate) fn files_of(&self, patch: &str) -> Option<String> {
        let input = self.calls.get(patch)?;
        let changes = input["changes"].as_array().into_iter().flatten();
        let paths: Vec<String> = std::iter::once(input)
            .filter(|input| input["changes"].is_null())
            .chain(changes)
            .filter_map(|change| Some(format!("- `{}`", change["file_path"].as_str()?)))
            .collect();
        (!paths.is_empty()).then(|| paths.join("\n"))
    }

    /// The turn waits for the person, and its message ends: what runs is not shown as running any more.
    pub(crate) fn pause(&mut self) -> Vec<AgentEvent> {
        let calls = std::mem::take(&mut self.calls).into_keys();
        let mut events: Vec<AgentEvent> = calls
            .filter_map(|id| call(&id))
            .map(|call| {
                AgentEvent::Tool(ToolEvent::Finished {
                    call,
                    status: ToolStatus::Done,
                    output: "[waits for an answer]".to_owned(),
                })
            })
            .collect();
        events.extend(self.pause_subagents());
        events
    }

    /// The turn goes on in a message of its own, with figures of its own.
    pub(crate) fn go_on(&mut self) -> Vec<AgentEvent> {
        self.answer = AnswerText::default();
        self.reasoning.clear();
        self.reasoning_open = false;
        self.usage = Usage::default();
        self.reopen_subagents()
    }

    /// The events that a notification amounts to. Those of turns that have no part in this one amount to nothing.
    pub(crate) fn map(&mut self, notification: Notification) -> Vec<AgentEvent> {
        let of_another = |(_, turn): (&ThreadId, &TurnId)| *turn != self.turn;
        if notification.turn().is_some_and(of_another) {
            return self.of_subagent(notification);
        }
        match notification {
            Notification::AgentMessageDelta(delta) => self.text(&delta.item_id, &delta.delta),
            Notification::PlanDelta(delta) => self.text(&delta.item_id, &delta.delta),
            Notification::ReasoningSummaryDelta(delta) => {
                self.thought(&delta.item_id, delta.summary_index, &delta.delta)
            }
            Notification::ReasoningTextDelta(delta) => {
                self.thought(&delta.item_id, delta.content_index, &delta.delta)
            }
            Notification::CommandOutputDelta(delta) => self.output(&delta.item_id, delta.delta),
            Notification::McpProgress(progress) => {
                self.progress(&progress.item_id, &progress.message)
            }
            Notification::PatchUpdated(patch) => self.patch(patch),
            Notification::ItemStarted(event) => self.started(&event.item, None),
            Notification::ItemCompleted(event) => self.completed_of_turn(&event.item),
            Notification::TurnPlanUpdated(plan) => self.plan(plan),
            Notification::TokenUsageUpdated(update) => self.tokens(&update.token_usage),
            Notification::ModelRerouted(rerouted) => {
                vec![AgentEvent::Model {
                    id: rerouted.to_model,
                }]
            }
            Notification::McpServerStartup(startup) => self.mcp_startup(startup),
            // Told in the log, shown to nobody.
            Notification::Warning(warning) => log(&warning.message),
            Notification::ConfigWarning(warning) => log(&warning.summary),
            Notification::DeprecationNotice(notice) => log(&notice.summary),
            Notification::GuardianWarning(warning) => log(&warning.message),
            Notification::Unknown { method, .. } => {
                tracing::debug!(method, "notification without a mapping");
                Vec::new()
            }
            Notification::TurnCompleted(_) => {
                self.over = true;
                Vec::new()
            }
            // Errors are the turn loop's; the rest repeats what items say, or is bookkeeping.
            Notification::Error(_)
            | Notification::TurnStarted(_)
            | Notification::ThreadStarted(_)
            | Notification::ThreadStatusChanged(_)
            | Notification::ThreadClosed(_)
            | Notification::ThreadCompacted(_)
            | Notification::TurnDiffUpdated(_)
            | Notification::TerminalInteraction(_)
            | Notification::FileOutputDelta(_)
            | Notification::ReasoningSummaryPart(_)
            | Notification::RequestResolved(_)
            | Notification::HookStarted(_)
            | Notification::HookCompleted(_) => Vec::new(),
        }
    }

    fn text(&mut self, item: &ItemId, delta: &str) -> Vec<AgentEvent> {
        self.reasoning_open = false;
        let Some(block) = block(item) else {
            return Vec::new();
        };
        events(&block, self.answer.delta(&block, delta))
    }

    fn message(&mut self, item: &ItemId, full: &str) -> Vec<AgentEvent> {
        self.reasoning_open = false;
        let Some(block) = block(item) else {
            return Vec::new();
        };
        let mut events = events(&block, self.answer.complete(&block, full));
        events.push(AgentEvent::BlockEnd { block });
        events
    }

    fn thought(&mut self, item: &ItemId, part: u32, delta: &str) -> Vec<AgentEvent> {
        if delta.is_empty() {
            return Vec::new();
        }
        let Some(block) = block(item) else {
            return Vec::new();
        };
        let new_part = self.reasoning.insert(item.clone(), part) != Some(part);
        // Parts and items that follow each other directly are parted by a blank line.
        let gap = if new_part && self.reasoning_open {
            "\n\n"
        } else {
            ""
        };
        self.reasoning_open = true;
        vec![AgentEvent::Reasoning {
            block,
            parent: None,
            delta: format!("{gap}{delta}"),
        }]
    }

    /// What has to be said before a block is shown. A block within a sub-agent's doesn't interrupt the answer.
    fn before_block(&mut self, parent: Option<&ToolCallId>) -> Vec<AgentEvent> {
        if parent.is_some() {
            return Vec::new();
        }
        self.reasoning_open = false;
        // Nothing but the notice can come.
        self.answer.block().iter().map(|_| restarted()).collect()
    }

    fn completed_of_turn(&mut self, item: &ThreadItem) -> Vec<AgentEvent> {
        match item {
            ThreadItem::AgentMessage(message) => self.message(&message.id, &message.text),
            ThreadItem::Plan(plan) => self.message(&plan.id, &plan.text),
            ThreadItem::ExitedReviewMode(review) => self.message(&review.id, &review.review),
            ThreadItem::Reasoning(reasoning) => {
                self.reasoned(&reasoning.id, &reasoning.summary, &reasoning.content)
            }
            item => self.completed(item, None),
        }
    }

    /// A reasoning item is over. What was not streamed is shown now.
    fn reasoned(&mut self, id: &ItemId, summary: &[String], content: &[String]) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        if !self.reasoning.contains_key(id) {
            let parts = if summary.is_empty() { content } else { summary };
            events = self.thought(id, 0, &parts.join("\n\n"));
        }
        events.extend(block(id).map(|block| AgentEvent::BlockEnd { block }));
        events
    }

    fn plan(&mut self, plan: TurnPlan) -> Vec<AgentEvent> {
        let Ok(call) = ToolCallId::new(format!("plan-{}", plan.turn_id)) else {
            return Vec::new();
        };
        let steps = plan
            .plan
            .into_iter()
            .map(|step| PlanStep {
                text: step.step,
                status: match step.status {
                    PlanStepStatus::Completed => PlanStatus::Completed,
                    PlanStepStatus::InProgress => PlanStatus::InProgress,
                    PlanStepStatus::Pending | PlanStepStatus::Unknown(_) => PlanStatus::Pending,
                },
            })
            .collect();
        let mut events = self.before_block(None);
        events.push(AgentEvent::Plan { call, steps });
        events
    }

    /// Codex reports once per request to the model; a turn is their sum, those of its sub-agents included.
    fn tokens(&mut self, usage: &TokenUsage) -> Vec<AgentEvent> {
        self.usage.context_window = usage.model_context_window.map(count);
        self.add_usage(usage)
    }

    fn add_usage(&mut self, usage: &TokenUsage) -> Vec<AgentEvent> {
        self.usage.input_tokens += count(usage.last.input_tokens);
        self.usage.cached_input_tokens += count(usage.last.cached_input_tokens);
        self.usage.output_tokens += count(usage.last.output_tokens);
        self.usage.reasoning_tokens += count(usage.last.reasoning_output_tokens);
        self.usage.source = UsageSource::Agent;
        vec![AgentEvent::Usage(self.usage.clone())]
    }

    /// A server that is missing in the turn. Each sub-agent starts its own, of which nothing is told.
    fn mcp_startup(&self, startup: McpServerStartup) -> Vec<AgentEvent> {
        let is_ours = startup
            .thread_id
            .as_ref()
            .is_none_or(|thread| *thread == self.thread);
        if startup.status != McpServerState::Failed || !is_ours {
            return Vec::new();
        }
        let why = startup.error.unwrap_or_default();
        tracing::warn!(server = startup.name, why, "MCP server failed to start");
        let text = format!(
            "The MCP server `{}` could not be started; its tools are missing in this turn.",
            startup.name
        );
        vec![AgentEvent::Notice(Notice {
            kind: NoticeKind::Warning,
            text,
        })]
    }
}

fn count(tokens: i64) -> u64 {
    u64::try_from(tokens).unwrap_or(0)
}

fn log(message: &str) -> Vec<AgentEvent> {
    tracing::info!(message, "codex warns");
    Vec::new()
}

fn block(item: &ItemId) -> Option<BlockId> {
    BlockId::new(item.as_str()).ok()
}

fn call(item: &ItemId) -> Option<ToolCallId> {
    ToolCallId::new(item.as_str()).ok()
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
