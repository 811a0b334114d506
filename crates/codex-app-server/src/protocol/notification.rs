//! Notifications: what codex says without being asked.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    FileUpdate, ItemId, PlanStep, Raw, Thread, ThreadId, ThreadItem, ThreadStatus, TokenUsage,
    Turn, TurnError, TurnId,
};

macro_rules! notifications {
    ($( $(#[$meta:meta])* $variant:ident($type:ty) = $method:literal ),+ $(,)?) => {
        /// A notification of codex, by its method.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Notification {
            $( $(#[$meta])* $variant($type), )+
            /// A method that this version doesn't know, or parameters of another shape than expected.
            Unknown {
                /// The method.
                method: String,
                /// The parameters as they came.
                params: Raw,
            },
        }

        impl Notification {
            /// The methods this version knows.
            pub const KNOWN: &[&str] = &[$($method),+];

            /// The method as it is on the wire.
            pub fn method(&self) -> &str {
                match self {
                    $( Self::$variant(_) => $method, )+
                    Self::Unknown { method, .. } => method,
                }
            }

            /// Reads a notification. Never fails: see [`Notification::Unknown`].
            pub fn parse(method: &str, params: &RawValue) -> Self {
                let known = match method {
                    $( $method => serde_json::from_str(params.get()).map(Self::$variant), )+
                    _ => return Self::Unknown { method: method.to_owned(), params: params.to_owned().into() },
                };
                known.unwrap_or_else(|error| {
                    // Not the error's text: it quotes the message.
                    tracing::warn!(method, column = error.column(), "notification of an unexpected shape");
                    Self::Unknown { method: method.to_owned(), params: params.to_owned().into() }
                })
            }
        }
    };
}

notifications! {
    /// A thread was started. Often comes after the answer and after the first `turn/start`.
    ThreadStarted(Box<ThreadStarted>) = "thread/started",
    /// A thread does something else now.
    ThreadStatusChanged(ThreadStatusChanged) = "thread/status/changed",
    /// A thread is no longer in memory.
    ThreadClosed(ThreadClosed) = "thread/closed",
    /// The conversation was shortened.
    ThreadCompacted(ThreadCompacted) = "thread/compacted",
    /// Token figures, once per request to the model.
    TokenUsageUpdated(TokenUsageUpdated) = "thread/tokenUsage/updated",
    /// A turn began.
    TurnStarted(TurnEvent) = "turn/started",
    /// A turn ended, in whatever way. The only sign of a turn's end, and it always comes.
    TurnCompleted(TurnEvent) = "turn/completed",
    /// All changes of the turn as one unified diff; repeated unchanged.
    TurnDiffUpdated(TurnDiff) = "turn/diff/updated",
    /// The model's plan.
    TurnPlanUpdated(TurnPlan) = "turn/plan/updated",
    /// An item began.
    ItemStarted(Box<ItemEvent>) = "item/started",
    /// An item ended; it is whole now.
    ItemCompleted(Box<ItemEvent>) = "item/completed",
    /// More text of a message.
    AgentMessageDelta(AgentMessageDelta) = "item/agentMessage/delta",
    /// More text of a plan item.
    PlanDelta(PlanDelta) = "item/plan/delta",
    /// More output of a command. What it prints in the first moments never comes this way.
    CommandOutputDelta(CommandOutputDelta) = "item/commandExecution/outputDelta",
    /// Something was typed into a running command.
    TerminalInteraction(TerminalInteraction) = "item/commandExecution/terminalInteraction",
    /// More output of a patch.
    FileOutputDelta(FileOutputDelta) = "item/fileChange/outputDelta",
    /// A patch as it is being written.
    PatchUpdated(PatchUpdated) = "item/fileChange/patchUpdated",
    /// A new part of a reasoning summary begins.
    ReasoningSummaryPart(ReasoningSummaryPart) = "item/reasoning/summaryPartAdded",
    /// More text of a reasoning summary.
    ReasoningSummaryDelta(ReasoningSummaryDelta) = "item/reasoning/summaryTextDelta",
    /// More text of the reasoning itself; rare.
    ReasoningTextDelta(ReasoningTextDelta) = "item/reasoning/textDelta",
    /// An MCP tool says how far it is.
    McpProgress(McpProgress) = "item/mcpToolCall/progress",
    /// An MCP server starts, is ready or failed.
    McpServerStartup(McpServerStartup) = "mcpServer/startupStatus/updated",
    /// A request of codex was settled, here or elsewhere.
    RequestResolved(RequestResolved) = "serverRequest/resolved",
    /// Something failed. Final only if it isn't retried.
    Error(ErrorNotice) = "error",
    /// Something is odd.
    Warning(Warning) = "warning",
    /// A reviewer of codex's own objects.
    GuardianWarning(GuardianWarning) = "guardianWarning",
    /// Something in the configuration is odd.
    ConfigWarning(ConfigWarning) = "configWarning",
    /// Something in use will go away.
    DeprecationNotice(DeprecationNotice) = "deprecationNotice",
    /// The provider uses another model than asked for.
    ModelRerouted(ModelRerouted) = "model/rerouted",
    /// A hook began.
    HookStarted(HookNotice) = "hook/started",
    /// A hook ended.
    HookCompleted(HookNotice) = "hook/completed",
}

impl Notification {
    /// The thread and the turn it belongs to; `None` for what isn't about a turn. A stream also holds what sub-agents
    /// say in their threads.
    pub fn turn(&self) -> Option<(&ThreadId, &TurnId)> {
        macro_rules! of_turn {
            ($($variant:ident),+) => {
                match self {
                    $( Self::$variant(of) => Some((&of.thread_id, &of.turn_id)), )+
                    Self::TurnStarted(of) | Self::TurnCompleted(of) => Some((&of.thread_id, &of.turn.id)),
                    Self::HookStarted(of) | Self::HookCompleted(of) => {
                        of.turn_id.as_ref().map(|turn| (&of.thread_id, turn))
                    }
                    Self::ThreadStarted(_)
                    | Self::ThreadStatusChanged(_)
                    | Self::ThreadClosed(_)
                    | Self::McpServerStartup(_)
                    | Self::RequestResolved(_)
                    | Self::Warning(_)
                    | Self::GuardianWarning(_)
                    | Self::ConfigWarning(_)
                    | Self::DeprecationNotice(_)
                    | Self::Unknown { .. } => None,
                }
            };
        }
        of_turn!(
            ThreadCompacted,
            TokenUsageUpdated,
            TurnDiffUpdated,
            TurnPlanUpdated,
            ItemStarted,
            ItemCompleted,
            AgentMessageDelta,
            PlanDelta,
            CommandOutputDelta,
            TerminalInteraction,
            FileOutputDelta,
            PatchUpdated,
            ReasoningSummaryPart,
            ReasoningSummaryDelta,
            ReasoningTextDelta,
            McpProgress,
            Error,
            ModelRerouted
        )
    }

    /// Joins a following delta of the same item into this one, and says how many bytes that added; `None` if they
    /// don't belong together.
    pub(crate) fn join(&mut self, next: &Self) -> Option<usize> {
        macro_rules! join {
            ($a:ident, $b:ident $(, $same:ident)*) => {
                ($a.item_id == $b.item_id && $a.turn_id == $b.turn_id $(&& $a.$same == $b.$same)*).then(|| {
                    $a.delta.push_str(&$b.delta);
                    $b.delta.len()
                })
            };
        }
        match (self, next) {
            (Self::AgentMessageDelta(a), Self::AgentMessageDelta(b)) => join!(a, b),
            (Self::PlanDelta(a), Self::PlanDelta(b)) => join!(a, b),
            (Self::CommandOutputDelta(a), Self::CommandOutputDelta(b)) => join!(a, b),
            (Self::FileOutputDelta(a), Self::FileOutputDelta(b)) => join!(a, b),
            (Self::ReasoningSummaryDelta(a), Self::ReasoningSummaryDelta(b)) => {
                join!(a, b, summary_index)
            }
            (Self::ReasoningTextDelta(a), Self::ReasoningTextDelta(b)) => {
                join!(a, b, content_index)
            }
            _ => None,
        }
    }
}

/// A structure of a notification's parameters: the thread and the turn it belongs to, and its own fields.
macro_rules! of_turn {
    ($(#[$meta:meta])* pub struct $name:ident { $( $(#[$fmeta:meta])* pub $field:ident: $type:ty, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The thread.
            pub thread_id: ThreadId,
            /// The turn.
            pub turn_id: TurnId,
            $( $(#[$fmeta])* pub $field: $type, )*
        }
    };
}

of_turn! {
    /// More text of a message.
    pub struct AgentMessageDelta {
        /// The message.
        pub item_id: ItemId,
        /// The text.
        pub delta: String,
    }
}
of_turn! {
    /// More text of a plan item.
    pub struct PlanDelta {
        /// The plan.
        pub item_id: ItemId,
        /// The text.
        pub delta: String,
    }
}
of_turn! {
    /// More output of a command.
    pub struct CommandOutputDelta {
        /// The command.
        pub item_id: ItemId,
        /// The output.
        pub delta: String,
    }
}
of_turn! {
    /// More output of a patch.
    pub struct FileOutputDelta {
        /// The patch.
        pub item_id: ItemId,
        /// The output.
        pub delta: String,
    }
}
of_turn! {
    /// Something was typed into a running command.
    pub struct TerminalInteraction {
        /// The command.
        pub item_id: ItemId,
        /// What was typed.
        #[serde(default)]
        pub stdin: String,
    }
}
of_turn! {
    /// A patch as it is being written.
    pub struct PatchUpdated {
        /// The patch.
        pub item_id: ItemId,
        /// The files so far.
        #[serde(default)]
        pub changes: Vec<FileUpdate>,
    }
}
of_turn! {
    /// A new part of a reasoning summary begins.
    pub struct ReasoningSummaryPart {
        /// The reasoning.
        pub item_id: ItemId,
        /// Which part.
        #[serde(default)]
        pub summary_index: u32,
    }
}
of_turn! {
    /// More text of a reasoning summary.
    pub struct ReasoningSummaryDelta {
        /// The reasoning.
        pub item_id: ItemId,
        /// Which part.
        #[serde(default)]
        pub summary_index: u32,
        /// The text.
        pub delta: String,
    }
}
of_turn! {
    /// More text of the reasoning itself.
    pub struct ReasoningTextDelta {
        /// The reasoning.
        pub item_id: ItemId,
        /// Which part.
        #[serde(default)]
        pub content_index: u32,
        /// The text.
        pub delta: String,
    }
}
of_turn! {
    /// An MCP tool says how far it is.
    pub struct McpProgress {
        /// The call.
        pub item_id: ItemId,
        /// For people.
        #[serde(default)]
        pub message: String,
    }
}
of_turn! {
    /// An item began or ended.
    pub struct ItemEvent {
        /// The item.
        pub item: ThreadItem,
    }
}
of_turn! {
    /// All changes of the turn.
    pub struct TurnDiff {
        /// A unified diff.
        #[serde(default)]
        pub diff: String,
    }
}
of_turn! {
    /// The model's plan.
    pub struct TurnPlan {
        /// Why it is so.
        #[serde(default)]
        pub explanation: Option<String>,
        /// Its steps.
        #[serde(default)]
        pub plan: Vec<PlanStep>,
    }
}
of_turn! {
    /// Token figures.
    pub struct TokenUsageUpdated {
        /// The figures.
        pub token_usage: TokenUsage,
    }
}
of_turn! {
    /// Something failed.
    pub struct ErrorNotice {
        /// What.
        pub error: TurnError,
        /// Whether codex tries again. If not, the turn ends with this error.
        #[serde(default)]
        pub will_retry: bool,
    }
}
of_turn! {
    /// The conversation was shortened.
    pub struct ThreadCompacted {}
}
of_turn! {
    /// The provider uses another model than asked for.
    pub struct ModelRerouted {
        /// The model asked for.
        pub from_model: String,
        /// The model in use.
        pub to_model: String,
        /// Why.
        #[serde(default)]
        pub reason: String,
    }
}

/// A thread was started.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ThreadStarted {
    /// The thread.
    pub thread: Thread,
}

/// A thread does something else now.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadStatusChanged {
    /// The thread.
    pub thread_id: ThreadId,
    /// What it does.
    pub status: ThreadStatus,
}

/// A thread is no longer in memory.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadClosed {
    /// The thread.
    pub thread_id: ThreadId,
}

/// A turn began or ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnEvent {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn.
    pub turn: Turn,
}

/// An MCP server starts, is ready or failed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct McpServerStartup {
    /// The thread it belongs to; a server of the configuration file has none.
    #[serde(default)]
    pub thread_id: Option<ThreadId>,
    /// The server's name in the configuration.
    pub name: String,
    /// How far it is.
    pub status: McpServerState,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}

