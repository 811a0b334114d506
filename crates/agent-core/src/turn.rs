//! A turn: everything a platform asked for, decoded once, in no platform's own terms.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use secrecy::SecretString;
use serde_json::Value;

use crate::{
    AgentKind, Attempt, FormAnswer, SessionId, SubtaskId, TurnKey, downloads::ContentHash,
};

/// What an agent is asked to do.
///
/// Keys are [`SecretString`]s from the decoder on, so that a `Debug` print of a turn shows none.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Which turn of which task.
    pub key: TurnKey,
    /// Which run of it.
    pub attempt: Attempt,
    /// Who runs it.
    pub agent: AgentKind,
    /// What the person said.
    pub prompt: Prompt,
    /// The answer to what an earlier turn asked; the prompt then only repeats it in a person's words.
    pub answer: Option<FormAnswer>,
    /// The system prompt, if there is one.
    pub instructions: Option<String>,
    /// Which model answers, and how it is reached.
    pub model: ModelConfig,
    /// The bots of the team, the leader first. Never empty.
    pub bots: Vec<Bot>,
    /// What the bots after the first are to it.
    pub team: Team,
    /// What the request says about how the agent works.
    pub options: AgentOptions,
    /// MCP servers offered to the agent.
    pub mcp_servers: Vec<McpServer>,
    /// Who asks, with the tokens meant for tools.
    pub identity: Identity,
    /// The repository to work in, if one is named.
    pub git: Option<GitSource>,
    /// A folder that outlives the task, with what it works on; the agent is told of it. It goes before a clone's own.
    pub lasting_folder: Option<PathBuf>,
    /// Skills by name.
    pub skills: Skills,
    /// Files the person attached.
    pub attachments: Vec<Attachment>,
    /// Forget the conversation so far.
    pub new_session: bool,
    /// The conversation to continue, where the platform keeps its id. It goes before what is stored here.
    pub resume_session: Option<SessionId>,
    /// Conversations to continue when this task has none of its own yet.
    pub inherited_sessions: Vec<InheritedSession>,
    /// What placeholders can name.
    pub variables: Variables,
}

/// What `${{path}}` in an MCP server's configuration can name (see [`substitute`](crate::substitute)); opaque. It holds
/// keys, so a `Debug` print shows nothing of it.
#[derive(Clone, Default)]
pub struct Variables(pub Value);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables(…)")
    }
}

impl Turn {
    /// The bot whose shell runs the turn.
    ///
    /// # Panics
    /// Never: decoders refuse a request without a bot.
    pub fn bot(&self) -> &Bot {
        self.bots.first().expect("a turn has at least one bot")
    }
}

/// How the bots of a turn work together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Team {
    /// The first bot works alone.
    #[default]
    Solo,
    /// The bots after the first are its sub-agents.
    Coordinate,
}

/// How the agent is to work, where a request says something about it. In the agent's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentOptions {
    /// What it may do without asking: `acceptEdits`, `plan`, `bypassPermissions`, …
    pub permission_mode: Option<String>,
    /// How often it may ask the model in one turn.
    pub max_turns: Option<u32>,
    /// Rules for tools that it may use without asking.
    pub allowed_tools: Vec<String>,
    /// Rules for tools that it may not use.
    pub disallowed_tools: Vec<String>,
    /// The JSON schema that the answer is to have, if any; opaque.
    pub output_schema: Option<Value>,
}

/// What the person said: text and images in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt(pub Vec<PromptPart>);

impl Prompt {
    /// A prompt of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![PromptPart::Text(text.into())])
    }

    /// All text parts, joined by blank lines.
    pub fn joined_text(&self) -> String {
        let texts: Vec<&str> = self
            .0
            .iter()
            .filter_map(|part| match part {
                PromptPart::Text(text) => Some(text.as_str()),
                PromptPart::Image { .. } | PromptPart::LocalImage { .. } => None,
            })
            .collect();
        texts.join("\n\n")
    }
}

/// One part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptPart {
    /// Text.
    Text(String),
    /// An image by URL (`data:` or `https:`).
    Image {
        /// Where the image is.
        url: String,
    },
    /// An image in a file on this machine.
    LocalImage {
        /// The file.
        path: PathBuf,
    },
}

/// Which model answers, and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct ModelConfig {
    /// The provider's model id; `None` leaves the choice to the agent.
    pub model_id: Option<String>,
    /// The provider family, such as `openai` or `claude`.
    pub family: Option<String>,
    /// The key.
    pub api_key: Option<SecretString>,
    /// The provider's base URL.
    pub base_url: Option<String>,
    /// More HTTP headers for the provider. Values may be secret.
    pub headers: BTreeMap<String, SecretString>,
    /// Which HTTP interface the provider offers.
    pub api_format: Option<ApiFormat>,
    /// The context window in tokens.
    pub context_window: Option<u64>,
    /// How hard the model should think, in the provider's words.
    pub reasoning_effort: Option<String>,
    /// How the reasoning is summarised, in the provider's words.
    pub reasoning_summary: Option<String>,
    /// How much the model says, in the provider's words.
    pub verbosity: Option<String>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// The agent's web search: `disabled`, `cached`, `live`, … in the agent's words.
    pub web_search: Option<String>,
    /// Variables that the model's configuration sets for the agent (its `UPPER_CASE` keys). Values may be secret.
    pub variables: BTreeMap<String, SecretString>,
    /// Use the login that the container itself has, instead of a key from the request.
    pub use_own_login: bool,
}

