//! Items: what a turn consists of.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{ItemId, Raw, ThreadId, UserInput};

tagged! {
    /// An item of a turn, as in `item/started` and `item/completed`.
    pub enum ThreadItem {
        /// What the user said.
        UserMessage(UserMessage) = "userMessage",
        /// What a hook put into the conversation.
        HookPrompt(HookPrompt) = "hookPrompt",
        /// What the agent says. A turn can hold several; the last completed one is the final answer.
        AgentMessage(AgentMessage) = "agentMessage",
        /// The output of a function that codex doesn't run itself.
        FunctionCallOutput(FunctionCallOutput) = "functionCallOutput",
        /// A plan as text (plan mode).
        Plan(PlanText) = "plan",
        /// What the model thought.
        Reasoning(Reasoning) = "reasoning",
        /// A shell command.
        CommandExecution(CommandExecution) = "commandExecution",
        /// A patch.
        FileChange(FileChange) = "fileChange",
        /// A call of an MCP server's tool.
        McpToolCall(McpToolCall) = "mcpToolCall",
        /// A call of one of our own tools.
        DynamicToolCall(DynamicToolCall) = "dynamicToolCall",
        /// Something done with sub-agents.
        CollabAgentToolCall(CollabAgentToolCall) = "collabAgentToolCall",
        /// Something a sub-agent did.
        SubAgentActivity(SubAgentActivity) = "subAgentActivity",
        /// A web search.
        WebSearch(WebSearch) = "webSearch",
        /// An image that the model looked at.
        ImageView(ImageView) = "imageView",
        /// An image that the model made.
        ImageGeneration(ImageGeneration) = "imageGeneration",
        /// The agent waits.
        Sleep(Sleep) = "sleep",
        /// A review begins.
        EnteredReviewMode(Review) = "enteredReviewMode",
        /// A review ends.
        ExitedReviewMode(Review) = "exitedReviewMode",
        /// The conversation was shortened to fit the context.
        ContextCompaction(ContextCompaction) = "contextCompaction",
    }
}

impl ThreadItem {
    /// The item's id; `None` for an unknown item without one.
    pub fn id(&self) -> Option<ItemId> {
        #[derive(Deserialize)]
        struct Id {
            id: ItemId,
        }
        let id = match self {
            Self::UserMessage(item) => &item.id,
            Self::HookPrompt(item) => &item.id,
            Self::AgentMessage(item) => &item.id,
            Self::FunctionCallOutput(item) => &item.id,
            Self::Plan(item) => &item.id,
            Self::Reasoning(item) => &item.id,
            Self::CommandExecution(item) => &item.id,
            Self::FileChange(item) => &item.id,
            Self::McpToolCall(item) => &item.id,
            Self::DynamicToolCall(item) => &item.id,
            Self::CollabAgentToolCall(item) => &item.id,
            Self::SubAgentActivity(item) => &item.id,
            Self::WebSearch(item) => &item.id,
            Self::ImageView(item) => &item.id,
            Self::ImageGeneration(item) => &item.id,
            Self::Sleep(item) => &item.id,
            Self::EnteredReviewMode(item) | Self::ExitedReviewMode(item) => &item.id,
            Self::ContextCompaction(item) => &item.id,
            Self::Unknown { raw, .. } => return raw.parse::<Id>().ok().map(|Id { id }| id),
        };
        Some(id.clone())
    }
}

open_enum! {
    /// How far a tool call is.
    pub enum ItemStatus {
        /// It runs.
        InProgress = "inProgress",
        /// It succeeded.
        Completed = "completed",
        /// It failed. A command with a non-zero exit code counts as failed, an MCP tool that says `isError` too.
        Failed = "failed",
        /// It was not allowed.
        Declined = "declined",
        /// It was told to stop.
        Interrupted = "interrupted",
    }
}

/// What the user said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UserMessage {
    /// Which item.
    pub id: ItemId,
    /// The input.
    #[serde(default)]
    pub content: Vec<UserInput>,
}

/// What a hook put into the conversation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct HookPrompt {
    /// Which item.
    pub id: ItemId,
    /// The pieces, opaque.
    #[serde(default)]
    pub fragments: Vec<Raw>,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AgentMessage {
    /// Which item. A retry of a broken stream makes a new one; the old one is never completed.
    pub id: ItemId,
    /// The text so far; whole in `item/completed`.
    #[serde(default)]
    pub text: String,
    /// Where in the turn it stands; `None` with models that don't say.
    #[serde(default)]
    pub phase: Option<MessagePhase>,
}

