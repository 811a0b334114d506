//! Codex, started before it is needed and kept running: probed, replaced when it hangs, counted.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use codex_app_server::{
    Connection, Instance, InstanceConfig, InstanceError, InstanceState, RpcError,
    protocol::ClientInfo,
};
use host::error_chain;
use serde::{Deserialize, Serialize};
use supervisor::{ChildEnv, Guard, Ladder};
use tokio::{
    sync::{Mutex, RwLock, RwLockReadGuard, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bridge,
    config::{Access, Config},
    protocol::{Mode, Warmth},
};

/// How Codex is brought to its end.
const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_millis(1500),
    after_term: Duration::from_millis(1000),
    kill_deadline: Duration::from_millis(1500),
};
/// The longest that a question waits for Codex to be ready.
const READY: Duration = Duration::from_secs(30);

/// Whether commands can be confined on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// Nobody has looked yet.
    Untried,
    Works,
    /// What it says.
    Broken(String),
}

/// The running Codex.
pub(crate) struct Warm {
    settings: InstanceConfig,
    attached: Option<PathBuf>,
    access: Access,
    probe: (Duration, Duration),
    auto_restart: bool,
    instance: Mutex<Option<Instance>>,
    state: watch::Sender<InstanceState>,
    sandbox: watch::Sender<Sandbox>,
    /// Read while a question is being answered, written to replace Codex between questions.
    gate: RwLock<()>,
    restarts: AtomicU64,
    ready_since: std::sync::Mutex<Option<Instant>>,
}

/// What a program is started with.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) env: ChildEnv,
    pub(crate) owner: String,
    /// The user's home.
    pub(crate) home: PathBuf,
}

impl Warm {
    /// Starts Codex in the background.
    pub(crate) fn start(config: &Config, program: &Program) -> Arc<Self> {
        let client = ClientInfo {
            name: "codex_daemon".into(),
            title: "codex-daemon".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut settings =
            InstanceConfig::new(Guard::own(), &program.path, &config.state_dir, client);
        run_what(&mut settings, config.attach.as_deref());
        settings.env = program.env.clone();
        settings.owner.clone_from(&program.owner);
        settings.handshake_timeout = config.handshake_timeout;
        settings.ladder = LADDER;
        settings.backoff.longest = Duration::from_secs(10);
        let instance = Instance::start(settings.clone());
        Arc::new(Self {
            settings,
            attached: config.attach.clone(),
            access: config.access,
            probe: config.probe,
            auto_restart: config.auto_restart,
            state: watch::Sender::new(instance.state().borrow().clone()),
            instance: Mutex::new(Some(instance)),
            sandbox: watch::Sender::new(Sandbox::Untried),
            gate: RwLock::new(()),
            restarts: AtomicU64::new(0),
            ready_since: std::sync::Mutex::new(None),
        })
    }

    /// Follows Codex's states, probes it, and replaces it when it hangs. Runs until `stop`.
    pub(crate) async fn watch(self: &Arc<Self>, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
            () = self.keep_probing() => {}
        }
    }

