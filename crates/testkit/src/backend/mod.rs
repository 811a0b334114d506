//! Wegent's manager and everything behind it, as an executor sees them.
//!
//! The fake takes callbacks and heartbeats, dispatches and cancels turns, and misbehaves on request:
//! [`Backend::inject`] makes it refuse, delay, hang or lose answers, [`Backend::go_away`] takes it off the
//! network. It remembers every callback with its times, so that the [oracle] can say what a
//! person would have seen.
//!
//! One property of the real manager is modelled with care: it calls the executor's cancel route from within
//! its event loop, and takes no callback until the answer is there. An executor that posts a callback and
//! waits for it before it answers the cancel blocks both for 10 seconds; see [`Backend::cancel`].

mod faults;
mod files;
mod routes;
mod state;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
pub use faults::{Fault, On, Rule};
pub use files::{Asked, Files, Trouble, etag, skill_archive};
use serde_json::Value;
use state::State;
pub use state::{Heartbeat, Mistake};
use tokio::sync::Mutex;

use crate::{
    Callback, View, cumulative,
    http::{
        Server,
        client::{self, Answer},
        free_port,
    },
    oracle,
};

/// How long the manager waits for the answer to a dispatch or a cancel.
const MANAGER_PATIENCE: Duration = Duration::from_secs(10);

/// A callback that starts this shortly before the cancel's answer was *seen* may have started after it was *sent*.
const SIMULTANEOUS: Duration = Duration::from_millis(20);

/// A callback that starts this shortly after the cancel was *sent* may have started before it *arrived*: the two cross
/// on the way, and no executor can prevent that.
const ON_ITS_WAY: Duration = Duration::from_millis(30);

/// The running fake. Dropping it closes its connections.
#[derive(Debug)]
pub struct Backend {
    state: Arc<State>,
    files: Arc<Files>,
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

fn router(state: &Arc<State>, files: &Arc<Files>) -> Router {
    routes::router(Arc::clone(state)).merge(files::router(Arc::clone(files)))
}

/// How a cancel went.
#[derive(Clone, Debug)]
pub struct CancelReport {
    /// The executor's answer; `None` if none came within 10 s.
    pub answer: Option<Answer>,
    /// How long it took.
    pub took: Duration,
    /// For every callback request that started while the answer was outstanding: how long before the answer.
    pub started_meanwhile: Vec<Duration>,
}

impl CancelReport {
    /// The answer's status.
    pub fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.status)
    }

    /// Whether a callback was started that the manager could not take: one that began clearly before the answer
    /// did. (The last few milliseconds can't be judged from the outside.)
    pub fn disturbed(&self) -> bool {
        self.started_meanwhile
            .iter()
            .any(|before| *before > SIMULTANEOUS && self.took.saturating_sub(*before) > ON_ITS_WAY)
    }
}

