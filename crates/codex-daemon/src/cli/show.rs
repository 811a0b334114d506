//! `status`, `health`, `metrics`, `logs`, `config show`.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Duration,
};

use serde::Deserialize;
use tokio::time::sleep;

use super::{CliError, Cx, arguments::ConfigCommand, print, print_json};
use crate::{
    exit,
    protocol::{HealthView, Mode, Operation, StatusView, Warmth},
    stats,
};

/// Shows how the daemon is.
pub(super) async fn status(cx: &Cx, append: Option<&Path>) -> Result<u8, CliError> {
    let mut client = cx.client().await?;
    let status: StatusView = client.call(Operation::Status {}).await?;
    if let Some(file) = append {
        append_row(file, &status).map_err(CliError::io(format!(
            "`{}` can't be written",
            file.display()
        )))?;
    } else if cx.json {
        print_json(&status);
    } else {
        print(&described(&status));
    }
    Ok(exit::SUCCESS)
}

fn append_row(file: &Path, status: &StatusView) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let header = if file.metadata()?.len() == 0 {
        stats::TABLE_HEADER
    } else {
        ""
    };
    file.write_all(format!("{header}{}", stats::row(status)).as_bytes())
}

fn described(status: &StatusView) -> String {
    let mode = match &status.mode {
        Mode::AppServer => "app-server, kept warm".to_owned(),
        Mode::Attached { socket } => format!("attached to {}", socket.display()),
        Mode::Exec { .. } => "codex exec".to_owned(),
    };
    let codex = match &status.codex {
        Warmth::Starting => "starting".to_owned(),
        Warmth::Ready {
            pid,
            version,
            since_seconds,
        } => format!("{version}, process {pid}, ready for {since_seconds} s"),
        Warmth::Failed { why } => format!("down: {why}"),
    };
    let mut text = format!(
        "daemon    {}, process {}, up {} s\nsocket    {}\nmode      {mode}\ncodex     {codex}\n\
         access    {} (sandbox: {})\nwork      {} running, {} queued, {} sessions, {} clients\n\
         so far    {} questions, {} failed, {} restarts of codex\nmemory    {} MiB, codex {} MiB\n",
        status.version,
        status.pid,
        status.uptime_seconds,
        status.socket.display(),
        status.access,
        status.sandbox,
        status.running,
        status.queued,
        status.sessions,
        status.clients,
        status.turns,
        status.failed_turns,
        status.restarts,
        status.rss >> 20,
        status.codex_rss >> 20,
    );
    for lesser in &status.lesser {
        text.push_str(&format!("note      {lesser}\n"));
    }
    text
}

/// Says whether the daemon is well.
pub(super) async fn health(cx: &Cx) -> Result<u8, CliError> {
    let mut client = cx.client().await?;
    let health: HealthView = client.call(Operation::Health {}).await?;
    if cx.json {
        print_json(&health);
    } else if health.healthy {
        print("healthy\n");
    } else {
        let reasons = health.reasons.join("\n");
        print(&format!("{reasons}\n"));
    }
    Ok(if health.healthy {
        exit::SUCCESS
    } else {
        exit::UNHEALTHY
    })
}

/// Prints the figures.
pub(super) async fn metrics(cx: &Cx) -> Result<u8, CliError> {
    #[derive(Deserialize)]
    struct Text {
        text: String,
    }
    let mut client = cx.client().await?;
    let Text { text } = client.call(Operation::Metrics {}).await?;
    print(&text);
    Ok(exit::SUCCESS)
}

/// Prints the end of the log, and what is added to it.
pub(super) async fn logs(cx: &Cx, follow: bool, lines: usize) -> Result<u8, CliError> {
    let path = &cx.config.log_file;
    let broken = || CliError::io(format!("the log `{}` can't be read", path.display()));
    let text = fs::read_to_string(path).map_err(broken())?;
    let all: Vec<&str> = text.lines().collect();
    for line in &all[all.len().saturating_sub(lines)..] {
        print(&format!("{line}\n"));
    }
    if !follow {
        return Ok(exit::SUCCESS);
    }
    let mut at = text.len() as u64;
    loop {
        sleep(Duration::from_millis(200)).await;
        let mut file = fs::File::open(path).map_err(broken())?;
        let length = file.metadata().map_err(broken())?.len();
        if length < at {
            // Put aside: a new one has begun.
            at = 0;
        }
        file.seek(SeekFrom::Start(at)).map_err(broken())?;
        let mut more = String::new();
        at += file.read_to_string(&mut more).map_err(broken())? as u64;
        print(&more);
    }
}

/// Shows every setting.
pub(super) fn config(cx: &Cx, command: &ConfigCommand) -> Result<u8, CliError> {
    let ConfigCommand::Show = command;
    if cx.json {
        print_json(&cx.config.found);
        return Ok(exit::SUCCESS);
    }
    for found in &cx.config.found {
        let value = if found.value.is_empty() {
            "-"
        } else {
            &found.value
        };
        print(&format!("{:26} {value}   ({})\n", found.key, found.origin));
    }
    Ok(exit::SUCCESS)
}
