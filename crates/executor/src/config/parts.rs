//! The parts of the configuration, each handed to the one module that needs it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use wegent_protocol::{FlatRules, Protocol};

use super::HttpUrl;
use agent_core::hook::{FileEditHook, PreExecuteHook};

use crate::{
    factory::Routing,
    heartbeat::{Bound, HeartbeatKind},
};

/// How the executor was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By Wegent's manager, in a container of its own: `EXECUTOR_MODE=docker`, or, as the manager of
    /// January 2026 doesn't set that, `TASK_INFO` or both `EXECUTOR_NAME` and `PORT`.
    Docker,
    /// By a person at a terminal.
    Local,
}

/// What agents may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything the process may: in docker mode, where the container is the sandbox, or on demand.
    Full,
    /// Write in the working folder only; anything else is refused.
    Workspace,
}

/// The executor's name towards the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Echoed in every callback; also the name of the folder that holds our journals.
    pub name: String,
    /// Echoed in every callback if known.
    pub namespace: Option<String>,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one.
    pub port: u16,
    /// What whoever asks has to bring; `None` lets everybody in.
    pub token: Option<DoorToken>,
    /// The largest request body in bytes; images come inline, as base64.
    pub max_body: usize,
    /// The largest file, or folder before it is zipped, that is downloaded from a workspace, in bytes.
    pub max_download: u64,
    /// Whether the routes of a sandbox answer in a container that is none.
    pub sandbox_routes: bool,
    /// Connections at a time. For a further one a connection without a request gives way; without one of those it waits.
    pub max_connections: usize,
    /// How long a request's head may take, and how long a kept connection may idle.
    pub head_timeout: Duration,
    /// How long a request's body may stall.
    pub body_stall_timeout: Duration,
    /// How long all of a request's body may take.
    pub body_timeout: Duration,
    /// How long nothing of an answer may be taken.
    pub write_stall_timeout: Duration,
    /// How long answers that are under way may take once the server stops.
    pub shutdown_grace: Duration,
    /// What holds of the turns that it takes.
    pub dispatch: DispatchConfig,
}

/// What whoever asks the executor has to bring.
#[derive(Clone, Debug)]
pub struct DoorToken(SecretString);

impl DoorToken {
    /// A token that can stand in a header: visible ASCII. `None` for any other text.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned().into()))
    }

    /// Whether this is the token. How long that takes to say depends on nothing but the lengths.
    pub fn opens(&self, given: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(given).into()
    }
}

impl PartialEq for DoorToken {
    fn eq(&self, other: &Self) -> bool {
        self.opens(other.0.expose_secret().as_bytes())
    }
}

impl Eq for DoorToken {}

/// What holds of turns, however they arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchConfig {
    /// What tasks with a flat payload may do.
    pub rules: FlatRules,
    /// The form of their callbacks; `None` leaves it to how they arrive.
    pub protocol: Option<Protocol>,
    /// Whether one that a restart cuts off is run again, where it can be.
    pub rerun: bool,
}

/// The task that came with the start, in `TASK_INFO`.
#[derive(Clone, Debug)]
pub struct TaskAtStart {
    /// The flat payload; it holds keys.
    pub payload: SecretString,
    /// How long after the start its end is held back. The manager reports the turn as running about two seconds after
    /// the container's start, which would undo an end that was told before.
    pub hold: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: 10001,
            token: None,
            max_body: 128 << 20,
            max_download: 500 << 20,
            sandbox_routes: false,
            max_connections: 128,
            head_timeout: Duration::from_secs(30),
            body_stall_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(300),
            write_stall_timeout: Duration::from_secs(30),
            // A cancel takes 4 s at most, and the process has to be gone 8 s after SIGTERM.
            shutdown_grace: Duration::from_secs(5),
            dispatch: DispatchConfig::default(),
        }
    }
}

/// Where callbacks go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Where callbacks are posted. `None` means that nobody listens, and they are dropped.
    pub callback_url: Option<HttpUrl>,
    /// The backend's base URL, for what a task needs to fetch.
    pub backend_url: Option<HttpUrl>,
}

/// The sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Whether it is sent.
    pub enabled: bool,
    /// Time between two of them.
    pub interval: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// The manager's base URL.
    pub base_url: Option<HttpUrl>,
    /// Whose life it tells of.
    pub binding: HeartbeatBinding,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            base_url: None,
            binding: HeartbeatBinding::None,
        }
    }
}

