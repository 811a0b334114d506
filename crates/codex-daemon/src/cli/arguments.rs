//! What can be written on the command line.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

use super::values::{
    Answer, AskArguments, SetArguments, Slash, TargetArguments, assignment, session_name,
};
use crate::{config::Flags, exit, protocol::SessionName};

/// Keeps Codex warm, with its conversations, for as long as you work.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "codex-daemon", version, after_help = exit::ABOUT, subcommand_required = true)]
pub struct Cli {
    /// Another configuration file than ~/.config/codex-daemon/config.toml.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config_file: Option<PathBuf>,

    /// The daemon's socket.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Settings")]
    pub socket: Option<String>,

    /// Any setting, by its name in the configuration file; `codex-daemon config show` lists them.
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", value_parser = assignment, help_heading = "Settings")]
    pub settings: Vec<(String, String)>,

    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the daemon here, until it is told to end. This is what systemd starts.
    #[command(after_help = exit::ABOUT)]
    Run {
        /// Leave the terminal's session and log to the file only; what `start` uses.
        #[arg(long)]
        detached: bool,
    },
    /// Start the daemon in the background, unless it runs.
    #[command(after_help = exit::ABOUT)]
    Start {
        /// How many seconds it may take until it listens.
        #[arg(long, value_name = "SECONDS", default_value_t = 2)]
        wait: u64,
    },
    /// End the daemon, with Codex and everything it started.
    Stop,
    /// End the daemon and start it again; sessions are kept.
    Restart {
        /// Start only Codex again, as soon as no question is being answered.
        #[arg(long)]
        codex: bool,
    },
    /// Show how the daemon is.
    Status {
        /// Append a row of figures to this Markdown file instead.
        #[arg(long, value_name = "FILE")]
        append: Option<PathBuf>,
    },
    /// Say whether the daemon is well: exit code 0, or 7 with a reason per line.
    #[command(after_help = exit::ABOUT)]
    Health,
    /// Look at the socket, the lock, files and folders, and say what mends what is wrong.
    #[command(after_help = exit::ABOUT)]
    Check,
    /// Look at everything the daemon needs of this machine: Codex, its login, the sandbox, systemd.
    #[command(after_help = exit::ABOUT)]
    Doctor,
    /// Write the sessions, the history and Codex's conversations of them into an archive.
    Backup {
        /// The archive, a .tar.gz that isn't there yet.
        archive: PathBuf,
    },
    /// Restore an archive. No daemon may run.
    Restore {
        /// The archive.
        archive: PathBuf,
    },
    /// Print the figures as Prometheus text.
    Metrics,
    /// Print the log.
    Logs {
        /// Go on as it grows.
        #[arg(short, long)]
        follow: bool,
        /// How many of the last lines.
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
    },
    /// Show the configuration.
    Config {
        /// What of it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Ask Codex. Starts the daemon if need be.
    #[command(after_help = exit::ABOUT)]
    Ask(AskArguments),
    /// Show what happens in a session, and answer its requests for permission.
    Watch(TargetArguments),
    /// Answer a request for permission.
    Decide {
        /// Which, as `watch --json` or `show` names it.
        approval: String,
        /// The answer.
        #[arg(value_enum)]
        decision: Answer,
    },
    /// List the sessions.
    Sessions,
    /// Show a session.
    Show(TargetArguments),
    /// Let a session's conversation begin anew.
    Reset(TargetArguments),
    /// Copy a session's conversation into a new session.
    Fork {
        /// The session to copy.
        #[command(flatten)]
        target: TargetArguments,
        /// The new one's name.
        #[arg(value_parser = session_name)]
        name: SessionName,
    },
    /// Change a session's settings; they are kept.
    Set(SetArguments),
    /// Stop what a session is doing, and what waits in it.
    Interrupt(TargetArguments),
    /// Speak to somebody else's app-server; what the daemon itself starts for `attach`.
    #[command(hide = true)]
    Bridge {
        /// Its socket.
        app_server: PathBuf,
    },
    /// List Claude Code's `/codex-*` commands, or write them into a folder.
    Commands {
        /// The folder, such as `.claude/commands` of a project or `~/.claude/commands`.
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
    /// Serve MCP over standard input and output, so that Claude, or any MCP client, can call Codex.
    Mcp,
    /// What a `/codex-*` command without an argument runs.
    #[command(hide = true)]
    Slash {
        /// Which.
        #[arg(value_enum)]
        command: Slash,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder.
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

/// What of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Every setting, its value, and where that comes from.
    Show,
}

impl Cli {
    /// The settings among the flags.
    pub(crate) fn flags(&self) -> Flags {
        let mut values: BTreeMap<String, String> = self.settings.iter().cloned().collect();
        if let Some(socket) = &self.socket {
            values.insert("socket".to_owned(), socket.clone());
        }
        Flags {
            config: self.config_file.clone(),
            values,
        }
    }

    /// The same flags, for a daemon that is started with them.
    pub(crate) fn passed_on(&self) -> Vec<OsString> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut passed = Vec::new();
        if let Some(file) = &self.config_file {
            passed.extend(["--config-file".into(), absolute(file).into_os_string()]);
        }
        for (name, value) in self.flags().values {
            passed.extend(["--set".into(), format!("{name}={value}").into()]);
        }
        passed
    }
}

/// The spellings of the first plan: `--daemon`, `--health`, `--check`.
pub(crate) fn with_aliases(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if let Some(first) = arguments.get_mut(1) {
        let command = match first.to_str() {
            Some("--daemon") => "start",
            Some("--health") => "health",
            Some("--check") => "check",
            _ => return arguments,
        };
        *first = command.into();
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_parser_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_first_plans_spellings_still_work() {
        for (old, new) in [
            ("--daemon", "start"),
            ("--health", "health"),
            ("--check", "check"),
        ] {
            let line = |word: &str| with_aliases(vec!["codex-daemon".into(), word.into()]);
            let [old, new] = [old, new].map(|word| Cli::try_parse_from(line(word)).unwrap());
            assert_eq!(old, new);
        }
    }

    #[test]
    fn unknown_values_get_an_error_that_lists_the_allowed_ones() {
        for (line, hint) in [
            ("set --effort hihg", "high"),
            ("set --reasoning yes", "off"),
            ("set", "--final-only"),
            ("reset --session a/b", "can't name a session"),
            ("asks", "ask"),
        ] {
            let words = ["codex-daemon"].into_iter().chain(line.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(exit::USAGE));
            assert!(error.to_string().contains(hint), "{line}: {error}");
        }
    }
}
