//! A supervised codex: started, kept running, restarted.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use rand::SeedableRng as _;
use supervisor::{
    ChildEnv, Guard, Ladder, Process, ProcessHandle, SessionMark, ShutdownReport, Spec,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::{Backoff, BackoffPolicy},
    client::{Client, connect},
    error::{ConnectionLost, InstanceError},
    protocol::{ClientInfo, ServerInfo},
    router::Router,
    rpc::{Closer, Limits},
};

/// The longest line accepted from codex unless configured: the end of a turn repeats its whole text.
pub const MAX_LINE: usize = 256 << 20;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// Starts the process.
    pub guard: Guard,
    /// Codex's native binary. (Its npm wrapper would add a process that orphans the real one when killed.)
    pub program: PathBuf,
    /// What makes the program speak the protocol: `app-server`.
    pub command: OsString,
    /// Arguments after it, such as `-c key=value`. Everybody on the machine can read them: no secrets.
    pub args: Vec<OsString>,
    /// The environment, complete. Tools can read it: no secrets.
    pub env: ChildEnv,
    /// Where it runs; threads have their own working directories.
    pub cwd: PathBuf,
    /// Whose process it is, for [`SessionMark`].
    pub owner: String,
    /// Who we are.
    pub client: ClientInfo,
    /// How long codex may take to shake hands. It takes about 0.1 s.
    pub handshake_timeout: Duration,
    /// How long a typed call may take. Opening a thread waits for MCP servers that are required.
    pub request_timeout: Duration,
    /// How codex is brought to its end.
    pub ladder: Ladder,
    /// How long to wait between starts.
    pub backoff: BackoffPolicy,
    /// Bounds of the connection.
    pub limits: Limits,
    /// The longest line accepted, in bytes; a longer one ends the connection. See [`MAX_LINE`].
    pub max_line: usize,
    /// How much of codex's stderr is kept, in bytes.
    pub stderr_tail: usize,
}

impl InstanceConfig {
    /// A configuration with measured defaults: 20 s for the handshake, 60 s per call, 5 s to exit after its stdin is
    /// closed, 2 s after SIGTERM.
    pub fn new(
        guard: Guard,
        program: impl Into<PathBuf>,
        cwd: impl Into<PathBuf>,
        client: ClientInfo,
    ) -> Self {
        Self {
            guard,
            program: program.into(),
            command: "app-server".into(),
            args: Vec::new(),
            env: ChildEnv::default(),
            cwd: cwd.into(),
            owner: client.name.clone(),
            client,
            handshake_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(60),
            ladder: Ladder {
                after_stdin: Duration::from_secs(5),
                after_term: Duration::from_secs(2),
                kill_deadline: Duration::from_secs(4),
            },
            backoff: BackoffPolicy::default(),
            limits: Limits::default(),
            max_line: MAX_LINE,
            stderr_tail: 16 << 10,
        }
    }

    fn spec(&self) -> Spec {
        let mut args = vec![self.command.clone()];
        args.extend(self.args.iter().cloned());
        Spec {
            program: self.program.clone(),
            args,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            session: SessionMark::new(&self.owner),
            max_line: self.max_line,
            stderr_tail: self.stderr_tail,
        }
    }
}

/// How an instance is.
#[derive(Clone, Debug)]
pub enum InstanceState {
    /// The process starts and shakes hands.
    Starting,
    /// It can be used.
    Ready(Connection),
    /// It failed and is started again later.
    Backoff {
        /// When.
        until: Instant,
        /// What happened.
        why: InstanceError,
    },
    /// It was shut down.
    Stopped,
}

/// A connection to a running codex. It stays what it is: after a restart there is another, of the next generation.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    generation: u64,
    process: ProcessHandle,
    server: Arc<ServerInfo>,
}

impl Connection {
    /// Calls codex.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How many processes there have been, this one included. Threads have to be resumed when it changes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The process, to look at, to sweep or to kill.
    pub fn process(&self) -> &ProcessHandle {
        &self.process
    }

    /// What codex said about itself.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }
}

/// Keeps one codex running. Dropping it ends the process and everything it started.
#[derive(Debug)]
pub struct Instance {
    state: watch::Receiver<InstanceState>,
    stop: CancellationToken,
    actor: JoinSet<Option<ShutdownReport>>,
}

