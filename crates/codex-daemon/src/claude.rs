//! `claude-codex`: Claude Code with Codex at hand.
//!
//! It sees to it that a daemon runs, lays the `/codex-*` commands into a folder of its own, and becomes `claude`: the same
//! process, so terminal, signals and exit code are Claude Code's, with every argument as it was given. Before them stands
//! one more, `--add-dir` with that folder. The user's own files are neither read nor written.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use host::{error_chain, program};
use supervisor::Replacement;

use crate::{
    config::{Config, ConfigError, FOLDER_VARIABLE, Flags, Origin, ProcessEnvironment},
    exit,
    paths::{self, PathError},
    slash, start,
};

/// How long the daemon may take to listen before Claude Code starts without waiting for it.
const WAIT: Duration = Duration::from_secs(2);

/// Why Claude Code can't be started.
#[derive(Debug, thiserror::Error)]
enum ClaudeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("there is no Claude Code: set `claude` to it, or put `claude` on PATH")]
    NoClaude,
    #[error("`{}` can't be run", program.display())]
    Exec {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl ClaudeError {
    /// As shells have it.
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => exit::USAGE,
            Self::NoClaude => 127,
            Self::Exec { .. } => 126,
        }
    }
}

/// Why there are no `/codex-*` commands; Claude Code itself can be started.
#[derive(Debug, thiserror::Error)]
enum Without {
    #[error("`codex-daemon` is neither beside `claude-codex` nor on PATH")]
    NoDaemon,
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("the commands can't be written to `{}`", path.display())]
    Commands {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    let error = run(
        &ProcessEnvironment::of_process(),
        std::env::args_os().skip(1).collect(),
    );
    warn(&error);
    ExitCode::from(error.code())
}

fn warn(error: &dyn std::error::Error) {
    eprintln!("claude-codex: {}", error_chain(error));
}

/// Becomes Claude Code, or says why not.
fn run(environment: &ProcessEnvironment, given: Vec<OsString>) -> ClaudeError {
    match prepared(environment, given) {
        Ok(claude) => ClaudeError::Exec {
            source: claude.exec(),
            program: claude.program,
        },
        Err(error) => error,
    }
}

fn prepared(
    environment: &ProcessEnvironment,
    given: Vec<OsString>,
) -> Result<Replacement, ClaudeError> {
    let config = Config::read(&Flags::default(), environment)?;
    let program = claude(&config, environment).ok_or(ClaudeError::NoClaude)?;
    let mut env: Vec<(OsString, OsString)> = environment.for_children().collect();
    let mut args = Vec::new();
    if !only_tells(&given) {
        let own = own_folder();
        let daemon = daemon(own.as_deref(), environment);
        set(&mut env, variables(&config, environment, own.as_deref()));
        match commands(&config) {
            Ok(folder) => {
                let mut add = OsString::from("--add-dir=");
                add.push(folder);
                args.push(add);
            }
            Err(why) => warn(&why),
        }
        match daemon.ok_or(Without::NoDaemon) {
            Ok(daemon) => have_daemon(&config, &daemon, &env),
            Err(why) => warn(&why),
        }
    }
    args.extend(given);
    Ok(Replacement {
        program,
        name: "claude".into(),
        args,
        env: env.into_iter().collect(),
    })
}

/// Whether Claude Code only tells of itself.
fn only_tells(given: &[OsString]) -> bool {
    let first = given.first().and_then(|first| first.to_str());
    matches!(first, Some("--version" | "-v" | "--help" | "-h"))
}

fn claude(config: &Config, environment: &ProcessEnvironment) -> Option<PathBuf> {
    let installed = || {
        let home = environment.path("HOME")?;
        Some(home.join(".local/bin/claude")).filter(|path| program::is_executable(path))
    };
    config
        .claude
        .clone()
        .or_else(|| program::on_path("claude", environment.get("PATH")))
        .or_else(installed)
}

fn own_folder() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.parent().map(Path::to_owned)
}

/// The daemon's program: the one that was installed with us.
fn daemon(own: Option<&Path>, environment: &ProcessEnvironment) -> Option<PathBuf> {
    own.map(|folder| folder.join("codex-daemon"))
        .filter(|path| program::is_executable(path))
        .or_else(|| program::on_path("codex-daemon", environment.get("PATH")))
}

/// The folder with the commands.
fn commands(config: &Config) -> Result<PathBuf, Without> {
    paths::private_folder(&config.state_dir)?;
    let folder = config.state_dir.join("claude");
    paths::private_folder(&folder)?;
    slash::write(&folder.join(".claude/commands"))
        .map_err(|(path, source)| Without::Commands { path, source })?;
    Ok(folder)
}

/// What Claude Code's environment has besides: which daemon, which session, and how long a daemon stays that is started
/// for it.
fn variables(
    config: &Config,
    environment: &ProcessEnvironment,
    own: Option<&Path>,
) -> Vec<(OsString, OsString)> {
    let mut more = vec![("CODEX_DAEMON_SOCKET".into(), config.socket.clone().into())];
    if environment.get(FOLDER_VARIABLE).is_none()
        && let Ok(folder) = std::env::current_dir()
    {
        more.push((FOLDER_VARIABLE.into(), folder.into()));
    }
    let idle = config
        .found
        .iter()
        .find(|found| found.key == "idle_exit_minutes");
    if idle.is_some_and(|found| found.origin == Origin::Default) {
        let minutes = config.claude_idle_minutes.to_string();
        more.push(("CODEX_DAEMON_IDLE_EXIT_MINUTES".into(), minutes.into()));
    }
    let path = environment.get("PATH");
    if let Some(own) = own
        && program::on_path("codex-daemon", path).is_none()
    {
        let mut longer = path.unwrap_or_default().to_owned();
        longer.push(if longer.is_empty() { "" } else { ":" });
        longer.push(own);
        more.push(("PATH".into(), longer));
    }
    more
}

fn set(env: &mut Vec<(OsString, OsString)>, more: Vec<(OsString, OsString)>) {
    env.retain(|(name, _)| !more.iter().any(|(new, _)| new == name));
    env.extend(more);
}

/// Sees to it that a daemon runs. Without one Claude Code is started all the same: the commands start it, or say why not.
fn have_daemon(config: &Config, daemon: &Path, env: &[(OsString, OsString)]) {
    let env = env.iter().cloned().collect();
    if let Err(error) = start::by_command(daemon, &[], env, &config.state_dir, WAIT) {
        warn(&error);
    }
}
