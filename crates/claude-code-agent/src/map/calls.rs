//! Calls of tools and of sub-agents, from their beginning to their end.

use agent_core::{
    AgentEvent, SubagentEvent, ToolCallId, ToolEvent, ToolStatus, void_text::restarted,
};
use serde_json::Value;

use super::Mapper;
use crate::{
    protocol::{
        Block, ResultBlock, TaskNotification, TaskStarted, ToolUseResult, UserLine, text_of,
    },
    questions::is_question,
};

/// The tools that are agents themselves. `Task` is the older name.
const AGENT_TOOLS: &[&str] = &["Agent", "Task"];

/// A call that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Tool,
    /// A sub-agent that the main agent waits for.
    Agent,
    /// A sub-agent that works beside it.
    BackgroundAgent,
}

impl Mapper {
    pub(super) fn begin(
        &mut self,
        id: String,
        name: String,
        input: Value,
        parent: Option<ToolCallId>,
    ) -> Vec<AgentEvent> {
        let Ok(call) = ToolCallId::new(id) else {
            tracing::warn!(name, "tool call without an id");
            return Vec::new();
        };
        // What it asks becomes a form.
        if self.calls.contains_key(&call) || is_question(&name) {
            return Vec::new();
        }
        let mut events = Vec::new();
        if parent.is_none() {
            self.thoughts.block();
            // Before a block nothing but the notice can come.
            events.extend(self.answer.block().iter().map(|_| restarted()));
        }
        let is_agent = AGENT_TOOLS.contains(&name.as_str());
        let kind = if is_agent { Call::Agent } else { Call::Tool };
        self.calls.insert(call.clone(), kind);
        events.push(if is_agent {
            let text = |field: &str| input[field].as_str().map(str::to_owned);
            AgentEvent::Subagent(SubagentEvent::Started {
                call,
                parent,
                description: text("description"),
                agent_type: text("subagent_type"),
                name,
                input,
            })
        } else {
            AgentEvent::Tool(ToolEvent::Started {
                call,
                parent,
                name,
                input,
            })
        });
        events
    }

    pub(super) fn user(&mut self, line: UserLine) -> Vec<AgentEvent> {
        let mut own_form = line.tool_use_result;
        let results = line.message.content.into_iter();
        results
            .filter_map(|block| match block {
                Block::ToolResult(result) => Some(result),
                _ => None,
            })
            .flat_map(|result| self.finish(result, own_form.take()))
            .collect()
    }

    fn finish(
        &mut self,
        result: ResultBlock,
        own_form: Option<ToolUseResult>,
    ) -> Option<AgentEvent> {
        let call = ToolCallId::new(result.tool_use_id).ok()?;
        let status = match result.is_error {
            Some(true) => ToolStatus::Failed,
            _ => ToolStatus::Done,
        };
        let running = self.calls.get_mut(&call)?;
        let form = own_form.unwrap_or_default();
        match *running {
            Call::Agent if form.status.as_deref() == Some("async_launched") => {
                // It goes on; its end comes as a task's.
                *running = Call::BackgroundAgent;
                None
            }
            Call::Agent | Call::BackgroundAgent => {
                self.calls.remove(&call);
                // The CLI frames the report with remarks to the model; its own form has the bare report.
                let report = text_of(form.content);
                let output = if report.is_empty() {
                    result.content.text()
                } else {
                    report
                };
                Some(AgentEvent::Subagent(SubagentEvent::Finished {
                    call,
                    status,
                    output,
                    summary: None,
                }))
            }
            Call::Tool => {
                self.calls.remove(&call);
                Some(AgentEvent::Tool(ToolEvent::Finished {
                    call,
                    status,
                    output: result.content.text(),
                }))
            }
        }
    }

    pub(super) fn task_started(&mut self, task: &TaskStarted) -> Vec<AgentEvent> {
        let call = task
            .tool_use_id
            .clone()
            .and_then(|id| ToolCallId::new(id).ok());
        match call {
            Some(call) if task.is_agent() && self.calls.contains_key(&call) => {
                vec![AgentEvent::Subagent(SubagentEvent::Running { call })]
            }
            _ => Vec::new(),
        }
    }

    /// Only a sub-agent in the background ends like this; all else has a result.
    pub(super) fn task_over(&mut self, task: TaskNotification) -> Vec<AgentEvent> {
        let Some(call) = task.tool_use_id.and_then(|id| ToolCallId::new(id).ok()) else {
            return Vec::new();
        };
        if self.calls.get(&call) != Some(&Call::BackgroundAgent) {
            return Vec::new();
        }
        self.calls.remove(&call);
        let status = match task.status.as_deref() {
            Some("completed") => ToolStatus::Done,
            _ => ToolStatus::Failed,
        };
        vec![AgentEvent::Subagent(SubagentEvent::Finished {
            call,
            status,
            output: task.summary.clone().unwrap_or_default(),
            summary: task.summary,
        })]
    }
}
