//! Turns: one input, its items, its end.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    ApprovalPolicy, Raw, ReasoningSummary, SandboxPolicy, ThreadId, ThreadItem, TurnError, TurnId,
    UserInput,
};

/// A turn as codex shows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// Which one.
    pub id: TurnId,
    /// The turn it is a part of: its own, or for a sub-agent's the one that the sub-agent works for. Not said by old
    /// versions.
    #[serde(default)]
    pub root_turn_id: Option<TurnId>,
    /// How far it is.
    pub status: TurnStatus,
    /// Its items. In `turn/completed` only the last agent message: collect items as they come.
    #[serde(default)]
    pub items: Vec<ThreadItem>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<TurnError>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

open_enum! {
    /// How far a turn is.
    pub enum TurnStatus {
        /// It goes on.
        InProgress = "inProgress",
        /// It ended by itself.
        Completed = "completed",
        /// It was told to stop, or a question was answered with "cancel".
        Interrupted = "interrupted",
        /// It failed; the error says why.
        Failed = "failed",
    }
}

/// Starts a turn.
///
/// `model`, `effort`, `summary`, `cwd`, `approval_policy` and `sandbox_policy` hold for this **and later** turns of
/// the thread. If a turn of the thread is running, codex doesn't queue: it adds the input to the running one and
/// answers with its id. One turn at a time is up to the caller.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnStartParams {
    /// In which thread.
    pub thread_id: ThreadId,
    /// What the user says.
    pub input: Vec<UserInput>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard the model should think: `low`, `medium`, `high`, … as the model offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// How much of its reasoning is summed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<ReasoningSummary>,
    /// JSON schema that the final answer must follow; for this turn only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Raw>,
    /// When to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// The sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_policy: Option<SandboxPolicy>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

impl TurnStartParams {
    /// A turn with the thread's settings.
    pub fn new(thread: ThreadId, input: Vec<UserInput>) -> Self {
        Self {
            thread_id: thread,
            input,
            model: None,
            effort: None,
            summary: None,
            output_schema: None,
            approval_policy: None,
            sandbox_policy: None,
            cwd: None,
        }
    }
}

/// Adds input to a running turn.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnSteerParams {
    /// In which thread.
    pub thread_id: ThreadId,
    /// Which turn is expected to be running.
    pub expected_turn_id: TurnId,
    /// What the user says.
    pub input: Vec<UserInput>,
}

/// One step of the model's plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlanStep {
    /// What is to be done.
    pub step: String,
    /// How far it is.
    pub status: PlanStepStatus,
}

open_enum! {
    /// How far a step of the plan is.
    pub enum PlanStepStatus {
        /// Not begun.
        Pending = "pending",
        /// Being done.
        InProgress = "inProgress",
        /// Done.
        Completed = "completed",
    }
}

/// The token figures of a thread. Sent once per request to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenUsage {
    /// Of the whole thread.
    pub total: TokenUsageBreakdown,
    /// Of the last request to the model.
    pub last: TokenUsageBreakdown,
    /// What the model's context holds, in tokens.
    pub model_context_window: Option<i64>,
}

/// Token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenUsageBreakdown {
    /// Input and output.
    pub total_tokens: i64,
    /// Sent to the model, cached ones included.
    pub input_tokens: i64,
    /// Of the input: read from the provider's cache.
    pub cached_input_tokens: i64,
    /// Of the input: written to the provider's cache.
    pub cache_write_input_tokens: i64,
    /// Made by the model, reasoning included.
    pub output_tokens: i64,
    /// Of the output: reasoning.
    pub reasoning_output_tokens: i64,
}
