//! The settings by name, their defaults, and their types.

use std::{path::PathBuf, time::Duration};

use super::{
    Access, Config, ConfigError, File, Flags, Found, Limits, Origin, ProcessEnvironment, Resources,
};
use crate::protocol::Decision;

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in the file, and with `--set`.
    pub key: &'static str,
    /// Its variable.
    pub variable: &'static str,
    /// Its default as text; empty where it is worked out, or is nothing.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
}

macro_rules! settings {
    ($($key:literal $variable:literal $default:literal $about:literal)*) => {
        /// Every setting. The table in the documentation is made of it.
        pub const SETTINGS: &[Setting] = &[
            $(Setting { key: $key, variable: $variable, default: $default, about: $about }),*
        ];
    };
}

settings! {
    "socket" "CODEX_DAEMON_SOCKET" ""
        "The socket clients connect to. Default: `$XDG_RUNTIME_DIR/codex-daemon/daemon.sock`, else `run/daemon.sock` in the state folder."
    "pid_file" "CODEX_DAEMON_PID_FILE" "" "The file with the process id. Default: `daemon.pid` beside the socket."
    "state_dir" "CODEX_DAEMON_STATE_DIR" ""
        "Sessions and history. Default: `$XDG_STATE_HOME/codex-daemon`, else `~/.local/state/codex-daemon`."
    "log_file" "CODEX_DAEMON_LOG_FILE" "" "The log. Default: `daemon.log` in the state folder."
    "log_level" "CODEX_DAEMON_LOG_LEVEL" "info" "`error`, `warn`, `info`, `debug` or `trace`. Prompts are never logged at `info`."
    "log_max_mib" "CODEX_DAEMON_LOG_MAX_MIB" "10" "The log is put aside when it is larger, in MiB."
    "log_keep" "CODEX_DAEMON_LOG_KEEP" "3" "How many logs that were put aside are kept."
    "codex" "CODEX_DAEMON_CODEX" "" "The Codex CLI. Default: `codex` on `PATH`."
    "claude" "CODEX_DAEMON_CLAUDE" "" "The Claude Code CLI that `claude-codex` runs. Default: `claude` on `PATH`, else in `~/.local/bin`."
    "claude_idle_minutes" "CODEX_DAEMON_CLAUDE_IDLE_MINUTES" "30" "`idle_exit_minutes` of a daemon that is started for `claude-codex`, where that is not set."
    "attach" "CODEX_DAEMON_ATTACH" "" "The socket of a running `codex app-server --listen unix://…` to use instead of one of our own."
    "access" "CODEX_DAEMON_ACCESS" "workspace-write" "`workspace-write` (asks before it does more), `read-only`, or `full` (never asks)."
    "approval_timeout_seconds" "CODEX_DAEMON_APPROVAL_TIMEOUT_SECONDS" "300" "How long a request for permission waits for an answer."
    "approval_default" "CODEX_DAEMON_APPROVAL_DEFAULT" "decline" "What is answered then, and when nobody is there to ask: `decline` or `cancel`."
    "auto_restart" "CODEX_DAEMON_AUTO_RESTART" "on" "Whether a Codex that ended or hangs is started again."
    "probe_seconds" "CODEX_DAEMON_PROBE_SECONDS" "5" "How often Codex is asked whether it is still there."
    "probe_timeout_seconds" "CODEX_DAEMON_PROBE_TIMEOUT_SECONDS" "5" "How long it may take to answer that before it counts as hung."
    "handshake_timeout_seconds" "CODEX_DAEMON_HANDSHAKE_TIMEOUT_SECONDS" "10" "How long Codex may take to shake hands."
    "idle_exit_minutes" "CODEX_DAEMON_IDLE_EXIT_MINUTES" "0" "The daemon ends after that long without clients and questions; 0: never."
    "max_clients" "CODEX_DAEMON_MAX_CLIENTS" "128" "Clients at once."
    "max_line_kib" "CODEX_DAEMON_MAX_LINE_KIB" "4096" "The longest line of a client, in KiB."
    "max_queue" "CODEX_DAEMON_MAX_QUEUE" "32" "Questions that may wait in a session."
    "max_sessions" "CODEX_DAEMON_MAX_SESSIONS" "256" "Sessions; when there are more, the one that was used longest ago is forgotten."
    "client_stall_seconds" "CODEX_DAEMON_CLIENT_STALL_SECONDS" "30" "A client that reads nothing for that long is let go."
    "rss_limit_mib" "CODEX_DAEMON_RSS_LIMIT_MIB" "0" "A warning when daemon and Codex together hold more memory; 0: none."
    "open_files_limit" "CODEX_DAEMON_OPEN_FILES_LIMIT" "0" "A warning when daemon or Codex has more files open; 0: none."
    "restart_over_limit" "CODEX_DAEMON_RESTART_OVER_LIMIT" "off" "Whether Codex is then started again, between questions."
    "history_days" "CODEX_DAEMON_HISTORY_DAYS" "0" "How long questions and answers are kept in the state folder, compressed; 0: not at all."
    "on_alert" "CODEX_DAEMON_ON_ALERT" "[]" "A command that is run when something fails, as a list: `[\"notify-send\", \"codex-daemon\"]`. The reason is its last argument."
}

