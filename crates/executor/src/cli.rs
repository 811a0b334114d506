//! The command line.
//!
//! Secrets never come by argument: everyone on the machine can read those. The guard, a re-exec of this
//! binary in front of every agent, is handled before this parser is asked.

use std::{net::IpAddr, path::PathBuf};

use agent_core::AgentKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::{
    config::{Mode, ServerConfig, parse_host},
    init_data::ImageReference,
};

/// Exit code for a command line that isn't understood.
pub const EXIT_USAGE: u8 = 2;
/// Exit code for a configuration or a server that doesn't work.
pub const EXIT_FAILURE: u8 = 1;

/// Runs coding agents for Wegent.
///
/// Without a command it serves if it was started as Wegent's manager starts it (EXECUTOR_MODE=docker, or
/// TASK_INFO, or both EXECUTOR_NAME and PORT), else it prints this help.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "wegent-executor", version, disable_version_flag = true)]
pub struct Cli {
    /// Print the version.
    #[arg(short = 'v', long = "version", action = ArgAction::Version)]
    version: Option<bool>,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve Wegent's manager over HTTP; configured by environment variables.
    Serve(Serve),
    /// Run one turn here, without Wegent.
    Run(Run),
    /// Say what this executor can do, as it is configured.
    Capabilities(Listing),
    /// Say what is wrong with this machine or its configuration, and what mends it. Exits with 1 if anything is.
    Doctor(Listing),
    /// Write what a Wegent is to know of this executor.
    #[command(subcommand)]
    InitData(InitData),
    /// Tell git a credential; git itself calls this.
    #[command(hide = true)]
    GitCredential(GitCredential),
}

/// Files for the `init_data` folder of Wegent's backend.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum InitData {
    /// Write the Codex shell, an example team and a smoke skill; nothing that exists is replaced.
    Render(Render),
}

/// What to write, and where.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Render {
    /// The image that the shell is to run; it has to hold the agents' CLIs.
    #[arg(long, value_name = "IMAGE")]
    pub image: ImageReference,

    /// The folder to write to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub to: PathBuf,
}

/// The credential helper, see git-credential(1).
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct GitCredential {
    /// Where the executor listens.
    pub socket: PathBuf,

    /// What git wants: get, store or erase.
    pub operation: String,
}

/// Overrides of `serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Serve {
    /// Address to listen on, instead of HOST.
    #[arg(long, value_name = "ADDRESS", value_parser = host)]
    pub host: Option<IpAddr>,

    /// Port to listen on, instead of PORT; 0 takes any free one.
    #[arg(long)]
    pub port: Option<u16>,
}

impl Serve {
    /// Puts the overrides into the server's configuration.
    pub fn apply(&self, server: &mut ServerConfig) {
        server.host = self.host.unwrap_or(server.host);
        server.port = self.port.unwrap_or(server.port);
    }
}

/// How something is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct Listing {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// One turn without Wegent. The model's key comes from OPENAI_API_KEY or a file.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Run {
    /// The agent.
    #[arg(long, value_enum)]
    pub shell: Shell,

    /// What to say to it.
    #[arg(long, value_name = "TEXT")]
    pub prompt: String,

    /// The folder to work in. Default: the current one.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,

    /// The provider's model id. Default: the agent's choice.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,

    /// The provider's base URL. Default: the agent's choice.
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,

    /// A file that holds the model's key, instead of OPENAI_API_KEY.
    #[arg(long, value_name = "PATH")]
    pub api_key_file: Option<PathBuf>,

    /// Let the agent do whatever this user may, without asking.
    #[arg(long)]
    pub full_access: bool,

    /// Go on with the last conversation in this folder.
    #[arg(long = "continue")]
    pub continue_last: bool,

    /// Print the callbacks that Wegent would get, one JSON object per line.
    #[arg(long)]
    pub json: bool,
}

/// An agent, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// OpenAI's Codex.
    Codex,
    /// Anthropic's Claude Code.
    #[value(alias = "claudecode", alias = "claude")]
    ClaudeCode,
}

