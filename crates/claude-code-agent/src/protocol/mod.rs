//! Claude Code's stream-json protocol: one JSON object a line, in both directions.
//!
//! Read from CLI 2.1.197 and 2.1.329. Both sets of messages grow from version to version, so whatever is not known
//! here becomes [`Message::Other`], and every field but those that a message can't do without may be missing.

mod content;
mod control;
mod input;
mod output;
mod result;

pub(crate) use content::{Block, ResultBlock, ToolUseResult, text_of};
pub(crate) use control::{ControlRequest, ControlResponse, RequestFromCli};
pub(crate) use input::{
    AgentDefinition, Control, HookAnswer, Hooks, PermissionAnswer, Prompt, Reply, tool_result,
};
pub(crate) use output::{
    ApiRetry, Assistant, AssistantError, Delta, HookResponse, Init, Message, MessageUsage,
    StreamEvent, TaskNotification, TaskStarted, UserLine,
};
pub(crate) use result::{DeferredTool, ModelUsage, TerminalReason, TurnResult};
