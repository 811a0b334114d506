//! What the daemon is made of: the sessions, the running Codex, the figures, and the end of it all.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use host::error_chain;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    alert::Alerts,
    config::Config,
    history::History,
    paths::Durable,
    protocol::{Ask, AskId, Epoch, Fault, FaultCode, Outcome, SessionName, Target},
    sessions::{Asked, Job, Record, Session, Table, TableError},
    warm::{Program, Warm},
    worker,
};

/// Shared by everything that runs in the daemon.
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) program: Program,
    pub(crate) epoch: Epoch,
    pub(crate) started: Instant,
    pub(crate) warm: Arc<Warm>,
    pub(crate) history: Option<History>,
    pub(crate) alerts: Alerts,
    /// Ends the daemon.
    pub(crate) stop: CancellationToken,
    pub(crate) figures: Figures,
    table: Table,
    sessions: Mutex<BTreeMap<SessionName, Arc<Session>>>,
    workers: TaskTracker,
    changed: Notify,
    /// Held while they are written, so that none overwrites a newer one.
    keeping: Mutex<()>,
    /// Why the sessions couldn't be kept the last time.
    unkept: Mutex<Option<String>>,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) clients: AtomicUsize,
    pub(crate) turns: AtomicU64,
    pub(crate) failed_turns: AtomicU64,
    /// Seconds since 1970.
    pub(crate) heartbeat: AtomicU64,
    /// When something last happened, in seconds since 1970.
    pub(crate) active: AtomicU64,
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        program: Program,
        epoch: Epoch,
    ) -> Result<Arc<Self>, TableError> {
        let table = Table::in_folder(&config.state_dir);
        let records = table.load()?;
        let hub = Arc::new(Self {
            warm: Warm::start(&config, &program),
            history: config
                .history
                .map(|keep| History::new(&config.state_dir, keep)),
            alerts: Alerts::new(&config, &program),
            config,
            program,
            epoch,
            started: Instant::now(),
            stop: CancellationToken::new(),
            figures: Figures::default(),
            table,
            sessions: Mutex::default(),
            workers: TaskTracker::new(),
            changed: Notify::new(),
            keeping: Mutex::default(),
            unkept: Mutex::default(),
        });
        hub.figures
            .active
            .store(crate::sessions::now(), Ordering::Relaxed);
        for record in records {
            hub.add(record);
        }
        Ok(hub)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionName, Arc<Session>>> {
        // A panic under this lock leaves a whole map behind.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All sessions, by name.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// Adds a session with its worker, unless there is one of that name.
    pub(crate) fn add(self: &Arc<Self>, record: Record) -> Arc<Session> {
        let mut sessions = self.lock();
        if let Some(there) = sessions.get(&record.name) {
            return Arc::clone(there);
        }
        let session = Arc::new(Session::new(record, self.epoch.clone()));
        sessions.insert(session.name.clone(), Arc::clone(&session));
        let gone = make_room(&mut sessions, self.config.limits.sessions, &session.name);
        drop(sessions);
        if let Some(gone) = gone {
            tracing::info!(session = %gone.name, "the session used longest ago is forgotten");
            gone.closed.cancel();
        }
        self.workers
            .spawn(worker::work(Arc::clone(self), Arc::clone(&session)));
        session
    }

    /// The session that is meant, if it is there.
    pub(crate) fn find(&self, target: &Target) -> Result<Arc<Session>, Fault> {
        let name = name_of(target)?;
        let found = self.lock().get(&name).cloned();
        found.ok_or_else(|| {
            Fault::new(FaultCode::NotFound, format!("there is no session `{name}`"))
                .remedy("`codex-daemon sessions` lists them")
        })
    }

    /// The session that is meant, made if need be.
    pub(crate) fn find_or_add(self: &Arc<Self>, target: &Target) -> Result<Arc<Session>, Fault> {
        let name = name_of(target)?;
        if let Some(found) = self.lock().get(&name).cloned() {
            return Ok(found);
        }
        let cwd = target
            .cwd
            .as_deref()
            .ok_or_else(|| bad("`cwd` is missing: a new session needs the folder it works in"))?;
        let cwd = real_folder(cwd)?;
        let session = self.add(Record::new(name, cwd));
        self.keep_later();
        Ok(session)
    }

    /// Puts a question into its session's queue.
    pub(crate) fn ask(self: &Arc<Self>, ask: &Ask) -> Result<(Arc<Session>, Asked), Fault> {
        if self.stop.is_cancelled() {
            return Err(Fault::new(FaultCode::Stopping, "the daemon is ending"));
        }
        if ask.question.trim().is_empty() {
            return Err(bad("`question` is empty"));
        }
        let session = self.find_or_add(&ask.target())?;
        let job = Job {
            ask: ask.ask.clone(),
            question: ask.question.clone(),
            on_loss: ask.on_loss,
            cancel: CancellationToken::new(),
        };
        let asked = session.ask(job, self.config.limits.queue)?;
        self.touch();
        Ok((session, asked))
    }

    /// Something happens: the daemon isn't idle.
    pub(crate) fn touch(&self) {
        self.figures
            .active
            .store(crate::sessions::now(), Ordering::Relaxed);
    }

    /// Counts a question that is over.
    pub(crate) fn count(&self, session: &Session, ask: &AskId, outcome: &Outcome) {
        self.touch();
        self.figures.turns.fetch_add(1, Ordering::Relaxed);
        let (ask, session) = (ask.to_string(), session.name.as_str());
        match outcome {
            Outcome::Completed { .. } | Outcome::Interrupted => {
                tracing::info!(%ask, session, "question is over");
            }
            // The reason can quote the provider, but not the prompt.
            Outcome::Failed { error } | Outcome::Lost { error, .. } => {
                self.figures.failed_turns.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%ask, session, error, "question failed");
            }
        }
    }

    /// Keeps the sessions on disk at once, safe from our own death.
    pub(crate) fn keep(&self, durable: Durable) {
        let _one_at_a_time = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = self.sessions();
        let records = sessions.iter().map(|session| session.record()).collect();
        let saved = self.table.save(records, durable);
        let unkept = saved.err().map(|error| error_chain(&error));
        if let Some(why) = &unkept {
            tracing::error!(why, "the sessions can't be kept");
        }
        *self.unkept.lock().unwrap_or_else(PoisonError::into_inner) = unkept;
    }

    /// Keeps them soon, safe from a power failure.
    pub(crate) fn keep_later(&self) {
        self.changed.notify_one();
    }

    /// Does that. Runs until the daemon ends.
    pub(crate) async fn keeper(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.changed.notified() => {}
            }
            let hub = Arc::clone(&self);
            // Its panic would be ours: nothing in there panics.
            let _ = tokio::task::spawn_blocking(move || hub.keep(Durable::Yes)).await;
        }
    }

    /// Why the sessions couldn't be kept the last time.
    pub(crate) fn unkept(&self) -> Option<String> {
        self.unkept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether questions are being answered, and how many wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        self.sessions().iter().map(|session| session.load()).fold(
            (0, 0),
            |(running, queued), (is_running, waiting)| {
                (running + usize::from(is_running), queued + waiting)
            },
        )
    }

    /// Stops every question, ends the workers and Codex, and keeps the sessions.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        for session in self.sessions() {
            session.interrupt();
        }
        self.workers.close();
        self.workers.wait().await;
        self.warm.end().await;
        self.keep(Durable::Yes);
    }
}