impl Setting {
    pub(super) fn find(
        &self,
        flags: &Flags,
        environment: &ProcessEnvironment,
        file: &File,
        places: &Places,
    ) -> Found {
        let found = |value: &str, origin| Found {
            key: self.key,
            value: value.to_owned(),
            origin,
        };
        if let Some(value) = flags.values.get(self.key) {
            return found(value, Origin::Flag);
        }
        if let Some(value) = environment.text(self.variable) {
            return found(value, Origin::Environment(self.variable.to_owned()));
        }
        if let Some(value) = file.values.get(self.key) {
            return found(value, Origin::File(file.path.clone()));
        }
        found(&places.default_of(self), Origin::Default)
    }
}

/// Where things lie unless somebody says otherwise.
pub(super) struct Places {
    runtime: Option<PathBuf>,
    state: PathBuf,
}

fn home_or(
    environment: &ProcessEnvironment,
    variable: &'static str,
    below: &str,
) -> Result<PathBuf, ConfigError> {
    let named = environment.path(variable);
    let home = || environment.path("HOME").map(|home| home.join(below));
    named.or_else(home).ok_or(ConfigError::NoHome(variable))
}

pub(super) fn config_folder(environment: &ProcessEnvironment) -> Result<PathBuf, ConfigError> {
    let base = home_or(environment, "XDG_CONFIG_HOME", ".config")?;
    Ok(base.join("codex-daemon"))
}

impl Places {
    pub(super) fn of(environment: &ProcessEnvironment) -> Result<Self, ConfigError> {
        let state = home_or(environment, "XDG_STATE_HOME", ".local/state")?;
        Ok(Self {
            runtime: environment.path("XDG_RUNTIME_DIR"),
            state: state.join("codex-daemon"),
        })
    }

    /// What depends on other settings is worked out later.
    fn default_of(&self, setting: &Setting) -> String {
        match setting.key {
            "state_dir" => self.state.display().to_string(),
            _ => setting.default.to_owned(),
        }
    }
}

/// The values with their types.
pub(super) fn typed(mut found: Vec<Found>, places: &Places) -> Result<Config, ConfigError> {
    let state_dir = Reader(&found).path("state_dir");
    fill(&mut found, "socket", || match &places.runtime {
        Some(runtime) => runtime.join("codex-daemon/daemon.sock"),
        None => state_dir.join("run/daemon.sock"),
    });
    let socket = Reader(&found).path("socket");
    fill(&mut found, "pid_file", || {
        super::folder_of(&socket).join("daemon.pid")
    });
    fill(&mut found, "log_file", || state_dir.join("daemon.log"));
    let read = Reader(&found);
    let seconds = |key| read.number(key).map(Duration::from_secs);
    let day = 24 * 60 * 60;
    Ok(Config {
        socket,
        pid_file: read.path("pid_file"),
        state_dir,
        log_file: read.path("log_file"),
        log_level: read.choice("log_level", "a log level", |text| text.parse().ok())?,
        log_rotation: (read.positive("log_max_mib")?, read.count("log_keep")?),
        codex: read.optional_path("codex"),
        claude: read.optional_path("claude"),
        claude_idle_minutes: read.number("claude_idle_minutes")?,
        attach: read.optional_path("attach"),
        access: read.choice("access", "workspace-write, read-only or full", access)?,
        approval_timeout: seconds("approval_timeout_seconds")?,
        approval_default: read.choice("approval_default", "decline or cancel", refusal)?,
        auto_restart: read.switch("auto_restart")?,
        probe: (
            Duration::from_secs(read.positive("probe_seconds")?),
            Duration::from_secs(read.positive("probe_timeout_seconds")?),
        ),
        handshake_timeout: Duration::from_secs(read.positive("handshake_timeout_seconds")?),
        idle_exit: non_zero(read.number("idle_exit_minutes")?, 60),
        limits: Limits {
            clients: read.count("max_clients")?.max(1),
            line: read.count("max_line_kib")?.max(1) << 10,
            queue: read.count("max_queue")?,
            sessions: read.count("max_sessions")?.max(1),
            client_stall: Duration::from_secs(read.positive("client_stall_seconds")?),
        },
        resources: Resources {
            rss_mib: read.number("rss_limit_mib")?,
            open_files: read.number("open_files_limit")?,
            restart: read.switch("restart_over_limit")?,
        },
        history: non_zero(read.number("history_days")?, day),
        on_alert: read.choice("on_alert", "a list of texts", |text| {
            serde_json::from_str(text).ok()
        })?,
        has_runtime_dir: places.runtime.is_some(),
        found,
    })
}