open_enum! {
    /// Where in a turn a message stands.
    pub enum MessagePhase {
        /// Between tool calls.
        Commentary = "commentary",
        /// A part of the answer.
        PartialAnswer = "partial_answer",
        /// The answer.
        FinalAnswer = "final_answer",
    }
}

/// The output of a function that codex doesn't run itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FunctionCallOutput {
    /// Which item.
    pub id: ItemId,
    /// The function.
    #[serde(default)]
    pub name: String,
    /// A string or a list of content.
    #[serde(default)]
    pub output: Raw,
}

/// A plan as text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PlanText {
    /// Which item.
    pub id: ItemId,
    /// The text.
    #[serde(default)]
    pub text: String,
}

/// What the model thought.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Reasoning {
    /// Which item.
    pub id: ItemId,
    /// Summaries, part by part.
    #[serde(default)]
    pub summary: Vec<String>,
    /// The reasoning itself, where the provider shows it.
    #[serde(default)]
    pub content: Vec<String>,
}

/// A shell command.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandExecution {
    /// Which item.
    pub id: ItemId,
    /// The command line.
    #[serde(default)]
    pub command: String,
    /// Where it runs.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Codex's own name for the running process.
    #[serde(default)]
    pub process_id: Option<String>,
    /// Who wanted it: `agent`, `userShell`, …
    #[serde(default)]
    pub source: Option<String>,
    /// How far it is.
    pub status: ItemStatus,
    /// What codex believes the command does.
    #[serde(default)]
    pub command_actions: Vec<CommandAction>,
    /// Everything it printed, stdout and stderr mixed. Complete, while the deltas lack the first output.
    #[serde(default)]
    pub aggregated_output: Option<String>,
    /// Its exit code.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// What codex believes a command does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum CommandAction {
    /// It reads a file.
    Read {
        /// The file's name.
        #[serde(default)]
        name: String,
        /// The file.
        #[serde(default)]
        path: Option<PathBuf>,
    },
    /// It lists a folder.
    ListFiles {
        /// The folder.
        #[serde(default)]
        path: Option<PathBuf>,
    },
    /// It searches.
    Search {
        /// What for.
        #[serde(default)]
        query: Option<String>,
        /// Where.
        #[serde(default)]
        path: Option<PathBuf>,
    },
    /// Something else.
    #[serde(other)]
    Unknown,
}

/// A patch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FileChange {
    /// Which item.
    pub id: ItemId,
    /// The files.
    #[serde(default)]
    pub changes: Vec<FileUpdate>,
    /// How far it is.
    pub status: ItemStatus,
}

/// One file of a patch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FileUpdate {
    /// The file.
    pub path: PathBuf,
    /// What happens to it.
    #[serde(default)]
    pub kind: PatchKind,
    /// A unified diff; for a new file its bare content.
    #[serde(default)]
    pub diff: String,
}

/// What happens to a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum PatchKind {
    /// It is made.
    Add,
    /// It is removed.
    Delete,
    /// It is changed.
    Update {
        /// Its new place, if it is moved.
        #[serde(default)]
        move_path: Option<PathBuf>,
    },
    /// Something that this version doesn't know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A call of an MCP server's tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct McpToolCall {
    /// Which item.
    pub id: ItemId,
    /// The server's name in the configuration.
    #[serde(default)]
    pub server: String,
    /// The tool.
    #[serde(default)]
    pub tool: String,
    /// How far it is.
    pub status: ItemStatus,
    /// Opaque.
    #[serde(default)]
    pub arguments: Raw,
    /// What the tool answered, also when it answered with `isError`.
    #[serde(default)]
    pub result: Option<McpToolResult>,
    /// Why the call itself failed.
    #[serde(default)]
    pub error: Option<McpToolError>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// What an MCP tool answered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct McpToolResult {
    /// MCP content blocks, opaque.
    #[serde(default)]
    pub content: Vec<Raw>,
    /// Structured content, opaque.
    #[serde(default)]
    pub structured_content: Option<Raw>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct McpToolError {
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A call of one of our own tools.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DynamicToolCall {
    /// Which item.
    pub id: ItemId,
    /// The tool.
    #[serde(default)]
    pub tool: String,
    /// How far it is.
    pub status: ItemStatus,
    /// Opaque.
    #[serde(default)]
    pub arguments: Raw,
    /// What we answered.
    #[serde(default)]
    pub content_items: Option<Vec<Raw>>,
    /// Whether we said it succeeded.
    #[serde(default)]
    pub success: Option<bool>,
}

/// Something done with sub-agents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollabAgentToolCall {
    /// Which item.
    pub id: ItemId,
    /// `spawnAgent`, `wait`, `closeAgent`, …
    #[serde(default)]
    pub tool: String,
    /// How far it is.
    pub status: ItemStatus,
    /// What the sub-agent is told.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The sub-agent's model.
    #[serde(default)]
    pub model: Option<String>,
    /// The threads it is done to.
    #[serde(default)]
    pub receiver_thread_ids: Vec<ThreadId>,
    /// How the sub-agents are, by thread.
    #[serde(default)]
    pub agents_states: BTreeMap<ThreadId, CollabAgentState>,
}