impl HeartbeatConfig {
    /// Whether the container is a sandbox from its start.
    pub fn is_sandbox(&self) -> bool {
        match &self.binding {
            HeartbeatBinding::Fixed(bound) => bound.kind == HeartbeatKind::Sandbox,
            HeartbeatBinding::None | HeartbeatBinding::FirstTask => false,
        }
    }
}

/// Whose life the heartbeats tell of, as far as it is known at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeartbeatBinding {
    /// Nobody's.
    None,
    /// This one's, whatever tasks come.
    Fixed(Bound),
    /// The first task's (warm-pool mode). From then on another task is refused.
    FirstTask,
}

/// Folders. All absolute; none is created or looked at when the configuration is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathsConfig {
    /// Holds a workspace for each task.
    pub workspace_root: PathBuf,
    /// The executor's own state.
    pub executor_home: PathBuf,
    /// The user's home folder, where there is one.
    pub user_home: Option<PathBuf>,
}

/// The Codex CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodexConfig {
    /// Whether it may run at all.
    pub enabled: bool,
    /// One home shared by all tasks; `None` gives each task its own.
    pub shared_home: Option<PathBuf>,
    /// The CLI; `None` looks it up on `PATH` when it is needed.
    pub binary: Option<PathBuf>,
    /// How long it may take to answer one request.
    pub rpc_timeout: Duration,
    /// How long a turn may take to show its first progress.
    pub turn_startup_timeout: Duration,
    /// How long a turn may be silent while no tool runs.
    pub silence: Duration,
    /// How long a whole turn may take.
    pub turn_timeout: Duration,
    /// How long an app-server may be idle before it is given back.
    pub idle: Duration,
    /// How long an app-server may wait for the answer to its question before it is given back.
    pub question: Duration,
    /// When it asks the person whether it may do something. If nothing is said: never, but on request where a person sits
    /// at a terminal.
    pub approvals: Option<Approvals>,
    /// How many app-servers may be alive at once.
    pub max_servers: usize,
    /// Which turns it gets beside its own.
    pub routing: Routing,
}

/// When the person is asked whether an agent may do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approvals {
    /// Never.
    #[default]
    Never,
    /// When it wants more than its sandbox allows.
    OnRequest,
    /// Before everything but what is known to be harmless.
    Untrusted,
}

impl Default for CodexConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            shared_home: None,
            binary: None,
            rpc_timeout: Duration::from_secs(300),
            turn_startup_timeout: Duration::from_secs(180),
            silence: Duration::from_secs(600),
            turn_timeout: Duration::from_secs(86_400),
            idle: Duration::from_secs(600),
            question: Duration::from_secs(3600),
            approvals: None,
            max_servers: 32,
            routing: Routing::default(),
        }
    }
}

/// The Claude Code CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaudeConfig {
    /// The CLI; `None` looks it up when it is needed.
    pub binary: Option<PathBuf>,
    /// How long a whole turn may take.
    pub turn_timeout: Duration,
    /// How long a turn may take to show anything.
    pub turn_startup_timeout: Duration,
    /// How long a turn may be silent while no tool runs.
    pub silence: Duration,
    /// How long a process may be idle before it is given back.
    pub idle: Duration,
    /// Whether the CLI reaches the model through our key proxy.
    pub key_proxy: bool,
}

impl Default for ClaudeConfig {
    fn default() -> Self {
        Self {
            binary: None,
            turn_timeout: Duration::from_secs(86_400),
            turn_startup_timeout: Duration::from_secs(300),
            silence: Duration::from_secs(600),
            idle: Duration::from_secs(600),
            key_proxy: true,
        }
    }
}

/// What is done in a workspace before an agent works there, and while it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareConfig {
    /// Names of rule files, as they were given; what of them may be read is decided where they are.
    pub rule_files: Vec<String>,
    /// What runs before every turn.
    pub pre_execute: Option<PreExecuteHook>,
    /// What runs before and after every edit of a file.
    pub file_edit: Option<FileEditHook>,
    /// How many skills are downloaded at once.
    pub skill_downloads: usize,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `tracing` directives, already checked.
    pub filter: String,
}