impl Instance {
    /// Starts codex in the background, at once. Must be called within a Tokio runtime.
    pub fn start(config: InstanceConfig) -> Self {
        let (sender, state) = watch::channel(InstanceState::Starting);
        let stop = CancellationToken::new();
        let backoff = Backoff::new(config.backoff);
        let actor = Actor {
            config,
            state: sender,
            stop: stop.clone(),
            backoff,
            generation: 0,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(actor.run());
        Self {
            state,
            stop,
            actor: tasks,
        }
    }

    /// How it is, to be watched.
    pub fn state(&self) -> watch::Receiver<InstanceState> {
        self.state.clone()
    }

    /// Waits until codex can be used. If a connection in use was lost, that includes the wait for the next one.
    ///
    /// # Errors
    /// The reason, at once, if the last attempt to start failed: a broken program isn't waited for.
    /// [`InstanceError::NotReady`] if it takes longer than `wait`.
    pub async fn ready(&self, wait: Duration) -> Result<Connection, InstanceError> {
        ready(self.state(), wait).await
    }

    /// Ends codex and everything it started, and waits for it. `None` if no process was running.
    pub async fn shutdown(mut self) -> Option<ShutdownReport> {
        self.stop.cancel();
        self.actor.join_next().await.and_then(Result::ok).flatten()
    }
}

/// As [`Instance::ready`], for somebody who has the instance's state only.
///
/// # Errors
/// As there.
pub async fn ready(
    mut state: watch::Receiver<InstanceState>,
    wait: Duration,
) -> Result<Connection, InstanceError> {
    let settled = timeout(wait, state.wait_for(|state| settled(state).is_some())).await;
    match settled {
        Err(_elapsed) => Err(InstanceError::NotReady { waited: wait }),
        // The actor is gone.
        Ok(Err(_closed)) => Err(InstanceError::Stopped),
        Ok(Ok(state)) => settled_or_stopped(&state),
    }
}

/// What a state says to somebody who wants a connection; `None`: wait.
fn settled(state: &InstanceState) -> Option<Result<Connection, InstanceError>> {
    match state {
        InstanceState::Ready(connection) => Some(Ok(connection.clone())),
        InstanceState::Starting
        | InstanceState::Backoff {
            why: InstanceError::Lost(_),
            ..
        } => None,
        InstanceState::Backoff { why, .. } => Some(Err(why.clone())),
        InstanceState::Stopped => Some(Err(InstanceError::Stopped)),
    }
}

fn settled_or_stopped(state: &InstanceState) -> Result<Connection, InstanceError> {
    settled(state).unwrap_or(Err(InstanceError::Stopped))
}

struct Actor {
    config: InstanceConfig,
    state: watch::Sender<InstanceState>,
    stop: CancellationToken,
    backoff: Backoff,
    generation: u64,
}

/// How one process's life ended.
enum Life {
    /// By itself; it is started again at `until`.
    Over { until: Instant },
    /// Because we are shutting down.
    Stopped(ShutdownReport),
}

impl Actor {
    async fn run(mut self) -> Option<ShutdownReport> {
        let report = self.keep_running().await;
        self.state.send_replace(InstanceState::Stopped);
        report
    }

    async fn keep_running(&mut self) -> Option<ShutdownReport> {
        loop {
            self.state.send_replace(InstanceState::Starting);
            let until = match self.launch().await {
                Ok(running) => match self.live(running).await {
                    Life::Over { until } => until,
                    Life::Stopped(report) => return Some(report),
                },
                Err(why) => self.back_off(why, Duration::ZERO),
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep_until(until) => {}
            }
        }
    }

    async fn launch(&mut self) -> Result<Running, InstanceError> {
        let child = self
            .config
            .guard
            .spawn(self.config.spec())
            .await
            .map_err(|source| InstanceError::Spawn {
                program: self.config.program.clone(),
                source: Arc::new(source),
            })?;
        self.generation += 1;
        let (stdin, stdout, process) = child.split();
        let (client, driver) = connect(
            stdout,
            stdin,
            self.config.limits,
            self.config.request_timeout,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run_open());
        tracing::debug!(generation = self.generation, pid = %process.handle().pid(), "codex started");
        Ok(Running {
            client,
            handle: process.handle(),
            process,
            driver: tasks,
            closer: None,
        })
    }

