//! Threads: conversations that can be stored and resumed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    ApprovalPolicy, DynamicTool, HistoryMode, Lenient, SandboxMode, SandboxPolicy, ThreadConfig,
    ThreadId, Turn,
};

/// A thread as codex shows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// Which one.
    pub id: ThreadId,
    /// The rollout file that it is stored in. It isn't there before the first turn, and never for an ephemeral one.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// What it is doing.
    #[serde(default)]
    pub status: ThreadStatus,
    /// Its turns; filled on resume and on reading with turns.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// The working directory.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// The thread that spawned this one (a sub-agent's).
    #[serde(default)]
    pub parent_thread_id: Option<ThreadId>,
    /// Whether it is never stored.
    #[serde(default)]
    pub ephemeral: bool,
    /// The beginning of its first message.
    #[serde(default)]
    pub preview: String,
    /// The version of codex that made it.
    #[serde(default)]
    pub cli_version: Option<String>,
}

/// What a thread is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ThreadStatus {
    /// It is stored, but not in memory.
    NotLoaded,
    /// Nothing.
    Idle,
    /// It is broken.
    SystemError,
    /// A turn is running.
    Active {
        /// What the turn waits for.
        #[serde(default)]
        active_flags: Vec<ActiveFlag>,
    },
    /// A status that this version doesn't know.
    #[default]
    #[serde(other)]
    Unknown,
}

open_enum! {
    /// What a running turn waits for.
    pub enum ActiveFlag {
        /// An approval.
        WaitingOnApproval = "waitingOnApproval",
        /// An answer of the user.
        WaitingOnUserInput = "waitingOnUserInput",
    }
}

/// Starts a thread. What is left out comes from codex's configuration.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadStartParams {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    /// The working directory. Codex accepts one that doesn't exist; its first command then fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// The sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxMode>,
    /// When to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// Configuration of this thread only: provider and key, MCP servers. Not stored with the thread.
    #[serde(skip_serializing_if = "ThreadConfig::is_empty")]
    pub config: ThreadConfig,
    /// Instructions beside codex's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developer_instructions: Option<String>,
    /// Instructions instead of codex's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_instructions: Option<String>,
    /// Whether the thread is never stored (and so can't be resumed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// How the history is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_mode: Option<HistoryMode>,
    /// Tools that we provide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dynamic_tools: Vec<DynamicTool>,
}

/// Resumes a thread. Model, sandbox and approval policy are the stored ones unless given; `config` isn't stored and
/// must be given again, else codex answers that the provider isn't configured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadResumeParams {
    /// Which one.
    pub thread_id: ThreadId,
    /// Whether the earlier turns are left out of the answer, which can be large.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exclude_turns: bool,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// The sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxMode>,
    /// When to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// As in [`ThreadStartParams::config`].
    #[serde(skip_serializing_if = "ThreadConfig::is_empty")]
    pub config: ThreadConfig,
    /// Instructions beside codex's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub developer_instructions: Option<String>,
    /// Instructions instead of codex's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_instructions: Option<String>,
}

impl ThreadResumeParams {
    /// Resumes with the stored settings.
    pub fn new(thread: ThreadId) -> Self {
        Self {
            thread_id: thread,
            exclude_turns: false,
            model: None,
            model_provider: None,
            cwd: None,
            sandbox: None,
            approval_policy: None,
            config: ThreadConfig::default(),
            developer_instructions: None,
            base_instructions: None,
        }
    }
}

/// A thread that was started or resumed, and what holds for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadOpened {
    /// The thread.
    pub thread: Thread,
    /// The model in use.
    #[serde(default)]
    pub model: String,
    /// The provider in use.
    #[serde(default)]
    pub model_provider: String,
    /// The working directory.
    #[serde(default)]
    pub cwd: PathBuf,
    /// When codex asks.
    #[serde(default)]
    pub approval_policy: Lenient<ApprovalPolicy>,
    /// The sandbox in use.
    #[serde(default)]
    pub sandbox: Lenient<SandboxPolicy>,
    /// Files that instructions were read from (`AGENTS.md`).
    #[serde(default)]
    pub instruction_sources: Vec<PathBuf>,
    /// How hard the model thinks.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
}

/// Reads a thread without loading it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadReadParams {
    /// Which one.
    pub thread_id: ThreadId,
    /// Whether its turns are read too.
    pub include_turns: bool,
}

/// The answer to [`ThreadReadParams`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ThreadRead {
    /// The thread.
    pub thread: Thread,
}

/// One page of the threads in codex's memory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadedThreads {
    /// The threads.
    pub data: Vec<ThreadId>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

open_enum! {
    /// What unsubscribing found.
    pub enum UnsubscribeStatus {
        /// The thread wasn't in memory.
        NotLoaded = "notLoaded",
        /// We weren't subscribed.
        NotSubscribed = "notSubscribed",
        /// Done. Codex unloads the thread later.
        Unsubscribed = "unsubscribed",
    }
}
