//! The app-servers: one per task, warm between its turns, given back after an idle time.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{AgentError, TaskId, environment::Environment, scratch::Scratch};
use codex_app_server::{Instance, InstanceConfig, ThreadStream, protocol::ClientInfo};
use supervisor::{ChildEnv, Guard, Ladder};
use tokio::{
    sync::Mutex,
    task::{AbortHandle, JoinSet},
};

use crate::{CodexConfig, binary, pausing::Paused};

/// What the CLI itself gets of the environment, if it is there: nothing but what it needs to run and to reach
/// its provider. Its tools' environment is another matter.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CODEX_CA_CERTIFICATE",
];

/// How an app-server is brought to its end. It takes 60 ms when all is well; the whole executor has 8 s.
const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_millis(1500),
    after_term: Duration::from_millis(1000),
    kill_deadline: Duration::from_millis(1500),
};

/// A task's app-server with what is loaded in it.
pub(crate) struct Server {
    /// The process.
    pub(crate) instance: Instance,
    /// The conversation that is loaded and listened to.
    pub(crate) loaded: Option<Loaded>,
    /// The turn that waits for the person in it.
    pub(crate) paused: Option<Paused>,
    /// The session's temporary folder. After `instance`, so that it goes when the processes have gone.
    pub(crate) scratch: Scratch,
}

impl Server {
    /// Ends the processes, then removes their temporary folder.
    pub(crate) async fn shutdown(self) {
        self.instance.shutdown().await;
        drop(self.scratch);
    }
}

/// A thread that an app-server has in memory.
pub(crate) struct Loaded {
    /// Its messages.
    pub(crate) stream: ThreadStream,
    /// The configuration it was loaded with.
    pub(crate) fingerprint: u64,
    /// The process it was loaded in, by its generation.
    pub(crate) generation: u64,
}

/// The app-servers that no turn is using.
pub(crate) struct Servers {
    config: CodexConfig,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    servers: HashMap<TaskId, (Server, AbortHandle)>,
    /// Ends servers whose time has come. In here, so that it can't outlive the agent.
    timers: JoinSet<()>,
}

impl Servers {
    /// No server yet.
    pub(crate) fn new(config: CodexConfig) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            config,
            idle: Mutex::default(),
        })
    }

    /// The task's server, for the use of one turn. A new one starts in the background.
    ///
    /// # Errors
    /// [`AgentError`] when there is no CLI or its home can't be made.
    pub(crate) async fn take(&self, task: TaskId, state: &Path) -> Result<Server, AgentError> {
        if let Some((server, timer)) = self.idle.lock().await.servers.remove(&task) {
            timer.abort();
            return Ok(server);
        }
        let home = self.config.homes.prepare(task, state)?;
        let program = binary::find(
            self.config.binary.as_deref(),
            self.variable("PATH").map(OsString::as_os_str),
        )?;
        let scratch = Scratch::for_session(&self.config.image, &self.config.owner)?;
        Ok(Server {
            instance: Instance::start(self.instance(program, home, scratch.path())),
            loaded: None,
            paused: None,
            scratch,
        })
    }

    /// Keeps the server for the task's next turn, for as long as servers may be idle.
    pub(crate) async fn give_back(self: &std::sync::Arc<Self>, task: TaskId, server: Server) {
        let mut idle = self.idle.lock().await;
        while idle.timers.try_join_next().is_some() {}
        let pool = std::sync::Arc::downgrade(self);
        let after = self.config.idle;
        let timer = idle.timers.spawn(async move {
            tokio::time::sleep(after).await;
            let Some(pool) = pool.upgrade() else { return };
            let server = pool.idle.lock().await.servers.remove(&task);
            if let Some((server, _)) = server {
                tracing::info!(task_id = %task, idle = ?after, "idle app-server is given back");
                server.shutdown().await;
            }
        });
        if let Some((replaced, timer)) = idle.servers.insert(task, (server, timer)) {
            timer.abort();
            drop(idle);
            replaced.shutdown().await;
        }
    }

    /// Whether a server of the task waits for a turn.
    pub(crate) async fn has(&self, task: TaskId) -> bool {
        self.idle.lock().await.servers.contains_key(&task)
    }

    /// Ends the task's idle server and returns when it has gone. Says whether there was one.
    pub(crate) async fn end(&self, task: TaskId) -> bool {
        let server = self.idle.lock().await.servers.remove(&task);
        let Some((server, timer)) = server else {
            return false;
        };
        timer.abort();
        server.shutdown().await;
        true
    }

    /// Ends every idle server and returns when they are gone.
    pub(crate) async fn shutdown(&self) {
        let Idle {
            servers,
            mut timers,
        } = std::mem::take(&mut *self.idle.lock().await);
        timers.shutdown().await;
        futures::future::join_all(servers.into_values().map(|(server, _)| server.shutdown())).await;
    }

    fn instance(&self, program: PathBuf, home: PathBuf, scratch: &Path) -> InstanceConfig {
        let mut env: ChildEnv = ChildEnv::default();
        for name in ALLOWED {
            if let Some(value) = self.variable(name) {
                env.set(*name, value);
            }
        }
        env.set("CODEX_HOME", &home);
        env.set("TMPDIR", scratch);
        // What it says on stderr may come to be read by a person.
        env.set("NO_COLOR", "1");
        let client = ClientInfo {
            name: "wegent_executor".to_owned(),
            title: "Wegent executor".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        InstanceConfig {
            env,
            owner: self.config.owner.clone(),
            request_timeout: self.config.rpc_timeout,
            ladder: LADDER,
            ..InstanceConfig::new(Guard::own(), program, home, client)
        }
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        let environment: &Environment = &self.config.image;
        environment.get(std::ffi::OsStr::new(name))
    }
}

/// How long the parts of a turn may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the process's start to the end of its handshake.
    pub ready: Duration,
    /// From `turn/start` to the first sign of progress.
    pub first_progress: Duration,
}
