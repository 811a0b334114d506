//! The life of a daemon: from the lock to the last process.

use std::{
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_app_server::{NoProgram, find_program};
use host::error_chain;
use nix::sys::stat::{Mode, umask};
use supervisor::ChildEnv;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{interval, sleep},
};

use crate::{
    config::{Config, ProcessEnvironment},
    hub::Hub,
    listener::Listener,
    owner::{Owner, OwnerError},
    paths::PathError,
    protocol::Epoch,
    sessions::{TableError, now},
    stats,
    systemd::Systemd,
    warm::Program,
};

/// How often the daemon looks after itself.
const BEAT: Duration = Duration::from_secs(2);
/// How long a Codex that was replaced for its size is left alone.
const COOL_DOWN: Duration = Duration::from_secs(60);
/// How often its figures are logged, in beats.
const FIGURES: u64 = 30;

/// Why the daemon can't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Somebody else is the daemon, or a path can't be trusted.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The socket can't be bound.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is no Codex.
    #[error("there is no Codex CLI; set `codex` to it, or put it on PATH")]
    NoCodex(#[source] NoProgram),
    /// The sessions can't be read.
    #[error("the sessions of an earlier daemon can't be read: {0}")]
    Sessions(String),
    /// The system refuses something else.
    #[error("the system refuses")]
    System(#[from] std::io::Error),
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// [`DaemonError`] if it can't begin.
pub async fn run(
    config: Config,
    environment: ProcessEnvironment,
    inherited: Option<UnixListener>,
) -> Result<(), DaemonError> {
    let owner = Owner::claim(&config, inherited.is_some())?;
    let systemd = Systemd::of(&environment);
    let program = program(&config, &environment)?;
    let listener = match inherited {
        Some(socket) => Listener::inherited(socket, &config.socket)?,
        None => bind(&config)?,
    };
    supervisor::end_stale_sessions(&program.owner).await;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hub = Hub::new(config, program, epoch()).map_err(|error| match error {
        TableError::Path(error) => DaemonError::Path(error),
        other => DaemonError::Sessions(error_chain(&other)),
    })?;
    tracing::info!(pid = std::process::id(), socket = %hub.config.socket.display(), version = env!("CARGO_PKG_VERSION"), "daemon starts");
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.run(Arc::clone(&hub)));
    tasks.spawn(Arc::clone(&hub).keeper());
    tasks.spawn({
        let hub = Arc::clone(&hub);
        async move { hub.warm.watch(&hub.stop).await }
    });
    tasks.spawn(beat(Arc::clone(&hub)));
    tasks.spawn(look_after(Arc::clone(&hub)));
    systemd.say("READY=1");
    let beats = watchdog(&systemd, &hub);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("told to end by SIGTERM"),
        _ = interrupt.recv() => tracing::info!("told to end by SIGINT"),
        () = hub.stop.cancelled() => {}
        () = beats => {}
    }
    systemd.say("STOPPING=1");
    hub.end().await;
    while tasks.join_next().await.is_some() {}
    tracing::info!("daemon ends");
    drop(owner);
    Ok(())
}

/// The socket is made with a mode that lets nobody in, before its own is set.
fn bind(config: &Config) -> Result<Listener, PathError> {
    let usual = umask(Mode::from_bits_truncate(0o177));
    let listener = Listener::bind(&config.socket);
    umask(usual);
    listener
}

fn program(config: &Config, environment: &ProcessEnvironment) -> Result<Program, DaemonError> {
    let path = find_program(config.codex.as_deref(), environment.get("PATH"))
        .map_err(DaemonError::NoCodex)?;
    let env: ChildEnv = environment.for_children().collect();
    Ok(Program {
        path,
        env,
        owner: format!("codex-daemon:{}", config.socket.display()),
        home: environment
            .path("HOME")
            .unwrap_or_else(|| PathBuf::from("/")),
    })
}

/// Names this life of the daemon.
fn epoch() -> Epoch {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Epoch(format!("{millis:x}-{:x}", std::process::id()))
}

/// Tells systemd that we live, for as long as the heart beats.
async fn watchdog(systemd: &Systemd, hub: &Hub) {
    let Some(every) = systemd.watchdog.filter(|_| systemd.is_there()) else {
        return std::future::pending().await;
    };
    loop {
        sleep(every).await;
        let beat = hub.figures.heartbeat.load(Ordering::Relaxed);
        if now().saturating_sub(beat) <= stats::STALE {
            systemd.say("WATCHDOG=1");
        }
    }
}

/// Beats. Waits for nothing else, so that a heart that stands still means that the daemon does.
async fn beat(hub: Arc<Hub>) {
    let mut beat = interval(BEAT);
    let mut beats = 0_u64;
    loop {
        tokio::select! {
            () = hub.stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        hub.figures.heartbeat.store(now(), Ordering::Relaxed);
        if beats.is_multiple_of(FIGURES) {
            log_figures(&hub);
        }
        beats += 1;
    }
}

/// Looks at health and resources, tells of what is wrong, cleans up, and ends an idle daemon.
async fn look_after(hub: Arc<Hub>) {
    let care = async {
        loop {
            sleep(BEAT).await;
            if let Some(history) = &hub.history {
                history.clean();
            }
            for reason in stats::health(&hub).reasons {
                tracing::debug!(reason, "not well");
                hub.alerts.raise(&reason).await;
            }
            resources(&hub).await;
            if is_idle(&hub) {
                tracing::info!("nobody needs the daemon: it ends");
                hub.stop.cancel();
            }
        }
    };
    tokio::select! {
        () = hub.stop.cancelled() => {}
        () = care => {}
    }
}

fn log_figures(hub: &Hub) {
    let status = stats::status(hub);
    tracing::info!(
        clients = status.clients,
        sessions = status.sessions,
        running = status.running,
        queued = status.queued,
        turns = status.turns,
        failed_turns = status.failed_turns,
        restarts = status.restarts,
        rss = status.rss,
        codex_rss = status.codex_rss,
        open_files = status.open_files,
        codex_open_files = status.codex_open_files,
        "heartbeat"
    );
}

/// Warns of a process that has grown too large; replaces Codex if the user wants that.
async fn resources(hub: &Hub) {
    let limits = hub.config.resources;
    let status = stats::status(hub);
    let rss_mib = (status.rss + status.codex_rss) >> 20;
    let files = status.open_files.max(status.codex_open_files);
    let over = if limits.rss_mib > 0 && rss_mib > limits.rss_mib {
        format!("memory: {rss_mib} MiB, more than {}", limits.rss_mib)
    } else if limits.open_files > 0 && files > limits.open_files {
        format!("open files: {files}, more than {}", limits.open_files)
    } else {
        return;
    };
    tracing::warn!(over, "over a limit");
    hub.alerts.raise(&over).await;
    if limits.restart {
        hub.warm.restart().await;
        // A limit that a fresh Codex passes already would keep it from answering at all.
        sleep(COOL_DOWN).await;
    }
}

fn is_idle(hub: &Hub) -> bool {
    let Some(limit) = hub.config.idle_exit else {
        return false;
    };
    let active = hub.figures.active.load(Ordering::Relaxed);
    hub.figures.clients.load(Ordering::Relaxed) == 0
        && hub.load() == (0, 0)
        && now().saturating_sub(active) >= limit.as_secs()
}

/// What a daemon that detaches itself does first.
pub fn detach() {
    // Fails if it leads a session already, which is what is wanted.
    let _ = nix::unistd::setsid();
}
