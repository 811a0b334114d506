//! What the daemon is set to: flag before environment before file before default, and where each value came from.

mod environment;
mod settings;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

pub use self::{
    environment::ProcessEnvironment,
    settings::{SETTINGS, Setting},
};
use crate::protocol::Decision;

/// Names the folder whose session is meant where no other is: `claude-codex` sets it, as Claude Code's shells wander.
pub const FOLDER_VARIABLE: &str = "CODEX_DAEMON_CWD";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment, {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A value as text, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The setting's name.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file `{}` can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration file `{}` is not valid TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Nobody knows the name.
    #[error("`{key}` ({origin}) is not a setting; the settings are: {}", names())]
    UnknownKey {
        /// The name.
        key: String,
        /// Where it stands.
        origin: Origin,
    },
    /// The value can't be understood.
    #[error("`{key}` ({origin}): expected {expected}, got `{value}`")]
    BadValue {
        /// The setting.
        key: &'static str,
        /// Where the value came from.
        origin: Origin,
        /// What would be right.
        expected: &'static str,
        /// The value.
        value: String,
    },
    /// There is no folder to put anything into.
    #[error("neither `HOME` nor `{0}` is set, so there is no folder for the daemon's files")]
    NoHome(&'static str),
}

fn names() -> String {
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    names.join(", ")
}

/// What Codex may do on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read everything, write nothing.
    ReadOnly,
    /// Write the working directory and temporary folders, no network; asks for more.
    WorkspaceWrite,
    /// Whatever the user may, without asking. Never by default.
    Full,
}

impl Access {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::Full => "full",
        }
    }
}

/// Bounds of what clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients at once.
    pub clients: usize,
    /// The longest line of a client, in bytes.
    pub line: usize,
    /// Questions that may wait in a session.
    pub queue: usize,
    /// Sessions.
    pub sessions: usize,
    /// How long a client may not read before it is let go.
    pub client_stall: Duration,
}

/// Bounds of what the processes may take; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Resident memory of Codex and the daemon together, in MiB.
    pub rss_mib: u64,
    /// Open files of each.
    pub open_files: u64,
    /// Whether Codex is started again when one is passed.
    pub restart: bool,
}

/// What the daemon is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The socket clients connect to. The lock lies beside it.
    pub socket: PathBuf,
    /// The file that says which process it is.
    pub pid_file: PathBuf,
    /// Where sessions, history and alerts are kept.
    pub state_dir: PathBuf,
    /// Where the log goes.
    pub log_file: PathBuf,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: tracing::Level,
    /// When the log is put aside, in MiB, and how many old ones are kept.
    pub log_rotation: (u64, usize),
    /// The Codex CLI; `None` looks on `PATH`.
    pub codex: Option<PathBuf>,
    /// The Claude Code CLI; `None` looks for it.
    pub claude: Option<PathBuf>,
    /// After how many idle minutes a daemon ends that was started for `claude-codex`; 0: never.
    pub claude_idle_minutes: u64,
    /// The socket of an app-server of somebody else's that is to be used.
    pub attach: Option<PathBuf>,
    /// What Codex may do.
    pub access: Access,
    /// How long a request for permission waits.
    pub approval_timeout: Duration,
    /// What is answered then.
    pub approval_default: Decision,
    /// Whether a Codex that ended or hangs is started again.
    pub auto_restart: bool,
    /// How often Codex is asked whether it is there, and how long it may take.
    pub probe: (Duration, Duration),
    /// How long Codex may take to shake hands.
    pub handshake_timeout: Duration,
    /// After how long without clients and questions the daemon ends; `None`: never.
    pub idle_exit: Option<Duration>,
    /// Bounds for clients.
    pub limits: Limits,
    /// Bounds for processes.
    pub resources: Resources,
    /// How long history is kept; `None`: there is none.
    pub history: Option<Duration>,
    /// What is run when something fails.
    pub on_alert: Vec<String>,
    /// Whether `XDG_RUNTIME_DIR` was there.
    pub has_runtime_dir: bool,
    /// Every value with where it came from.
    pub found: Vec<Found>,
}

/// What the command line sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Another configuration file than the default.
    pub config: Option<PathBuf>,
    /// Settings by name.
    pub values: BTreeMap<String, String>,
}

impl Config {
    /// Puts everything together.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and where it stands.
    pub fn read(flags: &Flags, environment: &ProcessEnvironment) -> Result<Self, ConfigError> {
        let file = read_file(flags, environment)?;
        for key in flags.values.keys() {
            known(key, &Origin::Flag)?;
        }
        let defaults = settings::Places::of(environment)?;
        let found = SETTINGS
            .iter()
            .map(|setting| setting.find(flags, environment, &file, &defaults))
            .collect();
        settings::typed(found, &defaults)
    }
}

/// The file's values as text.
struct File {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

fn known(key: &str, origin: &Origin) -> Result<(), ConfigError> {
    if SETTINGS.iter().any(|setting| setting.key == key) {
        return Ok(());
    }
    Err(ConfigError::UnknownKey {
        key: key.to_owned(),
        origin: origin.clone(),
    })
}

fn read_file(flags: &Flags, environment: &ProcessEnvironment) -> Result<File, ConfigError> {
    let given = flags
        .config
        .clone()
        .or_else(|| environment.path("CODEX_DAEMON_CONFIG"));
    let path = match &given {
        Some(path) => path.clone(),
        None => settings::config_folder(environment)?.join("config.toml"),
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => String::new(),
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let table: toml::Table = text.parse().map_err(|source| ConfigError::Syntax {
        path: path.clone(),
        source: Box::new(source),
    })?;
    let origin = Origin::File(path.clone());
    let mut values = BTreeMap::new();
    for (key, value) in table {
        known(&key, &origin)?;
        values.insert(key, as_text(&value));
    }
    Ok(File { path, values })
}

fn as_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        // A list reads the same in TOML and in the environment.
        other => other.to_string(),
    }
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
