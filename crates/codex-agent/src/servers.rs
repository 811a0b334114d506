//! The app-servers: one per task, warm between its turns, given back after an idle time.
//!
//! Only so many may be alive at once ([`CodexConfig::max_servers`]): one costs some 25 MB of memory of its own. When all
//! places are taken, the one that has been idle longest gives way, and if none is idle a turn waits for the first that
//! becomes free.
//!
//! A **spare** is started ahead of any task, in a home of its own, and given to the first task that has no server yet.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use agent_core::{AgentError, TaskId, Turn};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::{
    CodexConfig,
    launch::{self, Server},
    login, upkeep,
};

/// How long a server that was started ahead of its turn is not taken away by another task.
const WARM_GRACE: Duration = Duration::from_secs(30);

/// The app-servers that no turn is using.
pub(crate) struct Servers {
    config: CodexConfig,
    slots: Arc<Semaphore>,
    /// How many turns wait for a place.
    waiting: AtomicUsize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: HashMap<TaskId, Idle>,
    /// One that no task has yet.
    spare: Option<Server>,
    /// Ends servers whose time has come. In here, so that it can't outlive the agent.
    timers: JoinSet<()>,
}

/// A server that waits for its task's next turn.
struct Idle {
    server: Server,
    timer: AbortHandle,
    since: Instant,
    /// Whether it was started for a turn that has not begun yet.
    warmed: bool,
}

impl Pool {
    /// The server that can best be spared, out of the pool.
    fn spare_one(&mut self) -> Option<Server> {
        let longest = self
            .idle
            .iter()
            .filter(|(_, idle)| !idle.warmed || idle.since.elapsed() > WARM_GRACE)
            // A question that waits for the person lapses with its process, so such a one goes last.
            .min_by_key(|(_, idle)| (idle.server.paused.is_some(), idle.since))
            .map(|(task, _)| *task);
        match longest {
            Some(task) => self.remove(task),
            None => self.spare.take(),
        }
    }

    fn remove(&mut self, task: TaskId) -> Option<Server> {
        let idle = self.idle.remove(&task)?;
        idle.timer.abort();
        Some(idle.server)
    }
}

/// A turn that waits for a place, for as long as this lives.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a turn needs of its server.
#[derive(Clone, Copy)]
pub(crate) struct Need<'a> {
    /// Whose it is.
    pub(crate) task: TaskId,
    /// The task's state folder.
    pub(crate) state: &'a Path,
    /// Whether it uses the container's own login, which Codex reads when it starts.
    pub(crate) own_login: bool,
}

impl<'a> Need<'a> {
    /// The need of a turn.
    pub(crate) fn of(turn: &Turn, state: &'a Path) -> Self {
        Self {
            task: turn.key.task,
            state,
            own_login: turn.model.use_own_login,
        }
    }
}