    async fn follow(self: &Arc<Self>) {
        loop {
            let Some(mut states) = self.states().await else {
                // Stopped on purpose; `restart` brings another one.
                self.changed().await;
                continue;
            };
            loop {
                let state = states.borrow_and_update().clone();
                let stopped = matches!(state, InstanceState::Stopped);
                self.enter(state).await;
                if stopped || states.changed().await.is_err() {
                    break;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn states(&self) -> Option<watch::Receiver<InstanceState>> {
        self.instance.lock().await.as_ref().map(Instance::state)
    }

    async fn changed(&self) {
        let mut state = self.state.subscribe();
        let _ = state.changed().await;
    }

    async fn enter(self: &Arc<Self>, state: InstanceState) {
        self.state.send_replace(state.clone());
        let ready = matches!(state, InstanceState::Ready(_));
        *self.since() = ready.then(Instant::now);
        match state {
            InstanceState::Ready(connection) => {
                let sandbox = self.try_sandbox(&connection).await;
                self.sandbox.send_replace(sandbox);
            }
            InstanceState::Backoff { .. } => {
                self.restarts.fetch_add(1, Ordering::Relaxed);
                if !self.auto_restart {
                    tracing::error!("codex ended and is not started again: auto_restart is off");
                    self.end().await;
                }
            }
            InstanceState::Starting | InstanceState::Stopped => {}
        }
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.ready_since
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks Codex for its threads from time to time. One that doesn't answer is killed; the instance starts another.
    async fn keep_probing(&self) {
        let (every, within) = self.probe;
        loop {
            sleep(every).await;
            let Some(connection) = self.connection() else {
                continue;
            };
            let client = connection.client().with_timeout(within);
            if let Err(RpcError::Deadline { .. }) = client.threads_loaded().await {
                tracing::error!(pid = %connection.process().pid(), "codex hangs and is replaced");
                connection.process().kill().await;
            }
        }
    }

    /// The connection in use, if there is one.
    pub(crate) fn connection(&self) -> Option<Connection> {
        match &*self.state.borrow() {
            InstanceState::Ready(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Waits until Codex can be used. While the guard lives, Codex isn't replaced on purpose.
    pub(crate) async fn ready(
        &self,
    ) -> Result<(Connection, RwLockReadGuard<'_, ()>), InstanceError> {
        let guard = self.gate.read().await;
        let state = self.states().await.ok_or(InstanceError::Stopped)?;
        Ok((codex_app_server::ready(state, READY).await?, guard))
    }

    /// Ends Codex and starts it again, when no question is being answered.
    pub(crate) async fn restart(&self) {
        let _between_questions = self.gate.write().await;
        self.end().await;
        self.restarts.fetch_add(1, Ordering::Relaxed);
        *self.instance.lock().await = Some(Instance::start(self.settings.clone()));
        self.state.send_replace(InstanceState::Starting);
    }

    /// Ends Codex and everything it started.
    pub(crate) async fn end(&self) {
        let instance = self.instance.lock().await.take();
        if let Some(instance) = instance {
            instance.shutdown().await;
        }
        self.state.send_replace(InstanceState::Stopped);
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// How Codex is driven.
    pub(crate) fn mode(&self) -> Mode {
        match (&*self.state.borrow(), &self.attached) {
            (_, Some(socket)) => Mode::Attached {
                socket: socket.clone(),
            },
            (InstanceState::Backoff { why, .. }, None) if is_no_handshake(why) => Mode::Exec {
                why: error_chain(why),
            },
            _ => Mode::AppServer,
        }
    }

    pub(crate) fn warmth(&self) -> Warmth {
        match &*self.state.borrow() {
            InstanceState::Starting => Warmth::Starting,
            InstanceState::Ready(connection) => Warmth::Ready {
                pid: connection.process().pid().as_raw(),
                version: connection
                    .server()
                    .version()
                    .unwrap_or("unknown")
                    .to_owned(),
                since_seconds: self.since().map_or(0, |since| since.elapsed().as_secs()),
            },
            InstanceState::Backoff { why, .. } => Warmth::Failed {
                why: error_chain(why),
            },
            InstanceState::Stopped => Warmth::Failed {
                why: "codex ended, and auto_restart is off".to_owned(),
            },
        }
    }

    pub(crate) fn sandbox(&self) -> Sandbox {
        self.sandbox.borrow().clone()
    }

    /// Waits until it is known whether commands can be confined; an error if they can't.
    pub(crate) async fn sandboxed(&self) -> Result<(), String> {
        let mut sandbox = self.sandbox.subscribe();
        let tried = sandbox.wait_for(|sandbox| *sandbox != Sandbox::Untried);
        let tried = tokio::time::timeout(Duration::from_secs(15), tried).await;
        match tried.ok().and_then(Result::ok).as_deref() {
            Some(Sandbox::Broken(why)) => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Runs `true` in the sandbox.
    async fn try_sandbox(&self, connection: &Connection) -> Sandbox {
        if self.access == Access::Full {
            return Sandbox::Works;
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Exec<'a> {
            command: [&'a str; 1],
            cwd: &'a Path,
            sandbox_policy: codex_app_server::protocol::SandboxPolicy,
            timeout_ms: u64,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Done {
            exit_code: i32,
            #[serde(default)]
            stderr: String,
        }
        let exec = Exec {
            command: ["true"],
            cwd: Path::new("/"),
            sandbox_policy: codex_app_server::protocol::SandboxPolicy::ReadOnly {
                network_access: false,
            },
            timeout_ms: 8000,
        };
        let wait = Duration::from_secs(10);
        match connection.client().call("command/exec", &exec, wait).await {
            Ok(Done { exit_code: 0, .. }) => Sandbox::Works,
            Ok(Done { exit_code, stderr }) => {
                let said: String = stderr.trim().chars().take(500).collect();
                tracing::error!(exit_code, "the sandbox does not work");
                Sandbox::Broken(format!("exit code {exit_code}: {said}"))
            }
            Err(RpcError::Remote { error, .. }) => Sandbox::Broken(error.message),
            // The next process is tried again.
            Err(_) => Sandbox::Untried,
        }
    }
}

/// Whether the program runs, but isn't an app-server that we can talk to.
pub(crate) fn is_no_handshake(why: &InstanceError) -> bool {
    matches!(
        why,
        InstanceError::Start(_) | InstanceError::Handshake { .. }
    )
}

/// What is run. Codex's own configuration stays the user's; but keys of the environment are not for tools, and no dump of
/// the environment is written to disk. Somebody else's app-server is reached by this same program, as a bridge.
fn run_what(settings: &mut InstanceConfig, attach: Option<&Path>) {
    match attach {
        Some(socket) => {
            settings.program = "/proc/self/exe".into();
            settings.command = bridge::COMMAND.into();
            settings.args = vec![socket.into()];
        }
        None => {
            settings.args = [
                "-c",
                "shell_environment_policy.ignore_default_excludes=false",
                "-c",
                "features.shell_snapshot=false",
            ]
            .map(OsString::from)
            .into();
        }
    }
}