/// The HTTP interface of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFormat {
    /// OpenAI's Responses API.
    Responses,
    /// OpenAI's Chat Completions API.
    ChatCompletions,
    /// Another one, as the request named it.
    Other(String),
}

/// One bot of a team.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bot {
    /// The bot's id, as text; `None` if the request gave none.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its own system prompt.
    pub system_prompt: String,
    /// Its part in the team (`leader`, `worker`, …).
    pub role: Option<String>,
    /// The folder it works in, if the request names one.
    pub cwd: Option<PathBuf>,
    /// The model of its own, if it has one.
    pub model_id: Option<String>,
}

/// An MCP server offered to the agent.
#[derive(Clone, Debug)]
pub struct McpServer {
    /// The server's name; unique within a turn.
    pub name: String,
    /// How it is reached.
    pub transport: McpTransport,
    /// The variable among the tools' whose value is sent as a bearer token, if the server names one.
    pub bearer_token_variable: Option<String>,
    /// How long a tool call may take, in seconds.
    pub tool_timeout_seconds: Option<f64>,
    /// Whether its configuration speaks of a login by OAuth. No agent can have one: it takes a person at a browser.
    pub wants_oauth: bool,
}

/// How an MCP server is reached.
#[derive(Clone, Debug)]
pub enum McpTransport {
    /// A program on this machine.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its own environment; values may be secret.
        env: BTreeMap<String, SecretString>,
    },
    /// A server over HTTP ("streamable HTTP").
    Http {
        /// Its URL.
        url: String,
        /// Headers to send; values may be secret.
        headers: BTreeMap<String, SecretString>,
    },
    /// A server over HTTP with server-sent events, the protocol's older form. Not every agent speaks it.
    Sse {
        /// Its URL.
        url: String,
        /// Headers to send; values may be secret.
        headers: BTreeMap<String, SecretString>,
    },
    /// A way that no agent knows. A prepared turn has none of these.
    Other {
        /// What it is called.
        kind: String,
    },
}

/// Who asks, with the tokens meant for tools.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The login name.
    pub user_name: Option<String>,
    /// The task's token for the platform's interfaces; tools see it as `AUTH_TOKEN`.
    pub auth_token: Option<SecretString>,
    /// The token for skills' calls; tools see it as `WEGENT_SKILL_IDENTITY_TOKEN`.
    pub skill_identity_token: Option<SecretString>,
    /// Where the request says that the platform's backend is; the operator's word goes first.
    pub backend_url: Option<String>,
    /// Who it is on the git server.
    pub git: GitUser,
}

/// The repository a turn works in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitSource {
    /// Its clone URL, as it came: it may hold credentials.
    pub url: String,
    /// The branch to check out.
    pub branch: Option<String>,
    /// The git server's domain, if the request names it.
    pub domain: Option<String>,
    /// The repository's full name, as its server knows it.
    pub repository: Option<String>,
    /// Its id there.
    pub repository_id: Option<String>,
    /// Whether the workspace was restored from an archive, the checkout with it.
    pub restored: bool,
    /// The folder to use for the checkout instead of one in the task's own; what is in it is taken as it is.
    pub folder: Option<PathBuf>,
}

/// Who the person is on the git server.
#[derive(Clone, Debug, Default)]
pub struct GitUser {
    /// The git server's domain.
    pub domain: Option<String>,
    /// The token for it, as it came: it may be encrypted, or masked.
    pub token: Option<SecretString>,
    /// The user's id there.
    pub id: Option<String>,
    /// The user's name there.
    pub login: Option<String>,
    /// The address for commits.
    pub email: Option<String>,
}

/// The skills of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skills {
    /// All skills to offer, by name.
    pub offered: Vec<String>,
    /// The ones without which the turn must not run.
    pub required: Vec<String>,
    /// The ones that the person picked for this turn.
    pub selected: Vec<String>,
    /// What the request knows of them, by name. One that is missing here is looked up by its name.
    pub known: BTreeMap<String, KnownSkill>,
    /// Where a skill is looked up; `None` means the platform's default.
    pub namespace: Option<String>,
}

/// A skill as a request refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSkill {
    /// Its id, as text.
    pub id: String,
    /// The namespace it lies in; `None` means the one of [`Skills::namespace`].
    pub namespace: Option<String>,
    /// What its archive hashes to, if the request says so.
    pub hash: Option<ContentHash>,
}

/// A file the person attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The platform's id of it.
    pub id: i64,
    /// The name it was uploaded under.
    pub filename: String,
    /// Its MIME type, if known.
    pub mime_type: Option<String>,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// The message it belongs to: names the folder it goes to.
    pub subtask: SubtaskId,
    /// How far it has come.
    pub state: AttachmentState,
}

/// How far an attachment has come before the turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AttachmentState {
    /// It is to be fetched.
    #[default]
    Wanted,
    /// It was fetched to here.
    Local(PathBuf),
    /// It could not be fetched, for this reason.
    Failed(String),
}

/// A conversation that another task left behind for this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InheritedSession {
    /// Whose conversation it is.
    pub agent: AgentKind,
    /// The agent's id of it.
    pub session: SessionId,
    /// The bot it belonged to; `None` fits every bot.
    pub bot: Option<String>,
}