impl From<Shell> for AgentKind {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Codex => Self::Codex,
            Shell::ClaudeCode => Self::ClaudeCode,
        }
    }
}

impl Cli {
    /// What to do, where the bare binary serves only in docker mode.
    ///
    /// # Errors
    /// The help, to be printed with [`EXIT_USAGE`], if there is nothing to do.
    pub fn command(self, mode: Mode) -> Result<Command, clap::Error> {
        match (self.command, mode) {
            (Some(command), _) => Ok(command),
            (None, Mode::Docker) => Ok(Command::Serve(Serve::default())),
            (None, Mode::Local) => {
                let parser = Self::command_factory().arg_required_else_help(true);
                let help = parser.try_get_matches_from(["wegent-executor"]);
                Err(help.expect_err("the parser was told to want an argument"))
            }
        }
    }

    fn command_factory() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

fn host(text: &str) -> Result<IpAddr, &'static str> {
    parse_host(text).ok_or("expected an IP address or localhost")
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let arguments = line.split_whitespace();
        Cli::try_parse_from(["wegent-executor"].into_iter().chain(arguments))
    }

    #[test]
    fn the_parser_is_consistent() {
        Cli::command_factory().debug_assert();
    }

    #[test]
    fn init_data_takes_an_image_that_is_one() {
        let command = parse("init-data render --image reg:5000/a:1 --to /x").unwrap();
        let Some(Command::InitData(InitData::Render(render))) = command.command else {
            panic!("{command:?}");
        };
        assert_eq!(render.to, PathBuf::from("/x"));
        for wrong in [
            "init-data render",
            "init-data render --image a:b:c",
            "init-data",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn serve_takes_address_and_port() {
        let command = parse("serve --host localhost --port 0").unwrap().command;
        let Some(Command::Serve(serve)) = command else {
            panic!("{command:?}");
        };
        let mut server = ServerConfig::default();
        serve.apply(&mut server);
        assert_eq!((server.host, server.port), ([127, 0, 0, 1].into(), 0));
        Serve::default().apply(&mut server);
        assert_eq!((server.host, server.port), ([127, 0, 0, 1].into(), 0));
    }

    #[test]
    fn run_takes_everything_but_a_key() {
        let line = "run --shell codex --prompt hi --cwd /tmp --model m --base-url http://m/v1 \
                    --api-key-file /k --full-access --continue --json";
        let Some(Command::Run(run)) = parse(line).unwrap().command else {
            panic!("not run");
        };
        assert_eq!(AgentKind::from(run.shell), AgentKind::Codex);
        assert_eq!(run.prompt, "hi");
        assert_eq!(run.api_key_file, Some(PathBuf::from("/k")));
        assert!(run.full_access && run.continue_last && run.json);
        assert!(parse("run --shell codex --prompt hi --api-key sk-1").is_err());
    }

    #[test]
    fn the_bare_binary_serves_in_docker_mode_only() {
        let serve = parse("").unwrap().command(Mode::Docker).unwrap();
        assert_eq!(serve, Command::Serve(Serve::default()));
        let help = parse("").unwrap().command(Mode::Local).unwrap_err();
        assert_eq!(help.exit_code(), i32::from(EXIT_USAGE));
        let help = help.to_string();
        assert!(help.starts_with("Runs coding agents"), "{help}");
        assert!(help.contains("Usage: wegent-executor"), "{help}");
    }

    #[test]
    fn the_version_is_printed_for_both_spellings() {
        for flag in ["-v", "--version"] {
            let version = parse(flag).unwrap_err();
            assert_eq!(version.kind(), ErrorKind::DisplayVersion);
            assert_eq!(version.exit_code(), 0);
            let expected = concat!("wegent-executor ", env!("CARGO_PKG_VERSION"), "\n");
            assert_eq!(version.to_string(), expected);
        }
    }

    #[test]
    fn mistakes_exit_with_2_and_a_suggestion() {
        for (line, hint) in [
            ("serve --prot 1", "--port"),
            ("sevre", "serve"),
            ("run --shell codx --prompt a", "codex"),
            ("run --shell codex", "--prompt"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(hint), "{line}: {error}");
        }
    }
}
