//! What happens between a turn's start and its end.
//!
//! There is no terminal event here on purpose: a turn's end is the return value of
//! [`Agent::run`](crate::Agent::run).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AgentKind, BlockId, Question, SessionId, StopStep, ToolCallId};

/// One thing that an agent did or said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The conversation's id, as soon as it is known *and* can be resumed.
    Session(SessionRef),
    /// Where the agent works. Told once, before it begins.
    Place {
        /// The folder.
        cwd: String,
    },
    /// The model that answers, as the agent reports it.
    Model {
        /// The provider's model id.
        id: String,
    },
    /// More text of the answer. Separators between messages are part of `delta` (see [`crate::void_text`]).
    Text {
        /// The message the text belongs to.
        block: BlockId,
        /// The sub-agent call that said it, if it was not the agent itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ToolCallId>,
        /// The text to append.
        delta: String,
    },
    /// More of the agent's reasoning (or of its summary).
    Reasoning {
        /// The reasoning item the text belongs to.
        block: BlockId,
        /// The sub-agent call that thought it, if it was not the agent itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ToolCallId>,
        /// The text to append.
        delta: String,
    },
    /// A text or reasoning block is over; nothing more will be appended to it.
    BlockEnd {
        /// The block that ended.
        block: BlockId,
    },
    /// A tool call started, went on or finished.
    Tool(ToolEvent),
    /// A sub-agent was given work, took it up or is done with it. What it does itself comes as events of their own,
    /// with its call as their parent.
    Subagent(SubagentEvent),
    /// The agent's plan as a whole; each event replaces the one before.
    Plan {
        /// The call the plan belongs to; stable for a turn.
        call: ToolCallId,
        /// The steps in their order.
        steps: Vec<PlanStep>,
    },
    /// The agent asks the person something. The turn ends with
    /// [`Outcome::WaitingForUser`](crate::Outcome::WaitingForUser) then.
    Question(Question),
    /// The token figures of the turn so far.
    Usage(Usage),
    /// Something the person should read, that no model said.
    Notice(Notice),
    /// A request to the model failed and is made again.
    Retry(Retry),
    /// How far a step of the preparation is. Each event replaces the one before of the same step.
    Preparation(Preparation),
    /// Processes had to be ended. Told as often as that was so.
    CleanUp(CleanUp),
}

/// What it took to leave nothing of a turn running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CleanUp {
    /// How the turn's own work was ended; `None` if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StopStep>,
    /// How many processes that its tools had left running were found and ended.
    pub strays: u32,
    /// Whether some of those had to be killed, as SIGTERM was not enough.
    pub killed: bool,
    /// How many could not be ended.
    pub survivors: u32,
}

impl CleanUp {
    /// Whether nothing had to be done.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what it took a second time.
    pub fn add(&mut self, more: &Self) {
        self.stopped_by = self.stopped_by.max(more.stopped_by);
        self.strays += more.strays;
        self.killed |= more.killed;
        // Those that the first time left are counted again.
        self.survivors = self.survivors.max(more.survivors);
    }
}

/// The life of a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum ToolEvent {
    /// The call began.
    Started {
        /// The call.
        call: ToolCallId,
        /// The sub-agent call that made it, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ToolCallId>,
        /// The name the person sees: `Bash`, `Edit`, `mcp__server__tool`, …
        name: String,
        /// The tool's arguments; opaque.
        input: Value,
    },
    /// The arguments became known, or changed.
    Input {
        /// The call.
        call: ToolCallId,
        /// The whole arguments, replacing what was known.
        input: Value,
    },
    /// Some output arrived while the tool still runs. May be incomplete: the output in
    /// [`ToolEvent::Finished`] replaces everything shown before.
    Output {
        /// The call.
        call: ToolCallId,
        /// The text to append.
        delta: String,
    },
    /// The call is over.
    Finished {
        /// The call.
        call: ToolCallId,
        /// How it went.
        status: ToolStatus,
        /// The complete output.
        output: String,
    },
}

impl ToolEvent {
    /// The call that the event is about.
    pub fn call(&self) -> &ToolCallId {
        match self {
            Self::Started { call, .. }
            | Self::Input { call, .. }
            | Self::Output { call, .. }
            | Self::Finished { call, .. } => call,
        }
    }
}

/// The life of a sub-agent: a call that is an agent itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum SubagentEvent {
    /// It was asked for.
    Started {
        /// The call that asked for it; what it does has this as its parent.
        call: ToolCallId,
        /// The sub-agent call that made this one, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ToolCallId>,
        /// The tool's name, such as `Agent`.
        name: String,
        /// The tool's arguments; opaque.
        input: Value,
        /// Its task in a few words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Which kind of agent it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_type: Option<String>,
    },
    /// It works.
    Running {
        /// The call that asked for it.
        call: ToolCallId,
    },
    /// It is over.
    Finished {
        /// The call that asked for it.
        call: ToolCallId,
        /// How it went.
        status: ToolStatus,
        /// What it reported.
        output: String,
        /// The report in one line, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
    },
}

