//! The messages of `codex app-server`, typed.
//!
//! Field and variant names follow codex 0.169's own JSON schema (protocol v2). Reading is lenient throughout, because
//! the lists grow with nearly every release: unknown fields are ignored, unknown enum strings are kept
//! (`Unknown(String)`), and unknown items and notifications are kept as [`Raw`] JSON.
//! Fields nobody needs here are left out.

#[macro_use]
mod macros;

mod approval;
mod error;
pub(crate) mod initialize;
mod input;
mod item;
mod notification;
mod raw;
mod settings;
mod thread;
mod turn;

pub use self::{
    approval::{
        ApprovalDecision, Ask, AskParams, CommandApproval, CommandApprovalAnswer, CommandDecision,
        CurrentTime, CurrentTimeAnswer, Elicitation, ElicitationAction, ElicitationAnswer,
        FileChangeApproval, FileChangeApprovalAnswer, GrantScope, PermissionsAnswer,
        PermissionsApproval, Question, QuestionAnswer, QuestionOption, ServerRequest, ToolCall,
        ToolCallAnswer, ToolOutput, UserInputAnswer, UserInputRequest,
    },
    error::{CodexErrorInfo, CodexErrorKind, TurnError},
    initialize::{ClientInfo, OPTED_OUT, ServerInfo},
    input::{ImageDetail, UserInput},
    item::{
        AgentMessage, CollabAgentState, CollabAgentToolCall, CommandAction, CommandExecution,
        ContextCompaction, DynamicToolCall, FileChange, FileUpdate, FunctionCallOutput, HookPrompt,
        ImageGeneration, ImageView, ItemStatus, McpToolCall, McpToolError, McpToolResult,
        MessagePhase, PatchKind, PlanText, Reasoning, Review, Sleep, SubAgentActivity, ThreadItem,
        UserMessage, WebSearch, WebSearchAction,
    },
    notification::{
        AgentMessageDelta, CommandOutputDelta, ConfigWarning, DeprecationNotice, ErrorNotice,
        FileOutputDelta, GuardianWarning, HookNotice, HookRun, ItemEvent, McpProgress,
        McpServerStartup, McpServerState, ModelRerouted, Notification, PatchUpdated, PlanDelta,
        ReasoningSummaryDelta, ReasoningSummaryPart, ReasoningTextDelta, RequestResolved,
        TerminalInteraction, ThreadClosed, ThreadCompacted, ThreadStarted, ThreadStatusChanged,
        TokenUsageUpdated, TurnDiff, TurnEvent, TurnPlan, Warning,
    },
    raw::{Lenient, Raw},
    settings::{
        ApprovalPolicy, DynamicTool, GranularApproval, HistoryMode, NetworkAccess,
        ReasoningSummary, SandboxMode, SandboxPolicy, ThreadConfig,
    },
    thread::{
        ActiveFlag, LoadedThreads, Thread, ThreadOpened, ThreadRead, ThreadReadParams,
        ThreadResumeParams, ThreadStartParams, ThreadStatus, UnsubscribeStatus,
    },
    turn::{
        PlanStep, PlanStepStatus, TokenUsage, TokenUsageBreakdown, Turn, TurnStartParams,
        TurnStatus, TurnSteerParams,
    },
};

id! {
    /// Names a thread (a conversation). Codex makes UUIDv7 of them.
    ThreadId
}
id! {
    /// Names a turn of a thread.
    TurnId
}
id! {
    /// Names an item of a turn: a message, a tool call, …
    ItemId
}
