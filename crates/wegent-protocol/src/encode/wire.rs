//! Callbacks as they stand on the wire: Wegent's envelope around an event of OpenAI's Responses API.

use agent_core::FileChangeKind;
use serde::Serialize;
use serde_json::Value;

/// One callback.
#[derive(Serialize)]
pub(super) struct Callback<'a> {
    pub(super) event_type: &'static str,
    pub(super) task_id: i64,
    pub(super) subtask_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executor_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) executor_namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation_id: Option<&'a str>,
    pub(super) data: &'a Data<'a>,
}

/// The event. Its tag is the callback's `event_type` once more.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Data<'a> {
    #[serde(rename = "response.created")]
    Created {
        response: Response<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        shell_type: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bot_name: Option<&'a str>,
    },
    #[serde(rename = "response.output_text.delta")]
    Text {
        item_id: &'a str,
        output_index: u32,
        content_index: u32,
        delta: &'a str,
        offset: u64,
    },
    #[serde(rename = "response.reasoning_summary_text.delta")]
    Reasoning {
        item_id: &'a str,
        output_index: u32,
        content_index: u32,
        delta: &'a str,
    },
    #[serde(rename = "response.block.created")]
    BlockCreated { block: &'a Block },
    #[serde(rename = "response.block.updated")]
    BlockUpdated {
        block_id: &'a str,
        updates: &'a Updates,
    },
    /// A call in the Responses API's own form: the only one from which the backend makes a form.
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: u32, item: &'a Item },
    #[serde(rename = "response.completed")]
    Completed { response: Response<'a> },
    #[serde(rename = "error")]
    Error { code: &'a str, message: &'a str },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: Response<'a> },
}

impl Data<'_> {
    pub(super) fn event_type(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::Text { .. } => "response.output_text.delta",
            Self::Reasoning { .. } => "response.reasoning_summary_text.delta",
            Self::BlockCreated { .. } => "response.block.created",
            Self::BlockUpdated { .. } => "response.block.updated",
            Self::ItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Error { .. } => "error",
            Self::Incomplete { .. } => "response.incomplete",
        }
    }

    /// Only these three end a turn; Wegent ignores `response.failed`.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Completed { .. } | Self::Error { .. } | Self::Incomplete { .. }
        )
    }
}

#[derive(Serialize)]
pub(super) struct Response<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created_at: u64,
    pub(super) model: &'a str,
    pub(super) status: &'static str,
    pub(super) output: Vec<OutputMessage<'a>>,
    #[serde(flatten)]
    pub(super) end: Option<ResponseEnd>,
}

/// What a response has only when it is over.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ResponseEnd {
    Completed {
        usage: Option<Usage>,
        stop_reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_changes: Option<FileChanges>,
        #[serde(skip_serializing_if = "Option::is_none")]
        executor_session: Option<Session>,
    },
    /// Without figures. A `silent_exit` says that the turn is over without an answer; the reason says why.
    Waiting {
        usage: (),
        stop_reason: &'static str,
        silent_exit: bool,
        silent_exit_reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_changes: Option<FileChanges>,
        #[serde(skip_serializing_if = "Option::is_none")]
        executor_session: Option<Session>,
    },
    Cancelled {
        error: CancelError,
    },
}

#[derive(Serialize)]
pub(super) struct CancelError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

#[derive(Serialize)]
pub(super) struct OutputMessage<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) id: &'a str,
    pub(super) status: &'static str,
    pub(super) role: &'static str,
    pub(super) content: [OutputText<'a>; 1],
}

#[derive(Serialize)]
pub(super) struct OutputText<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) text: &'a str,
    pub(super) annotations: [(); 0],
}

impl<'a> OutputMessage<'a> {
    pub(super) fn new(id: &'a str, text: &'a str) -> Self {
        Self {
            kind: "message",
            id,
            status: "completed",
            role: "assistant",
            content: [OutputText {
                kind: "output_text",
                text,
                annotations: [],
            }],
        }
    }
}

#[derive(Serialize)]
pub(super) struct Usage {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) total_tokens: u64,
    pub(super) input_tokens_details: InputDetails,
    pub(super) output_tokens_details: OutputDetails,
}

#[derive(Serialize)]
pub(super) struct InputDetails {
    pub(super) cached_tokens: u64,
}

#[derive(Serialize)]
pub(super) struct OutputDetails {
    pub(super) reasoning_tokens: u64,
}

impl From<&agent_core::Usage> for Usage {
    fn from(usage: &agent_core::Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            total_tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_input_tokens,
            },
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
        }
    }
}