open_enum! {
    /// How far an MCP server is.
    pub enum McpServerState {
        /// It starts.
        Starting = "starting",
        /// It is ready.
        Ready = "ready",
        /// It failed.
        Failed = "failed",
        /// Its start was given up.
        Cancelled = "cancelled",
    }
}

/// A request of codex was settled.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestResolved {
    /// The thread.
    pub thread_id: ThreadId,
    /// The request.
    pub request_id: crate::rpc::RequestId,
}

/// Something is odd.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// The thread, if it is about one.
    #[serde(default)]
    pub thread_id: Option<ThreadId>,
    /// For people.
    pub message: String,
}

/// A reviewer of codex's own objects.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardianWarning {
    /// The thread.
    pub thread_id: ThreadId,
    /// For people.
    pub message: String,
}

/// Something in the configuration is odd.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ConfigWarning {
    /// For people.
    pub summary: String,
    /// More for people.
    #[serde(default)]
    pub details: Option<String>,
}

/// Something in use will go away.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DeprecationNotice {
    /// For people.
    pub summary: String,
    /// More for people.
    #[serde(default)]
    pub details: Option<String>,
}

/// A hook began or ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookNotice {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn, if it belongs to one.
    #[serde(default)]
    pub turn_id: Option<TurnId>,
    /// The hook.
    pub run: HookRun,
}