fn bad(message: &str) -> Fault {
    Fault::new(FaultCode::BadRequest, message)
}

fn name_of(target: &Target) -> Result<SessionName, Fault> {
    match (&target.session, &target.cwd) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(cwd)) => {
            let text = real_folder(cwd)?.into_os_string().into_string();
            let text =
                text.map_err(|_| bad("`cwd` is not UTF-8; name the session with `session`"))?;
            SessionName::try_from(text).map_err(|error| bad(&error.to_string()))
        }
        (None, None) => Err(bad("one of `session` and `cwd` is needed")),
    }
}

fn real_folder(cwd: &Path) -> Result<std::path::PathBuf, Fault> {
    let wrong = |why: &str| bad(&format!("`cwd`: `{}` {why}", cwd.display()));
    if !cwd.is_absolute() {
        return Err(wrong("is not an absolute path"));
    }
    match cwd.canonicalize() {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => Err(wrong("is no folder")),
        Err(error) => Err(wrong(&format!("can't be used: {error}"))),
    }
}

/// Takes the session out that was used longest ago, if there are too many and one is at rest.
fn make_room(
    sessions: &mut BTreeMap<SessionName, Arc<Session>>,
    limit: usize,
    newest: &SessionName,
) -> Option<Arc<Session>> {
    if sessions.len() <= limit {
        return None;
    }
    let oldest = sessions
        .values()
        .filter(|session| session.name != *newest && session.load() == (false, 0))
        .min_by_key(|session| session.record().used)?
        .name
        .clone();
    sessions.remove(&oldest)
}