/// Wegent's summary of a turn's changes. Its interface offers to show and to revert them by an artifact on the
/// machine; there is none, and `artifact_missing` is its word for that.
#[derive(Serialize)]
pub(super) struct FileChanges {
    version: u32,
    status: &'static str,
    artifact_id: &'static str,
    device_id: &'static str,
    workspace_path: &'static str,
    file_count: u64,
    additions: u64,
    deletions: u64,
    files: Vec<FileChange>,
    revertible: bool,
    commits: Vec<CommitMade>,
}

#[derive(Serialize)]
struct FileChange {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_path: Option<String>,
    change_type: &'static str,
    additions: u64,
    deletions: u64,
    binary: bool,
}

/// Wegent's interface doesn't show these; they are for whoever reads the task's record.
#[derive(Serialize)]
struct CommitMade {
    commit_id: String,
    message: String,
    author: String,
    author_email: String,
}

impl FileChanges {
    /// The summary, unless nothing changed.
    pub(super) fn new(changes: &agent_core::FileChanges) -> Option<Self> {
        let files: Vec<FileChange> = changes.files.iter().map(file_change).collect();
        let sum = |count: fn(&agent_core::FileChange) -> u64| changes.files.iter().map(count).sum();
        (!files.is_empty() || !changes.commits.is_empty()).then(|| Self {
            version: 1,
            status: "artifact_missing",
            artifact_id: "",
            device_id: "",
            workspace_path: "",
            file_count: files.len() as u64 + changes.omitted,
            additions: sum(|file| file.additions),
            deletions: sum(|file| file.deletions),
            files,
            revertible: false,
            commits: changes.commits.iter().map(commit_made).collect(),
        })
    }
}

fn file_change(change: &agent_core::FileChange) -> FileChange {
    let (change_type, old_path) = match &change.kind {
        FileChangeKind::Added => ("created", None),
        FileChangeKind::Modified => ("modified", None),
        FileChangeKind::Deleted => ("deleted", None),
        // Of the words that the interface knows.
        FileChangeKind::Renamed { from } => ("modified", Some(from.clone())),
    };
    FileChange {
        path: change.path.clone(),
        old_path,
        change_type,
        additions: change.additions,
        deletions: change.deletions,
        binary: change.binary,
    }
}

fn commit_made(commit: &agent_core::CommitMade) -> CommitMade {
    CommitMade {
        commit_id: commit.id.clone(),
        message: commit.message.clone(),
        author: commit.author.clone(),
        author_email: commit.email.clone(),
    }
}

/// The conversation to resume, in the form in which the platform hands it on (`inherited_sessions`).
#[derive(Serialize)]
pub(super) struct Session {
    pub(super) agent: &'static str,
    #[serde(rename = "sessionId", skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<String>,
    #[serde(rename = "threadId", skip_serializing_if = "Option::is_none")]
    pub(super) thread_id: Option<String>,
    #[serde(rename = "botId", skip_serializing_if = "Option::is_none")]
    pub(super) bot_id: Option<Value>,
}

/// A block beside the answer's text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Tool {
        id: String,
        tool_use_id: String,
        tool_name: String,
        tool_input: Value,
        status: &'static str,
        timestamp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    Subagent {
        id: String,
        tool_use_id: String,
        tool_name: String,
        tool_input: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agent_type: Option<String>,
        status: &'static str,
        timestamp: u64,
        /// What it did comes as blocks of their own, which name it as their parent.
        children: [(); 0],
        #[serde(skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    Text {
        id: String,
        parent_tool_use_id: String,
        content: String,
        status: &'static str,
        timestamp: u64,
    },
    Thinking {
        id: String,
        parent_tool_use_id: String,
        content: String,
        status: &'static str,
        timestamp: u64,
    },
}

/// A finished call of a tool. Complete in itself: the backend need not remember the call's beginning.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) call_id: String,
    pub(super) name: String,
    /// JSON.
    pub(super) arguments: String,
    pub(super) status: &'static str,
    /// JSON.
    pub(super) output: String,
}

/// What changes in a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Updates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_output: Option<String>,
    /// A sub-agent's report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
}

impl Updates {
    /// Adds `later`, which wins.
    pub(super) fn merge(&mut self, later: Self) {
        self.tool_input = later.tool_input.or(self.tool_input.take());
        self.tool_output = later.tool_output.or(self.tool_output.take());
        self.output = later.output.or(self.output.take());
        self.summary = later.summary.or(self.summary.take());
        self.status = later.status.or(self.status);
    }
}