    /// From the handshake to the end.
    async fn live(&mut self, mut running: Running) -> Life {
        let stop = self.stop.clone();
        let shaken = tokio::select! {
            () = stop.cancelled() => return Life::Stopped(running.stop(&self.config.ladder).await),
            shaken = running.shake_hands(&self.config) => shaken,
        };
        let server = match shaken {
            Ok(server) => server,
            Err(why) => {
                let lost = match &why {
                    InstanceError::Start(lost) => Arc::clone(lost),
                    _ => Arc::new(ConnectionLost::Ended),
                };
                return self.over(running, why, &lost, Duration::ZERO).await;
            }
        };
        tracing::info!(
            generation = self.generation,
            pid = %running.handle.pid(),
            version = server.version(),
            "codex is ready"
        );
        self.state.send_replace(InstanceState::Ready(Connection {
            client: running.client.clone(),
            generation: self.generation,
            process: running.handle.clone(),
            server: Arc::new(server),
        }));
        let since = Instant::now();
        let lost = tokio::select! {
            () = stop.cancelled() => return Life::Stopped(running.stop(&self.config.ladder).await),
            lost = running.lost() => Arc::new(lost),
        };
        self.over(
            running,
            InstanceError::Lost(Arc::clone(&lost)),
            &lost,
            since.elapsed(),
        )
        .await
    }

    /// Says so first, so that whoever learns of the loss doesn't find the old connection, then clears away.
    async fn over(
        &mut self,
        running: Running,
        why: InstanceError,
        lost: &Arc<ConnectionLost>,
        lasted: Duration,
    ) -> Life {
        let until = self.back_off(why, lasted);
        running.client.close(lost);
        let report = running.stop(&self.config.ladder).await;
        tracing::debug!(?report, "codex cleared away");
        if self.stop.is_cancelled() {
            Life::Stopped(report)
        } else {
            Life::Over { until }
        }
    }

    fn back_off(&mut self, why: InstanceError, lasted: Duration) -> Instant {
        let wait = self
            .backoff
            .after(lasted, &mut rand::rngs::SmallRng::from_os_rng());
        // The details (they quote stderr) are for whoever asks.
        tracing::warn!(generation = self.generation, ?wait, "{}", headline(&why));
        let until = Instant::now() + wait;
        self.state
            .send_replace(InstanceState::Backoff { until, why });
        until
    }
}

fn headline(why: &InstanceError) -> &'static str {
    match why {
        InstanceError::Spawn { .. } => "codex could not be started",
        InstanceError::Start(_) => "codex did not get through its handshake",
        InstanceError::Handshake { .. } => "the handshake with codex failed",
        InstanceError::Lost(_) => "the connection to codex was lost",
        InstanceError::NotReady { .. } | InstanceError::Stopped => "codex is not running",
    }
}

/// How long is read on after the process has exited: the last lines are still in the pipe. Longer only if a survivor
/// holds it, or a consumer doesn't read.
const READ_ON: Duration = Duration::from_millis(500);
/// How long the process may take to exit after its stdout has ended, to learn its status.
const EXIT_LAG: Duration = Duration::from_millis(500);

/// A process and its connection.
struct Running {
    client: Client,
    handle: ProcessHandle,
    process: Process,
    driver: JoinSet<(ConnectionLost, Closer<Router>)>,
    /// The driver's, once it has ended: kept until we know what to tell everybody.
    closer: Option<Closer<Router>>,
}

impl Running {
    async fn shake_hands(&mut self, config: &InstanceConfig) -> Result<ServerInfo, InstanceError> {
        let client = self.client.clone();
        tokio::select! {
            lost = self.lost() => Err(InstanceError::Start(Arc::new(lost))),
            server = client.initialize(&config.client, config.handshake_timeout) => {
                server.map_err(|source| InstanceError::Handshake { source, stderr_tail: self.handle.stderr_tail() })
            }
        }
    }

    /// Waits for the connection's end, in whatever way.
    async fn lost(&mut self) -> ConnectionLost {
        let handle = self.handle.clone();
        let exited = |status| ConnectionLost::Exited {
            status,
            stderr_tail: handle.stderr_tail(),
        };
        tokio::select! {
            status = handle.exited() => {
                if let Ok(Some(Ok((_, closer)))) = timeout(READ_ON, self.driver.join_next()).await {
                    self.closer = Some(closer);
                }
                exited(status)
            }
            ended = self.driver.join_next() => {
                let lost = match ended {
                    Some(Ok((lost, closer))) => {
                        self.closer = Some(closer);
                        lost
                    }
                    _ => ConnectionLost::Ended,
                };
                timeout(EXIT_LAG, handle.exited()).await.map_or(lost, exited)
            }
        }
    }

    /// Ends the process by the ladder; what codex still says is read meanwhile. Streams and calls end last.
    async fn stop(mut self, ladder: &Ladder) -> ShutdownReport {
        self.client.hang_up();
        let report = self.process.shutdown(ladder).await;
        let _ = timeout(READ_ON, self.driver.join_next()).await;
        self.client.close(&Arc::new(ConnectionLost::Ended));
        report
    }
}
