//! `start`, `stop`, `restart`.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{CliError, Cx, print, print_json};
use crate::{
    client::ClientError,
    exit, owner,
    protocol::Operation,
    start::{Start, Started},
};

/// How long the daemon may take to end: its own ladder for Codex, and some.
const END: Duration = Duration::from_secs(15);

/// How this command starts the daemon.
pub(super) fn starter(cx: &Cx) -> Start {
    let env = cx.environment.for_children().collect();
    Start::new(&cx.config, env, cx.passed_on.clone())
}

/// Starts the daemon in the background.
pub(super) async fn start(cx: &Cx, wait: u64) -> Result<u8, CliError> {
    let mut start = starter(cx);
    start.wait = Duration::from_secs(wait);
    let begin = Instant::now();
    let started = start.start().await?;
    told(cx, &started, begin);
    Ok(exit::SUCCESS)
}

fn told(cx: &Cx, started: &Started, begin: Instant) {
    let pid = started.client.hello().pid;
    let millis = begin.elapsed().as_millis();
    if cx.json {
        return print_json(&json!({
            "pid": pid, "was_running": started.was_running, "milliseconds": millis,
            "socket": cx.config.socket,
        }));
    }
    let socket = cx.config.socket.display();
    print(&if started.was_running {
        format!("already running: process {pid}, {socket}\n")
    } else {
        format!("started: process {pid}, {socket} ({millis} ms)\n")
    });
}

/// Ends the daemon, and waits until it has.
pub(super) async fn stop(cx: &Cx) -> Result<u8, CliError> {
    let mut client = cx.client().await?;
    let pid = client.hello().pid;
    match client.call::<serde_json::Value>(Operation::Stop {}).await {
        // It may be gone before its answer is out.
        Ok(_) | Err(ClientError::Lost(_)) => {}
        Err(error) => return Err(error.into()),
    }
    wait_until_gone(cx).await?;
    if cx.json {
        print_json(&json!({ "pid": pid }));
    } else {
        print(&format!("stopped: process {pid}\n"));
    }
    Ok(exit::SUCCESS)
}

async fn wait_until_gone(cx: &Cx) -> Result<(), CliError> {
    let begin = Instant::now();
    while owner::is_held(&cx.config.socket) {
        if begin.elapsed() > END {
            return Err(CliError::Usage(format!(
                "the daemon does not end within {END:?}"
            )));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Ends the daemon and starts it again, or only Codex.
pub(super) async fn restart(cx: &Cx, codex: bool) -> Result<u8, CliError> {
    if codex {
        let mut client = cx.client().await?;
        client
            .call::<serde_json::Value>(Operation::RestartCodex {})
            .await?;
        print("codex is started again\n");
        return Ok(exit::SUCCESS);
    }
    match cx.client().await {
        Ok(mut client) => {
            let _ = client.call::<serde_json::Value>(Operation::Stop {}).await;
        }
        // A daemon of another version is told to end by its signal.
        Err(ClientError::Fault(_)) => end_by_signal(cx),
        Err(error) if error.is_gone() => {}
        Err(error) => return Err(error.into()),
    }
    wait_until_gone(cx).await?;
    start(cx, END.as_secs()).await
}

fn end_by_signal(cx: &Cx) {
    let listener = owner::listener(&cx.config.socket).flatten();
    if let Some(pid) = listener {
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
}
