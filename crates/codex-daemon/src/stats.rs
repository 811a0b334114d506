//! The daemon's state in figures: `status`, `health`, Prometheus text, a row for a Markdown table.

use std::{fmt::Write as _, fs, sync::atomic::Ordering};

use crate::{
    config::Access,
    hub::Hub,
    owner, paths,
    protocol::{HealthView, Mode, StatusView, Warmth},
    sessions::now,
    warm::Sandbox,
};

/// Less free space than this on the state's disk is a reason to worry, in MiB.
const FREE_MIB: u64 = 64;
/// A heartbeat older than this says that the daemon is stuck, in seconds.
pub(crate) const STALE: u64 = 30;

/// Resident memory of a process in bytes, and how many files it has open; zeros if it's gone.
pub(crate) fn resources(pid: i32) -> (u64, u64) {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    (pages * 4096, files as u64)
}

/// How the daemon is.
pub(crate) fn status(hub: &Hub) -> StatusView {
    let (running, queued) = hub.load();
    let own = std::process::id();
    let (rss, open_files) = resources(i32::try_from(own).unwrap_or_default());
    let codex = hub.warm.warmth();
    let (codex_rss, codex_open_files) = match &codex {
        Warmth::Ready { pid, .. } => resources(*pid),
        Warmth::Starting | Warmth::Failed { .. } => (0, 0),
    };
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: own,
        uptime_seconds: hub.started.elapsed().as_secs(),
        socket: hub.config.socket.clone(),
        mode: hub.warm.mode(),
        lesser: lesser(hub),
        codex,
        access: hub.config.access.as_str().to_owned(),
        sandbox: sandbox(hub),
        clients: hub.figures.clients.load(Ordering::Relaxed),
        sessions: hub.sessions().len(),
        running,
        queued,
        turns: hub.figures.turns.load(Ordering::Relaxed),
        failed_turns: hub.figures.failed_turns.load(Ordering::Relaxed),
        restarts: hub.warm.restarts(),
        rss,
        codex_rss,
        open_files,
        codex_open_files,
        heartbeat: hub.figures.heartbeat.load(Ordering::Relaxed),
    }
}

fn sandbox(hub: &Hub) -> String {
    if hub.config.access == Access::Full {
        return "not used".to_owned();
    }
    match hub.warm.sandbox() {
        Sandbox::Untried => "untried".to_owned(),
        Sandbox::Works => "works".to_owned(),
        Sandbox::Broken(why) => why,
    }
}

/// What is less than it could be.
fn lesser(hub: &Hub) -> Vec<String> {
    let mut lesser = Vec::new();
    if !hub.config.has_runtime_dir {
        lesser.push("XDG_RUNTIME_DIR is not set: the socket lies in the state folder".to_owned());
    }
    if let Mode::Exec { why } = hub.warm.mode() {
        lesser.push(format!("codex exec instead of an app-server: {why}"));
    }
    if hub.config.access == Access::Full {
        lesser.push("access is full: Codex does whatever you may, without asking".to_owned());
    }
    lesser
}

/// Whether the daemon is well.
pub(crate) fn health(hub: &Hub) -> HealthView {
    let mut reasons = Vec::new();
    match hub.warm.warmth() {
        Warmth::Ready { .. } => {}
        Warmth::Starting if hub.started.elapsed() < hub.config.handshake_timeout => {}
        Warmth::Starting => reasons.push("codex has not shaken hands yet".to_owned()),
        Warmth::Failed { why } => reasons.push(format!("codex is down: {why}")),
    }
    if let Sandbox::Broken(why) = hub.warm.sandbox() {
        reasons.push(format!("the sandbox does not work: {why}"));
    }
    reasons.extend(
        hub.unkept()
            .map(|why| format!("sessions can't be kept: {why}")),
    );
    reasons.extend(disk(hub));
    reasons.extend(files(hub));
    let beat = hub.figures.heartbeat.load(Ordering::Relaxed);
    if beat > 0 && now().saturating_sub(beat) > STALE {
        reasons.push(format!("no heartbeat for more than {STALE} s"));
    }
    for session in hub.sessions() {
        let (_, queued) = session.load();
        if queued >= hub.config.limits.queue && queued > 0 {
            reasons.push(format!("the queue of session `{}` is full", session.name));
        }
    }
    HealthView::of(reasons)
}

fn disk(hub: &Hub) -> Option<String> {
    let stat = nix::sys::statvfs::statvfs(&hub.config.state_dir).ok()?;
    let free = (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64) >> 20;
    (free < FREE_MIB).then(|| {
        let folder = hub.config.state_dir.display();
        format!("only {free} MiB are free on the disk of `{folder}`")
    })
}

/// The files that clients and a restart depend on.
fn files(hub: &Hub) -> Vec<String> {
    let config = &hub.config;
    let mut reasons: Vec<String> = [
        paths::check_socket(&config.socket),
        paths::check_folder(&config.state_dir),
        paths::check_file(&config.log_file),
        paths::check_file(&config.pid_file),
    ]
    .into_iter()
    .filter_map(|checked| checked.err().map(|error| host::error_chain(&error)))
    .collect();
    if !config.socket.exists() {
        reasons.push(format!("the socket `{}` is gone", config.socket.display()));
    }
    if !owner::lock_path(&config.socket).exists() {
        reasons.push("the lock file is gone".to_owned());
    }
    reasons
}

/// The figures as Prometheus text.
pub(crate) fn metrics(hub: &Hub) -> String {
    let status = status(hub);
    let well = u64::from(health(hub).healthy);
    let ready = u64::from(matches!(status.codex, Warmth::Ready { .. }));
    let gauges = [
        ("healthy", "gauge", well),
        ("codex_ready", "gauge", ready),
        ("uptime_seconds", "gauge", status.uptime_seconds),
        ("clients", "gauge", status.clients as u64),
        ("sessions", "gauge", status.sessions as u64),
        ("turns_running", "gauge", status.running as u64),
        ("turns_queued", "gauge", status.queued as u64),
        ("turns_total", "counter", status.turns),
        ("turns_failed_total", "counter", status.failed_turns),
        ("codex_restarts_total", "counter", status.restarts),
        ("resident_bytes", "gauge", status.rss),
        ("codex_resident_bytes", "gauge", status.codex_rss),
        ("open_files", "gauge", status.open_files),
        ("codex_open_files", "gauge", status.codex_open_files),
    ];
    let mut text = String::new();
    for (name, kind, value) in gauges {
        let _ = writeln!(
            text,
            "# TYPE codex_daemon_{name} {kind}\ncodex_daemon_{name} {value}"
        );
    }
    text
}

/// The header of the Markdown table that [`row`] continues.
pub const TABLE_HEADER: &str = "\
| time (UTC, s) | pid | codex | turns | failed | restarts | RSS MiB | codex RSS MiB | files | codex files |
|---|---|---|---|---|---|---|---|---|---|
";

/// One row of it.
pub fn row(status: &StatusView) -> String {
    let codex = match &status.codex {
        Warmth::Starting => "starting".to_owned(),
        Warmth::Ready { version, .. } => version.clone(),
        Warmth::Failed { .. } => "down".to_owned(),
    };
    format!(
        "| {} | {} | {codex} | {} | {} | {} | {} | {} | {} | {} |\n",
        now(),
        status.pid,
        status.turns,
        status.failed_turns,
        status.restarts,
        status.rss >> 20,
        status.codex_rss >> 20,
        status.open_files,
        status.codex_open_files,
    )
}
