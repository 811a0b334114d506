//! The scripted model as a program; see `testkit::model`.

use std::{io, process::ExitCode, time::Duration};

use clap::Parser;
use testkit::model::{ModelServer, Options, Script};

/// Serves OpenAI's Responses API and Anthropic's Messages API on loopback, from scripts. Prints the address for the
/// former; without its `/v1` it is the latter's.
#[derive(Debug, Parser)]
struct Arguments {
    /// The port; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The script for requests that name none.
    #[arg(long, default_value_t = Script::Text)]
    script: Script,
    /// The script's argument for requests that give none.
    #[arg(long)]
    command: Option<String>,
    /// The pause between ordinary deltas, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// The pause between the deltas of `slow`, in milliseconds.
    #[arg(long, default_value_t = 200)]
    slow_delay: u64,
    /// How many deltas `slow` sends.
    #[arg(long, default_value_t = 300)]
    slow_count: u32,
    /// The size of the text of `huge` and `one_big`, in bytes.
    #[arg(long, default_value_t = 5 * 1024 * 1024)]
    huge_bytes: usize,
    /// The size of one delta of `huge`, in bytes.
    #[arg(long, default_value_t = 4096)]
    huge_chunk: usize,
    /// Names the scripts and exits.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for script in Script::ALL {
            println!("{:<24}{}", script.name(), script.about());
        }
        return ExitCode::SUCCESS;
    }
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("model-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = ModelServer::start(Options {
            port: arguments.port,
            script: arguments.script,
            command: arguments.command,
            delta_delay: Duration::from_millis(arguments.delay),
            slow_delay: Duration::from_millis(arguments.slow_delay),
            slow_count: arguments.slow_count,
            huge_bytes: arguments.huge_bytes,
            huge_chunk: arguments.huge_chunk,
            ..Options::default()
        })
        .await?;
        // The one line that whoever started it waits for.
        println!("{}", server.base_url());
        tokio::signal::ctrl_c().await
    })
}
