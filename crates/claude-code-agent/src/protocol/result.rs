//! How a turn ended, in the CLI's words.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The end of a turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TurnResult {
    /// `success` whatever happened to the API; `error_max_turns` and the like.
    pub(crate) subtype: String,
    /// Whether it failed. This counts, not the subtype.
    pub(crate) is_error: bool,
    /// The last text, or the prose about the failure. Missing after an interrupt.
    pub(crate) result: Option<String>,
    /// More prose about the failure; noise after an interrupt.
    pub(crate) errors: Vec<String>,
    /// The HTTP status of the API's failure.
    pub(crate) api_error_status: Option<u16>,
    /// The failure of the connection, by newer CLIs.
    pub(crate) api_error: Option<String>,
    /// Why the model stopped.
    pub(crate) stop_reason: Option<String>,
    /// Why the turn stopped.
    pub(crate) terminal_reason: Option<TerminalReason>,
    /// The conversation's id.
    pub(crate) session_id: String,
    /// What the session has cost so far, in US dollars.
    pub(crate) total_cost_usd: Option<f64>,
    /// What the session has used so far, per model, sub-agents included.
    #[serde(rename = "modelUsage")]
    pub(crate) model_usage: BTreeMap<String, ModelUsage>,
    /// The same since the last result, by newer CLIs, whose totals go on over a resume.
    pub(crate) model_usage_since_last_result: Option<BTreeMap<String, ModelUsage>>,
    /// How many turns the CLI will run by itself next, by newer CLIs.
    pub(crate) queued_turn_count: u32,
    /// Who began the turn, if it was not a prompt.
    pub(crate) origin: Option<Origin>,
    /// The call that a hook of ours put off, and with which the turn ended.
    pub(crate) deferred_tool_use: Option<DeferredTool>,
}

/// A call that was put off.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeferredTool {
    /// Its id.
    pub(crate) id: String,
    /// The tool.
    pub(crate) name: String,
    /// Its arguments; opaque.
    pub(crate) input: Value,
}

impl TurnResult {
    /// Whether the turn began because a task was over, not because of a prompt.
    pub(crate) fn is_unasked(&self) -> bool {
        self.origin
            .as_ref()
            .is_some_and(|origin| origin.kind == "task-notification")
    }

    /// Whether a call that an earlier process put off could not be taken up, as its server is not there (yet).
    pub(crate) fn is_deferral_lost(&self) -> bool {
        self.stop_reason.as_deref() == Some("tool_deferred_unavailable")
    }

    /// The call with which the turn ended because it was put off.
    pub(crate) fn deferred(&self) -> Option<&DeferredTool> {
        let deferred = self.stop_reason.as_deref() == Some("tool_deferred");
        self.deferred_tool_use.as_ref().filter(|_| deferred)
    }

    /// Whether it was interrupted.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(
            self.terminal_reason,
            Some(TerminalReason::AbortedStreaming | TerminalReason::AbortedTools)
        )
    }
}

/// Who began a turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Origin {
    /// `task-notification` for a task that was over.
    pub(crate) kind: String,
}

/// Why a turn stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TerminalReason {
    /// The model had said everything. 2.1.197 says so of API failures too.
    Completed,
    /// The API failed.
    ApiError,
    /// Images or attachments were too large.
    ImageError,
    /// The conversation doesn't fit the model's context.
    PromptTooLong,
    /// An interrupt, while text came.
    AbortedStreaming,
    /// An interrupt, while a tool ran.
    AbortedTools,
    /// The limit of model round trips was reached.
    MaxTurns,
    /// The limit of the cost was reached.
    BudgetExhausted,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What one model has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModelUsage {
    /// Tokens read, without cached ones.
    pub(crate) input_tokens: u64,
    /// Tokens written, reasoning included.
    pub(crate) output_tokens: u64,
    /// Tokens read from the cache.
    pub(crate) cache_read_input_tokens: u64,
    /// Tokens read and put into the cache.
    pub(crate) cache_creation_input_tokens: u64,
    /// Tokens of reasoning, by newer CLIs.
    pub(crate) thinking_tokens: u64,
    /// The cost in US dollars.
    #[serde(rename = "costUSD")]
    pub(crate) cost_usd: f64,
    /// The context window in tokens.
    pub(crate) context_window: Option<u64>,
}