impl Servers {
    /// No server yet.
    pub(crate) fn new(config: CodexConfig) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(config.max_servers.max(1))),
            waiting: AtomicUsize::new(0),
            config,
            pool: Mutex::default(),
        })
    }

    /// The task's server, for the use of one turn. A new one starts in the background. Waits for a place if there is none;
    /// may be dropped while it waits.
    ///
    /// # Errors
    /// [`AgentError`] when there is no CLI or its home can't be made.
    pub(crate) async fn take(&self, need: Need<'_>) -> Result<Server, AgentError> {
        if let Some(server) = self.at_hand(need).await? {
            return Ok(server);
        }
        let slot = self.slot(need.task).await;
        self.start(need, slot)
    }

    /// Has a server at hand for a turn that is about to begin, if there is a place for one.
    pub(crate) async fn warm(self: &Arc<Self>, task: TaskId, state: &Path) {
        if self.has(task).await {
            return;
        }
        let need = Need {
            task,
            state,
            // As it was in the turn before. If that is wrong, the turn replaces the server.
            own_login: login::is_linked(&self.config.homes.path(task)),
        };
        // What goes wrong here goes wrong again, and is told, when the turn takes its server.
        let server = match self.at_hand(need).await {
            Ok(Some(server)) => Ok(server),
            Ok(None) => match self.free_slot().await {
                Ok(slot) => self.start(need, slot),
                Err(_) => return,
            },
            Err(error) => Err(error),
        };
        if let Ok(server) = server {
            self.keep(task, server, true).await;
        }
    }

    /// Starts the spare, in a home of its own.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) async fn prepare_spare(&self) -> Result<(), AgentError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return Ok(());
        };
        let home = self.config.homes.prepare_spare(&self.config.owner)?;
        let server = launch::start(&self.config, home, false, slot)?;
        self.pool.lock().await.spare = Some(server);
        Ok(())
    }

    /// Keeps the server for the task's next turn, for as long as servers may be idle, or its question be open. It ends at once if another task
    /// waits for its place, or its home has grown too large and can only be cleared without it.
    pub(crate) async fn give_back(self: &Arc<Self>, task: TaskId, server: Server) {
        upkeep::touch(&server.home);
        if self.config.homes.is_overgrown(&server.home) {
            tracing::info!(task_id = %task, "the Codex home has grown large; its app-server is ended to clear it");
            return server.shutdown().await;
        }
        self.keep(task, server, false).await;
    }

    async fn keep(self: &Arc<Self>, task: TaskId, server: Server, warmed: bool) {
        let mut pool = self.pool.lock().await;
        while pool.timers.try_join_next().is_some() {}
        if !warmed && self.waiting.load(Ordering::SeqCst) > 0 {
            drop(pool);
            return server.shutdown().await;
        }
        let timer = pool
            .timers
            .spawn(Arc::clone(self).end_when_idle(task, self.patience(&server)));
        let idle = Idle {
            server,
            timer,
            since: Instant::now(),
            warmed,
        };
        if let Some(replaced) = pool.idle.insert(task, idle) {
            replaced.timer.abort();
            drop(pool);
            replaced.server.shutdown().await;
        }
    }

    fn patience(&self, server: &Server) -> Duration {
        match &server.paused {
            Some(paused) => paused.limit(self.config.question, SystemTime::now()),
            None => self.config.idle,
        }
    }

    fn end_when_idle(self: Arc<Self>, task: TaskId, after: Duration) -> impl Future<Output = ()> {
        let servers = Arc::downgrade(&self);
        async move {
            tokio::time::sleep(after).await;
            let Some(servers) = servers.upgrade() else {
                return;
            };
            // Not by `remove`: that would abort this very task.
            let idle = servers.pool.lock().await.idle.remove(&task);
            if let Some(idle) = idle {
                tracing::info!(task_id = %task, idle = ?after, "idle app-server is given back");
                idle.server.shutdown().await;
            }
        }
    }

    /// Whether a server of the task waits for a turn.
    pub(crate) async fn has(&self, task: TaskId) -> bool {
        self.pool.lock().await.idle.contains_key(&task)
    }

    /// Ends the task's idle server and returns when it has gone. Says whether there was one.
    pub(crate) async fn end(&self, task: TaskId) -> bool {
        let server = self.pool.lock().await.remove(task);
        match server {
            Some(server) => {
                server.shutdown().await;
                true
            }
            None => false,
        }
    }

    /// Ends every idle server and returns when they are gone.
    pub(crate) async fn shutdown(&self) {
        let Pool {
            idle,
            spare,
            mut timers,
        } = std::mem::take(&mut *self.pool.lock().await);
        timers.shutdown().await;
        let idle = idle.into_values().map(|idle| idle.server);
        futures::future::join_all(idle.chain(spare).map(Server::shutdown)).await;
    }

    /// The server that waits for the task, or the spare, made the task's.
    async fn at_hand(&self, need: Need<'_>) -> Result<Option<Server>, AgentError> {
        let Need {
            task,
            state,
            own_login,
        } = need;
        let mut pool = self.pool.lock().await;
        if let Some(server) = pool.remove(task) {
            if server.own_login == own_login {
                return Ok(Some(server));
            }
            drop(pool);
            server.shutdown().await;
            return Ok(None);
        }
        if own_login || self.config.homes.exists(task) {
            return Ok(None);
        }
        let Some(spare) = pool.spare.take() else {
            return Ok(None);
        };
        drop(pool);
        if !self.config.homes.adopt(task, state, &spare.home)? {
            // Something was put into the task's own home meanwhile.
            self.pool.lock().await.spare.get_or_insert(spare);
            return Ok(None);
        }
        tracing::info!(task_id = %task, "the spare app-server is the task's now");
        Ok(Some(spare))
    }

    fn start(&self, need: Need<'_>, slot: OwnedSemaphorePermit) -> Result<Server, AgentError> {
        let home = self.config.homes.prepare(need.task, need.state)?;
        login::link(&self.config, &home, need.own_login).map_err(|source| {
            AgentError::Workspace {
                message: format!("the login of codex home `{}` can't be set", home.display()),
                source: Some(source),
            }
        })?;
        launch::start(&self.config, home, need.own_login, slot)
    }

    /// A place for a server; waits for one if need be.
    async fn slot(&self, task: TaskId) -> OwnedSemaphorePermit {
        let waiter = match self.free_slot().await {
            Ok(slot) => return slot,
            Err(waiter) => waiter,
        };
        tracing::info!(task_id = %task, limit = self.config.max_servers, "all app-servers are busy, the turn waits");
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        drop(waiter);
        slot.expect("the places are never closed")
    }

    /// A place that is free, or that an idle server gives up; else a waiter's.
    async fn free_slot(&self) -> Result<OwnedSemaphorePermit, Waiter<'_>> {
        loop {
            let idle = {
                let mut pool = self.pool.lock().await;
                if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                    return Ok(slot);
                }
                // Under the lock: who gives a server back sees either this waiter or an empty place.
                pool.spare_one().ok_or_else(|| Waiter::new(&self.waiting))?
            };
            tracing::info!("an idle app-server gives way to another task's");
            idle.shutdown().await;
        }
    }
}
