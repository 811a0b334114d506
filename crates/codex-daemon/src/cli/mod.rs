//! The command line.

mod arguments;
mod ask;
mod backup;
mod check;
mod control;
mod generated;
mod run;
mod sessions;
mod show;
mod slash;
mod values;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use host::error_chain;

pub use arguments::{Cli, Command};
use values::TargetArguments;

use crate::{
    backup::BackupError,
    bridge::BridgeError,
    client::{Client, ClientError},
    config::{Config, ConfigError, ProcessEnvironment},
    daemon::DaemonError,
    exit,
    mcp::McpError,
    owner::OwnerError,
    paths::PathError,
    protocol::{Fault, FaultCode, Target},
    start::StartError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    #[error(transparent)]
    Mcp(#[from] McpError),
    #[error("{0}")]
    Usage(String),
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

impl CliError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => exit::USAGE,
            Self::Client(error) => client_code(error),
            Self::Start(error) => start_code(error),
            Self::Daemon(DaemonError::Owner(error)) => owner_code(error),
            Self::Backup(BackupError::Owner(error)) => owner_code(error),
            Self::Path(_) | Self::Daemon(DaemonError::Path(_)) => exit::UNSAFE_PATH,
            Self::Daemon(_)
            | Self::Backup(_)
            | Self::Bridge(_)
            | Self::Mcp(_)
            | Self::Io { .. } => exit::FAILURE,
        }
    }
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        ClientError::NotRunning { .. } => exit::NOT_RUNNING,
        ClientError::NoDaemon { .. } => exit::OTHER_OWNER,
        ClientError::Lost(_) => exit::LOST,
        ClientError::Fault(Fault {
            code: FaultCode::BadRequest,
            ..
        }) => exit::USAGE,
        ClientError::Start(error) => start_code(error),
        _ => exit::FAILURE,
    }
}

fn start_code(error: &StartError) -> u8 {
    match error {
        StartError::Refused { code, .. } => *code,
        StartError::Path(_) => exit::UNSAFE_PATH,
        StartError::Client(error) => client_code(error),
        StartError::Slow { .. } | StartError::Spawn(_) => exit::FAILURE,
    }
}

fn owner_code(error: &OwnerError) -> u8 {
    match error {
        OwnerError::Running { .. } | OwnerError::SocketTaken { .. } => exit::OTHER_OWNER,
        OwnerError::Path(_) => exit::UNSAFE_PATH,
    }
}

/// What every command has.
pub(crate) struct Cx {
    pub(crate) config: Config,
    pub(crate) environment: ProcessEnvironment,
    /// The flags that a daemon started by this command gets too.
    pub(crate) passed_on: Vec<OsString>,
    pub(crate) json: bool,
}

impl Cx {
    /// Which session is meant.
    pub(crate) fn target(&self, arguments: &TargetArguments) -> Result<Target, CliError> {
        arguments
            .target(&self.environment)
            .map_err(CliError::io("the current folder is gone"))
    }

    /// A connection to the running daemon.
    pub(crate) async fn client(&self) -> Result<Client, ClientError> {
        Client::connect(&self.config.socket).await
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let inherited = crate::systemd::inherited_socket();
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let cli = Cli::parse_from(arguments::with_aliases(arguments));
    if let Command::Completions { shell } = &cli.command {
        return generated::completions(*shell);
    }
    if let Command::Man { folder } = &cli.command {
        return done(
            generated::man_pages(folder)
                .map_err(CliError::io("the man pages can't be written"))
                .map(|()| 0),
        );
    }
    let environment = ProcessEnvironment::of_process();
    let config = match Config::read(&cli.flags(), &environment) {
        Ok(config) => config,
        Err(error) => return done(Err(error.into())),
    };
    let cx = Cx {
        passed_on: cli.passed_on(),
        json: cli.json,
        config,
        environment,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return done(Err(CliError::io("the program can't start")(error))),
    };
    let code = runtime.block_on(command(cli.command, cx, inherited));
    // Nothing of ours is left to wait for, and a blocking read of a terminal must not keep the process.
    runtime.shutdown_background();
    done(code)
}

fn done(result: Result<u8, CliError>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("codex-daemon: {}", error_chain(&error));
            ExitCode::from(error.code())
        }
    }
}

async fn command(
    command: Command,
    cx: Cx,
    inherited: Option<std::os::unix::net::UnixListener>,
) -> Result<u8, CliError> {
    match command {
        Command::Run { detached } => Box::pin(run::run(cx, detached, inherited)).await,
        Command::Start { wait } => control::start(&cx, wait).await,
        Command::Stop => control::stop(&cx).await,
        Command::Restart { codex } => control::restart(&cx, codex).await,
        Command::Status { append } => show::status(&cx, append.as_deref()).await,
        Command::Health => show::health(&cx).await,
        Command::Metrics => show::metrics(&cx).await,
        Command::Logs { follow, lines } => show::logs(&cx, follow, lines).await,
        Command::Check => check::check(&cx).await,
        Command::Doctor => check::doctor(&cx).await,
        Command::Backup { archive } => backup::backup(&cx, &archive),
        Command::Restore { archive } => backup::restore(&cx, &archive),
        Command::Config { command } => show::config(&cx, &command),
        Command::Ask(arguments) => Box::pin(ask::ask(&cx, arguments)).await,
        Command::Watch(target) => ask::watch(&cx, target).await,
        Command::Decide { approval, decision } => sessions::decide(&cx, approval, decision).await,
        Command::Sessions => sessions::list(&cx).await,
        Command::Show(target) => sessions::show(&cx, target).await,
        Command::Reset(target) => sessions::reset(&cx, target).await,
        Command::Fork { target, name } => sessions::fork(&cx, target, name).await,
        Command::Set(change) => sessions::set(&cx, change).await,
        Command::Interrupt(target) => sessions::interrupt(&cx, target).await,
        Command::Commands { write } => slash::commands(write.as_deref()),
        Command::Slash { command } => Ok(slash::slash(&cx, command).await),
        Command::Mcp => Ok(crate::mcp::serve(&cx.config, &cx.environment, cx.passed_on).await?),
        Command::Bridge { app_server } => {
            crate::bridge::run(&app_server).await?;
            Ok(exit::SUCCESS)
        }
        // Handled before there is a configuration.
        Command::Completions { .. } | Command::Man { .. } => Ok(exit::SUCCESS),
    }
}

/// Prints a line; a reader that has gone is no error.
pub(crate) fn print(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Prints JSON.
pub(crate) fn print_json(content: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(content).unwrap_or_default();
    print(&format!("{text}\n"));
}
