//! The program: arguments, configuration, exit codes.

use std::process::ExitCode;

use agent_core::{environment, error_chain, git};
use clap::Parser;
use executor::{
    capabilities::Capabilities,
    cli::{Cli, Command, EXIT_FAILURE, InitData},
    config::{Config, ImageEnvironment},
    doctor::{self, Diagnosis},
    init_data,
    logging::{self, LogSecrets},
    run_command, service,
};
use http_client::HttpClients;
use redact::{Added, Secrets};

fn main() -> ExitCode {
    // Before any thread: a guard is this same program.
    supervisor::run_guard_if_asked();
    let cli = Cli::parse();
    // Before any configuration: this runs among an agent's tools, in their environment.
    if let Some(Command::GitCredential(asked)) = &cli.command {
        let (input, output) = (std::io::stdin(), std::io::stdout());
        return match git::ask_for_credential(&asked.socket, &asked.operation, input, output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error),
        };
    }
    if let Some(Command::InitData(InitData::Render(asked))) = &cli.command {
        return match init_data::render(&asked.image, &asked.to) {
            Ok(written) => {
                for path in written {
                    println!("{}", path.display());
                }
                ExitCode::SUCCESS
            }
            Err(error) => failure(&error),
        };
    }
    let image = match ImageEnvironment::of_process() {
        Ok(image) => image,
        Err(error) => return failure(&error),
    };
    let config = match Config::read(image) {
        Ok(config) => config,
        Err(error) => return failure(&error),
    };
    let command = match cli.command(config.mode) {
        Ok(command) => command,
        Err(help) => help.exit(),
    };
    let log = LogSecrets::default();
    let own = Secrets::new();
    let mut unguarded = Vec::new();
    for (name, secret) in environment::secret_variables(config.image_environment.as_map()) {
        if own.add(secret) != Added::Guarded {
            unguarded.push(name);
        }
    }
    let _covered = log.cover(own);
    if let Err(error) = logging::init(&config.log, log.clone()) {
        return failure(&error);
    }
    if !unguarded.is_empty() {
        tracing::warn!(variables = ?unguarded, "values too short or too common to be kept out of answers");
    }
    for warning in &config.warnings {
        tracing::warn!(%warning, "odd configuration");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failure(&error),
    };
    let code = runtime.block_on(run(command, config, log));
    // Nothing of ours is left to wait for, and a blocking call must not keep the process.
    runtime.shutdown_background();
    code
}

async fn run(command: Command, mut config: Config, log: LogSecrets) -> ExitCode {
    match command {
        Command::Serve(overrides) => {
            overrides.apply(&mut config.server);
            match service::serve(config, log).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failure(&error),
            }
        }
        Command::Run(arguments) => match run_command::run(arguments, config, log).await {
            Ok(code) => ExitCode::from(code),
            Err(error) => failure(&error),
        },
        Command::Capabilities(listing) => {
            let capabilities = Capabilities::of(&config);
            match listing.json {
                true => println!("{}", capabilities.to_json()),
                false => print!("{capabilities}"),
            }
            ExitCode::SUCCESS
        }
        Command::Doctor(listing) => match HttpClients::new(config.proxies.clone()) {
            Ok(clients) => told(&doctor::examine(&config, clients).await, listing.json),
            Err(error) => failure(&error),
        },
        Command::GitCredential(_) | Command::InitData(_) => {
            unreachable!("answered before there was a configuration")
        }
    }
}

/// Prints what was found.
fn told(diagnosis: &Diagnosis, json: bool) -> ExitCode {
    match json {
        true => println!("{}", diagnosis.to_json()),
        false => print!("{diagnosis}"),
    }
    match diagnosis.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    }
}

/// Prints the error with its causes.
fn failure(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("wegent-executor: {}", error_chain(error));
    ExitCode::from(EXIT_FAILURE)
}