impl Backend {
    /// Starts the fake on a free port, to which it can come back.
    ///
    /// # Errors
    /// If it can't listen.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let files = Arc::new(Files::default());
        let server = Server::start(free_port(), router(&state, &files)).await?;
        Ok(Self {
            state,
            files,
            address: server.address(),
            server: Mutex::new(Some(server)),
        })
    }

    /// What an executor gets as `TASK_API_DOMAIN`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The attachments and skills.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// What an executor gets as `CALLBACK_URL`.
    pub fn callback_url(&self) -> String {
        format!("http://{}/executor-manager/callback", self.address)
    }

    /// What an executor gets as `EXECUTOR_MANAGER_HEARTBEAT_BASE_URL`.
    pub fn heartbeat_base_url(&self) -> String {
        format!("http://{}/executor-manager", self.address)
    }

    /// Dispatches a turn: posts `body` to `/v1/responses` of the executor at `executor_url`. From here on the
    /// callbacks of its subtask are checked against what it says, see [`mistakes`](Self::mistakes).
    ///
    /// # Errors
    /// If no answer comes within 10 s.
    pub async fn dispatch(&self, executor_url: &str, body: &Value) -> io::Result<Answer> {
        self.state.expect(body);
        let url = format!("{}/v1/responses", executor_url.trim_end_matches('/'));
        client::post(&url, body, MANAGER_PATIENCE).await
    }

    /// Dispatches a turn as Wegent's manager of January 2026 does: posts a flat payload to `/api/tasks/execute`.
    ///
    /// # Errors
    /// If no answer comes within 10 s.
    pub async fn execute(&self, executor_url: &str, payload: &Value) -> io::Result<Answer> {
        let url = format!("{}/api/tasks/execute", executor_url.trim_end_matches('/'));
        client::post(&url, payload, MANAGER_PATIENCE).await
    }

    /// What that time's backend stores of one subtask.
    pub fn stored(&self, subtask: i64, rule: cumulative::Rule) -> cumulative::Stored {
        cumulative::replay(&self.callbacks(subtask), rule)
    }

    /// Cancels as the manager does: while the answer is outstanding (10 s at most), no callback is taken.
    pub async fn cancel(
        &self,
        executor_url: &str,
        task: i64,
        subtask: Option<i64>,
    ) -> CancelReport {
        let mut url = format!(
            "{}/api/tasks/cancel?task_id={task}",
            executor_url.trim_end_matches('/')
        );
        if let Some(subtask) = subtask {
            url.push_str(&format!("&subtask_id={subtask}"));
        }
        let blocked = self.state.block();
        let from = Instant::now();
        let answer = client::request("POST", &url, &[], b"", MANAGER_PATIENCE)
            .await
            .ok();
        let until = Instant::now();
        drop(blocked);
        let started_meanwhile = self.state.started_between(from, until);
        CancelReport {
            answer,
            took: until - from,
            started_meanwhile,
        }
    }

    /// Makes callbacks go wrong. Rules are tried in the order in which they were made.
    pub fn inject(&self, rule: Rule) {
        self.state.inject(rule);
    }

    /// Forgets all rules; requests that hang go on hanging.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// Leaves the network: the listener and all connections are closed when this returns.
    pub async fn go_away(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// If the port has been taken meanwhile.
    pub async fn come_back(&self) -> io::Result<()> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            *server =
                Some(Server::start(self.address.port(), router(&self.state, &self.files)).await?);
        }
        Ok(())
    }

    /// Every callback so far, in order of arrival, those that were refused too.
    pub fn all_callbacks(&self) -> Vec<Callback> {
        self.state.callbacks()
    }

    /// The callbacks of one subtask.
    pub fn callbacks(&self, subtask: i64) -> Vec<Callback> {
        let mut callbacks = self.all_callbacks();
        callbacks.retain(|callback| callback.subtask() == Some(subtask));
        callbacks
    }

    /// What a person sees of one subtask.
    pub fn view(&self, subtask: i64) -> View {
        oracle::replay(&self.callbacks(subtask))
    }

    /// The heartbeats so far.
    pub fn heartbeats(&self) -> Vec<Heartbeat> {
        self.state.heartbeats()
    }

    /// Callbacks that don't carry what their dispatch asked for.
    pub fn mistakes(&self) -> Vec<Mistake> {
        self.state.mistakes()
    }

    /// Waits until the callbacks so far satisfy `condition`; `false` if `timeout` passes before.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        condition: impl Fn(&[Callback]) -> bool,
    ) -> bool {
        let mut changes = self.state.changes();
        let wait = async {
            while !condition(&self.all_callbacks()) {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, wait).await.is_ok()
    }

    /// Waits for the terminal callback of a subtask's `attempt`-th run, counted from 1, that has been shown and
    /// answered. `None` if `timeout` passes before.
    pub async fn wait_end(
        &self,
        subtask: i64,
        attempt: usize,
        timeout: Duration,
    ) -> Option<Callback> {
        let ends = |callbacks: &[Callback]| -> Vec<Callback> {
            let ours = callbacks
                .iter()
                .filter(|callback| callback.subtask() == Some(subtask));
            ours.filter(|callback| callback.is_terminal() && callback.acknowledged())
                .cloned()
                .collect()
        };
        self.wait_for(timeout, |callbacks| ends(callbacks).len() >= attempt)
            .await;
        ends(&self.all_callbacks())
            .into_iter()
            .nth(attempt.saturating_sub(1))
    }

    /// Waits for the terminal callback of a subtask.
    ///
    /// # Panics
    /// If `timeout` passes before, showing what came until then.
    pub async fn wait_terminal(&self, subtask: i64, timeout: Duration) -> Callback {
        match self.wait_end(subtask, 1, timeout).await {
            Some(callback) => callback,
            None => panic!(
                "no terminal callback for subtask {subtask} in {timeout:?}; seen: {:#?}",
                self.view(subtask)
            ),
        }
    }
}