/// One run of a hook.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    /// Which run.
    pub id: String,
    /// What it is hooked to.
    #[serde(default)]
    pub event_name: String,
    /// How far it is.
    #[serde(default)]
    pub status: String,
    /// What it says about it.
    #[serde(default)]
    pub status_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn delta(item: &str, text: &str) -> Notification {
        let params = json!({"threadId": "t", "turnId": "u", "itemId": item, "delta": text});
        Notification::parse("item/agentMessage/delta", &to_raw_value(&params).unwrap())
    }

    #[test]
    fn deltas_of_one_item_join_and_others_do_not() {
        let mut first = delta("a", "one ");
        assert_eq!(first.join(&delta("a", "two")), Some(3));
        assert_eq!(first, delta("a", "one two"));
        assert_eq!(first.join(&delta("b", "x")), None);
    }

    #[test]
    fn reasoning_joins_within_one_part_only() {
        let part = |index: u32| {
            let params = json!({"threadId": "t", "turnId": "u", "itemId": "r", "summaryIndex": index, "delta": "d"});
            Notification::parse(
                "item/reasoning/summaryTextDelta",
                &to_raw_value(&params).unwrap(),
            )
        };
        assert!(part(0).join(&part(0)).is_some());
        assert!(part(0).join(&part(1)).is_none());
    }

    #[test]
    fn unexpected_parameters_are_kept() {
        let params = to_raw_value(&json!({"threadId": 5})).unwrap();
        let notification = Notification::parse("turn/completed", &params);
        assert!(
            matches!(notification, Notification::Unknown { ref method, .. } if method == "turn/completed")
        );
        assert_eq!(notification.method(), "turn/completed");
    }
}