impl SubagentEvent {
    /// The call that the event is about.
    pub fn call(&self) -> &ToolCallId {
        match self {
            Self::Started { call, .. } | Self::Running { call } | Self::Finished { call, .. } => {
                call
            }
        }
    }
}

/// How a tool call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It did what it was asked to.
    Done,
    /// It failed, was declined, or was cut off.
    Failed,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: PlanStatus,
}

/// How far a plan's step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    /// Not begun.
    Pending,
    /// Being done.
    InProgress,
    /// Done.
    Completed,
}

/// Token figures of one turn. Counts are tokens of this turn, not of the whole conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens the model read, cached ones included.
    pub input_tokens: u64,
    /// The part of `input_tokens` that came from a cache.
    pub cached_input_tokens: u64,
    /// Tokens the model wrote, reasoning included.
    pub output_tokens: u64,
    /// The part of `output_tokens` spent on reasoning.
    pub reasoning_tokens: u64,
    /// The context window in tokens, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// The cost in US dollars, if the agent reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Where the figures come from.
    pub source: UsageSource,
}

/// Where token figures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The agent's CLI reported them.
    #[default]
    Agent,
}

/// Something the person should read, that no model said. Shown as a paragraph of its own in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// The sentence to show.
    pub text: String,
}

/// What a [`Notice`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The conversation could not be resumed; a fresh one was started.
    FreshSession,
    /// The answer's stream broke and the model began anew.
    TextRestarted,
    /// The model's provider failed, or the agent stumbled over its answer; it is asked once more.
    ApiRetry,
    /// The executor was restarted in the middle of the turn, which is run again or goes on.
    Restarted,
    /// The agent or its configuration has something to say.
    Warning,
}

/// A request to the model that failed and that the agent's CLI makes again. Most of them mend themselves: what the
/// person has to read of it in the answer is a [`Notice`] of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many there have been in the turn, this one included.
    pub count: u32,
    /// How many the CLI makes of one request, if it says so.
    pub limit: Option<u32>,
    /// What went wrong, in the CLI's words.
    pub error: String,
}

/// How far a step of the preparation is. Only steps that take a while are told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// Which step.
    pub step: PrepareStep,
    /// Whether it goes on.
    pub state: PreparationState,
    /// What it does or did, in a line or a few: `receiving objects: 43 %`.
    pub note: String,
}

/// Whether a step of the preparation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparationState {
    /// It does.
    Running,
    /// It is done.
    Done,
    /// It went wrong. That need not be the turn's end.
    Failed,
}

/// A step of the preparation, see [`prepare`](crate::prepare).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrepareStep {
    /// The repository is cloned, or found as an earlier turn left it.
    Git,
    /// What the person attached is downloaded.
    Attachments,
    /// Skills are downloaded and put in place.
    Skills,
    /// Instruction files are made known to the agent.
    Instructions,
    /// MCP servers get their variables.
    Mcp,
    /// The operator's hook runs before the agent does.
    PreExecuteHook,
}

impl PrepareStep {
    /// A word for it that is the same for ever: in ids and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Attachments => "attachments",
            Self::Skills => "skills",
            Self::Instructions => "instructions",
            Self::Mcp => "mcp",
            Self::PreExecuteHook => "pre-execute hook",
        }
    }
}

impl std::fmt::Display for PrepareStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A conversation of an agent that a later turn can resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRef {
    /// Whose conversation it is.
    pub agent: AgentKind,
    /// The agent's own id of it.
    pub id: SessionId,
}

/// What changed in the workspace during a turn, by whatever means. Empty where there is no repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileChanges {
    /// The changed files, by path: the first thousand.
    pub files: Vec<FileChange>,
    /// How many more changed.
    pub omitted: u64,
    /// The commits made, the oldest first.
    pub commits: Vec<CommitMade>,
    /// The last commit before the turn, if there was one.
    pub base: Option<CommitRef>,
    /// The branch that is checked out now; `None` if none is.
    pub branch: Option<String>,
}

/// How one file changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path in the repository; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// What happened to it.
    pub kind: FileChangeKind,
    /// Lines added.
    pub additions: u64,
    /// Lines taken away.
    pub deletions: u64,
    /// It isn't text, or too large to look at: lines are not counted.
    pub binary: bool,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// Its content, its mode or its type changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path, and perhaps another content.
    Renamed {
        /// The path it had.
        from: String,
    },
}

/// A commit that a turn made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMade {
    /// Its id, in full.
    pub id: String,
    /// Its message.
    pub message: String,
    /// Its author's name.
    pub author: String,
    /// Its author's address.
    pub email: String,
    /// When it was committed, in seconds since 1970.
    pub at_seconds: i64,
    /// How many files it changed.
    pub files: u64,
    /// How many lines it added.
    pub additions: u64,
    /// How many lines it took away.
    pub deletions: u64,
}

/// A commit, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRef {
    /// Its id, in full.
    pub id: String,
    /// Its message.
    pub message: String,
}