fn fill(found: &mut [Found], key: &str, default: impl FnOnce() -> PathBuf) {
    let empty = |found: &&mut Found| found.key == key && found.value.is_empty();
    if let Some(found) = found.iter_mut().find(empty) {
        found.value = default().display().to_string();
    }
}

fn non_zero(number: u64, unit: u64) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(number.saturating_mul(unit)))
}

fn access(text: &str) -> Option<Access> {
    [Access::ReadOnly, Access::WorkspaceWrite, Access::Full]
        .into_iter()
        .find(|access| access.as_str() == text)
}

fn refusal(text: &str) -> Option<Decision> {
    match text {
        "decline" => Some(Decision::Decline),
        "cancel" => Some(Decision::Cancel),
        _ => None,
    }
}

struct Reader<'a>(&'a [Found]);

impl Reader<'_> {
    fn get(&self, key: &'static str) -> &Found {
        let found = self.0.iter().find(|found| found.key == key);
        found.expect("every setting has been looked for")
    }

    fn choice<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let found = self.get(key);
        parse(&found.value).ok_or_else(|| ConfigError::BadValue {
            key,
            origin: found.origin.clone(),
            expected,
            value: found.value.clone(),
        })
    }

    fn path(&self, key: &'static str) -> PathBuf {
        PathBuf::from(&self.get(key).value)
    }

    fn optional_path(&self, key: &'static str) -> Option<PathBuf> {
        let value = &self.get(key).value;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    fn number(&self, key: &'static str) -> Result<u64, ConfigError> {
        self.choice(key, "a whole number", |text| text.parse().ok())
    }

    fn positive(&self, key: &'static str) -> Result<u64, ConfigError> {
        let positive = |text: &str| text.parse().ok().filter(|number| *number > 0);
        self.choice(key, "a whole number above 0", positive)
    }

    fn count(&self, key: &'static str) -> Result<usize, ConfigError> {
        self.choice(key, "a whole number", |text| text.parse().ok())
    }

    fn switch(&self, key: &'static str) -> Result<bool, ConfigError> {
        self.choice(key, "on or off", |text| match text {
            "on" | "true" | "1" => Some(true),
            "off" | "false" | "0" => Some(false),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn environment(home: &std::path::Path) -> ProcessEnvironment {
        [("HOME", home)].into_iter().collect()
    }

    #[test]
    fn flag_goes_before_environment_before_file_before_default() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/codex-daemon");
        fs::create_dir_all(&folder).unwrap();
        let file =
            "max_clients = 1\nmax_queue = 1\nmax_sessions = 1\non_alert = [\"say\", \"it\"]\n";
        fs::write(folder.join("config.toml"), file).unwrap();
        let environment: ProcessEnvironment = environment(home.path())
            .for_children()
            .chain([
                ("CODEX_DAEMON_MAX_QUEUE".into(), "2".into()),
                ("CODEX_DAEMON_MAX_SESSIONS".into(), "2".into()),
            ])
            .collect();
        let mut flags = Flags::default();
        flags.values.insert("max_sessions".into(), "3".into());
        let config = Config::read(&flags, &environment).unwrap();
        let limits = config.limits;
        assert_eq!((limits.clients, limits.queue, limits.sessions), (1, 2, 3));
        assert_eq!(config.on_alert, ["say", "it"]);
        let origin = |key| {
            let found = config.found.iter().find(|found| found.key == key);
            found.unwrap().origin.to_string()
        };
        assert!(origin("max_clients").ends_with("config.toml"));
        assert_eq!(origin("max_queue"), "environment, CODEX_DAEMON_MAX_QUEUE");
        assert_eq!(origin("max_sessions"), "flag");
        assert_eq!(origin("access"), "default");
        assert_eq!(config.access, Access::WorkspaceWrite);
    }

    #[test]
    fn a_mistake_names_the_setting_and_its_place() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let error = |key: &str, value: &str| {
            let mut flags = Flags::default();
            flags.values.insert(key.into(), value.into());
            Config::read(&flags, &environment).unwrap_err().to_string()
        };
        let unknown = error("max_client", "1");
        assert!(
            unknown.contains("max_client") && unknown.contains("max_clients"),
            "{unknown}"
        );
        assert!(error("max_clients", "many").contains("`max_clients` (flag)"));
        assert!(error("access", "everything").contains("workspace-write"));
        assert!(error("probe_seconds", "0").contains("above 0"));
    }

    #[test]
    fn without_a_runtime_folder_the_socket_lies_with_the_state() {
        let home = tempfile::tempdir().unwrap();
        let config = Config::read(&Flags::default(), &environment(home.path())).unwrap();
        let state = home.path().join(".local/state/codex-daemon");
        assert_eq!(config.socket, state.join("run/daemon.sock"));
        assert_eq!(config.pid_file, state.join("run/daemon.pid"));
        assert!(!config.has_runtime_dir);
        let nowhere = Config::read(&Flags::default(), &ProcessEnvironment::default());
        assert!(nowhere.unwrap_err().to_string().contains("HOME"));
    }
}