/// How a sub-agent is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CollabAgentState {
    /// `running`, `completed`, `errored`, …
    #[serde(default)]
    pub status: String,
    /// What it said last.
    #[serde(default)]
    pub message: Option<String>,
}

/// Something a sub-agent did.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubAgentActivity {
    /// Which item.
    pub id: ItemId,
    /// `started`, `interacted`, `interrupted`, `completed`.
    #[serde(default)]
    pub kind: String,
    /// The sub-agent's thread.
    pub agent_thread_id: ThreadId,
    /// The sub-agent's name, as a path.
    #[serde(default)]
    pub agent_path: String,
    /// The sub-agent's model.
    #[serde(default)]
    pub model: Option<String>,
}

/// A web search.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WebSearch {
    /// Which item.
    pub id: ItemId,
    /// What for.
    #[serde(default)]
    pub query: String,
    /// What the model does on the web.
    #[serde(default)]
    pub action: Option<WebSearchAction>,
}

/// What the model does on the web.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum WebSearchAction {
    /// It searches.
    Search {
        /// What for.
        #[serde(default)]
        query: Option<String>,
        /// What for, if several.
        #[serde(default)]
        queries: Option<Vec<String>>,
    },
    /// It opens a page.
    OpenPage {
        /// The page.
        #[serde(default)]
        url: Option<String>,
    },
    /// It looks for something in a page.
    FindInPage {
        /// The page.
        #[serde(default)]
        url: Option<String>,
        /// What for.
        #[serde(default)]
        pattern: Option<String>,
    },
    /// Something else.
    #[serde(other)]
    Other,
}

/// An image that the model looked at.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ImageView {
    /// Which item.
    pub id: ItemId,
    /// The file.
    #[serde(default)]
    pub path: PathBuf,
}

/// An image that the model made. The image itself (base64, large) isn't kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageGeneration {
    /// Which item.
    pub id: ItemId,
    /// How far it is, in the provider's words.
    #[serde(default)]
    pub status: String,
    /// The prompt as the model changed it.
    #[serde(default)]
    pub revised_prompt: Option<String>,
    /// The file it was written to.
    #[serde(default)]
    pub saved_path: Option<PathBuf>,
}

/// The agent waits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sleep {
    /// Which item.
    pub id: ItemId,
    /// How long, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

/// A review begins or ends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Review {
    /// Which item.
    pub id: ItemId,
    /// What is reviewed, or the review.
    #[serde(default)]
    pub review: String,
}

/// The conversation was shortened.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ContextCompaction {
    /// Which item.
    pub id: ItemId,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(json: serde_json::Value) -> ThreadItem {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_unknown_item_keeps_its_json_and_its_id() {
        let unknown = item(json!({"type": "hologram", "id": "h1", "beams": [1, 2]}));
        assert_eq!(unknown.kind(), "hologram");
        assert_eq!(unknown.id(), Some(ItemId::from("h1")));
        let ThreadItem::Unknown { raw, .. } = &unknown else {
            panic!("{unknown:?}")
        };
        assert!(raw.get().contains("beams"), "{raw:?}");
    }

    #[test]
    fn a_known_item_of_an_unexpected_shape_is_kept_as_unknown() {
        let odd = item(json!({"type": "commandExecution", "id": 5}));
        assert!(
            matches!(odd, ThreadItem::Unknown { ref kind, .. } if kind == "commandExecution"),
            "{odd:?}"
        );
        assert!(matches!(item(json!("text")), ThreadItem::Unknown { .. }));
    }

    #[test]
    fn unknown_fields_and_enum_strings_are_tolerated() {
        let command = item(json!({
            "type": "commandExecution", "id": "c", "command": "ls", "cwd": "/w", "status": "paused", "shiny": {},
            "commandActions": [{"type": "dance", "command": "x"}], "exitCode": null
        }));
        let ThreadItem::CommandExecution(command) = command else {
            panic!("{command:?}")
        };
        assert_eq!(command.status, ItemStatus::Unknown("paused".into()));
        assert_eq!(command.command_actions, [CommandAction::Unknown]);
    }
}
