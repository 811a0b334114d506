//! Configuration: read once from the environment, checked whole, then passed down by value.
//!
//! [`ImageEnvironment::of_process`] is the only place that reads the process's environment, and
//! [`Config::read`] the only one that knows the variables' meaning. Everything that is wrong is reported
//! together, each naming its variable, so that an operator needs one start to see it all. Nothing here
//! touches disk or network, but for the machine's name.

mod environment;
mod git;
pub mod names;
mod parts;
mod read;
mod reader;
mod veil;

pub use environment::ImageEnvironment;
pub use git::GitConfig;
pub use http_client::{HttpUrl, NotAnHttpUrl, Proxies as ProxyConfig};
pub use parts::{
    Access, Approvals, ClaudeConfig, CodexConfig, DeliveryConfig, DispatchConfig, DoorToken,
    HeartbeatBinding, HeartbeatConfig, IdentityConfig, LogConfig, Mode, PathsConfig, PrepareConfig,
    ServerConfig, TaskAtStart,
};
pub(crate) use read::parse_host;
pub use reader::{ConfigError, Problem, ProblemKind};

use agent_core::skills;
use secrecy::SecretString;

use crate::runs::Limits;

/// Everything the executor was told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it was started.
    pub mode: Mode,
    /// What agents may do.
    pub access: Access,
    /// The task that came with the start.
    pub at_start: Option<TaskAtStart>,
    /// It was started ahead of its task.
    pub warm_pool: bool,
    /// Its name towards the platform.
    pub identity: IdentityConfig,
    /// The HTTP server.
    pub server: ServerConfig,
    /// Where callbacks go.
    pub delivery: DeliveryConfig,
    /// The sign of life.
    pub heartbeat: HeartbeatConfig,
    /// Folders.
    pub paths: PathsConfig,
    /// The Codex CLI.
    pub codex: CodexConfig,
    /// What the file is called in which a task's Codex events are kept. `None`: they are not kept.
    pub codex_events: Option<String>,
    /// The Claude Code CLI.
    pub claude: ClaudeConfig,
    /// What a turn may use.
    pub limits: Limits,
    /// What is done in workspaces.
    pub prepare: PrepareConfig,
    /// Git.
    pub git: GitConfig,
    /// Proxies of our own requests.
    pub proxies: ProxyConfig,
    /// What is logged.
    pub log: LogConfig,
    /// The model's key for `wegent-executor run`; tasks bring their own.
    pub openai_api_key: Option<SecretString>,
    /// The same for Claude Code.
    pub anthropic_api_key: Option<SecretString>,
    /// The whole environment as it was found, for tools. It holds secrets that tools must not see:
    /// what of it is passed on is decided where tools' environments are made.
    pub image_environment: ImageEnvironment,
    /// What is odd but doesn't keep the executor from working; to be logged once the log is there.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// How skills are fetched.
    pub(crate) fn skill_limits(&self) -> skills::Limits {
        skills::Limits {
            parallel: self.prepare.skill_downloads,
            ..skills::Limits::default()
        }
    }
}
