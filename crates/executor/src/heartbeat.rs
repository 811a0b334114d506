//! The sign of life: a small `POST` to Wegent's manager, every few seconds, for the life of the process.
//!
//! The manager takes an executor for dead about half a minute after the last one and then ends its task, so
//! they go on whatever the tasks do, and a failure is only logged. Whose life they tell of is the
//! [`Binding`]: known at the start, or, in a warm pool, learnt from the first task.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use agent_core::error_chain;
use http_client::{ClientError, HttpClients};
use serde::Serialize;
use tokio::{sync::watch, time::MissedTickBehavior};
use tracing::{debug, info, warn};

use crate::config::{HeartbeatBinding, HeartbeatConfig, HttpUrl};

/// Whom heartbeats tell of: a task's or a sandbox's id. Never blank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HeartbeatId(String);

impl HeartbeatId {
    /// Makes an id; `None` if it is blank.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        (!id.trim().is_empty()).then_some(Self(id))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<agent_core::TaskId> for HeartbeatId {
    fn from(task: agent_core::TaskId) -> Self {
        Self(task.to_string())
    }
}

/// What a [`HeartbeatId`] is the id of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatKind {
    /// A task.
    Task,
    /// A sandbox, which may serve several tasks.
    Sandbox,
}

impl HeartbeatKind {
    /// Reads `task` or `sandbox`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Task, Self::Sandbox]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Sandbox => "sandbox",
        }
    }

    /// The manager's route for it.
    fn route(self) -> &'static str {
        match self {
            Self::Task => "tasks",
            Self::Sandbox => "sandboxes",
        }
    }
}

/// Whom heartbeats tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its id.
    pub id: HeartbeatId,
    /// What it is the id of.
    pub kind: HeartbeatKind,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.id.as_str())
    }
}

/// The executor is bound to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this executor is bound to {current} and can't serve {wanted}")]
pub struct Conflict {
    /// To whom it is bound.
    pub current: Bound,
    /// To whom it was to be bound.
    pub wanted: Bound,
}

/// Whose life the heartbeats tell of. Cheap to clone; clones share the binding.
#[derive(Clone, Debug)]
pub struct Binding(Arc<Inner>);

/// Why the executor was not bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// It is bound to somebody else.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// It was not started ahead of its task.
    #[error("this executor was not started in a warm pool, so nobody can bind it")]
    NotEnabled,
    /// Nobody would hear of it.
    #[error("no address for heartbeats is configured")]
    NoEndpoint,
}

#[derive(Debug)]
struct Inner {
    /// There is somebody to send heartbeats to.
    has_endpoint: bool,
    /// Bound by the first task: a second one is a conflict. Otherwise tasks come and go under one binding.
    by_first_task: bool,
    bound: watch::Sender<Option<Bound>>,
}

impl Binding {
    /// The binding as the configuration has it.
    pub fn new(config: &HeartbeatConfig) -> Self {
        let bound = match &config.binding {
            HeartbeatBinding::Fixed(bound) => Some(bound.clone()),
            HeartbeatBinding::FirstTask | HeartbeatBinding::None => None,
        };
        Self(Arc::new(Inner {
            has_endpoint: config.base_url.is_some(),
            by_first_task: config.binding == HeartbeatBinding::FirstTask,
            bound: watch::Sender::new(bound),
        }))
    }

    /// A task is about to be served. In warm-pool mode the first one binds the executor for life; elsewhere, and in a
    /// sandbox, tasks neither bind nor conflict.
    ///
    /// # Errors
    /// [`Conflict`] if another task came first.
    pub fn serve(&self, wanted: Bound) -> Result<(), Conflict> {
        if !self.0.by_first_task {
            return Ok(());
        }
        if self.is_sandbox() && wanted.kind == HeartbeatKind::Task {
            return Ok(());
        }
        let mut conflict = None;
        self.0.bound.send_if_modified(|bound| match bound {
            None => {
                *bound = Some(wanted.clone());
                true
            }
            Some(current) => {
                conflict = (*current != wanted).then(|| current.clone());
                false
            }
        });
        match conflict {
            None => Ok(()),
            Some(current) => Err(Conflict { current, wanted }),
        }
    }

    /// Somebody binds the executor before its first task. Asked for the same again, it is as well.
    ///
    /// # Errors
    /// [`BindError`] if it is bound to somebody else, or can't be bound.
    pub fn bind(&self, wanted: Bound) -> Result<(), BindError> {
        if self.current().as_ref() == Some(&wanted) {
            return Ok(());
        }
        if let Some(current) = self.current() {
            return Err(Conflict { current, wanted }.into());
        }
        if !self.0.by_first_task {
            return Err(BindError::NotEnabled);
        }
        if !self.0.has_endpoint {
            return Err(BindError::NoEndpoint);
        }
        Ok(self.serve(wanted)?)
    }

    /// Whether the executor is a sandbox's now.
    pub fn is_sandbox(&self) -> bool {
        let current = self.0.bound.borrow();
        current
            .as_ref()
            .is_some_and(|bound| bound.kind == HeartbeatKind::Sandbox)
    }

    /// To whom the executor is bound now.
    pub fn current(&self) -> Option<Bound> {
        self.0.bound.borrow().clone()
    }
}

#[derive(Serialize)]
struct Beat<'a> {
    heartbeat_id: &'a HeartbeatId,
    heartbeat_type: HeartbeatKind,
    /// The id once more where it is a sandbox's: Wegent of January 2026 knows no other name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox_id: Option<&'a HeartbeatId>,
    /// Seconds since the epoch.
    timestamp: f64,
}

/// Sends heartbeats, the first as soon as there is somebody to tell of, until it is dropped.
/// Returns at once if there is nothing to send, ever.
pub async fn run(config: HeartbeatConfig, binding: Binding, clients: HttpClients) {
    let (true, Some(base_url)) = (config.enabled, config.base_url) else {
        debug!("no heartbeats");
        return;
    };
    let mut changes = binding.0.bound.subscribe();
    // The sender lives in `binding`, so waiting can't fail.
    let Ok(bound) = changes.wait_for(Option::is_some).await.map(|b| b.clone()) else {
        return;
    };
    let Some(bound) = bound else { return };
    info!(%bound, interval = ?config.interval, "heartbeats begin");
    let mut pulse = Pulse {
        url: base_url.join(&[bound.kind.route(), bound.id.as_str(), "heartbeat"]),
        base_url,
        timeout: config.timeout,
        clients,
        bound,
        failing: false,
    };
    let mut ticks = tokio::time::interval(config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        pulse.beat().await;
    }
}

/// Sends single heartbeats and remembers whether the last one arrived.
struct Pulse {
    base_url: HttpUrl,
    url: reqwest::Url,
    timeout: Duration,
    clients: HttpClients,
    bound: Bound,
    failing: bool,
}

/// A heartbeat didn't arrive.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("request failed: {}", error_chain(.0))]
    Request(#[source] reqwest::Error),
}

impl Pulse {
    /// Sends one. The first failure of a row is worth a warning, the end of the row a note.
    async fn beat(&mut self) {
        let sent = self.send().await;
        match (&sent, self.failing) {
            (Err(error), false) => warn!(%error, url = %self.base_url, "heartbeat failed"),
            (Err(error), true) => debug!(%error, "heartbeat failed again"),
            (Ok(()), true) => info!("heartbeats arrive again"),
            (Ok(()), false) => {}
        }
        self.failing = sent.is_err();
    }

    async fn send(&self) -> Result<(), Missed> {
        let client = self.clients.client_for(&self.base_url).await?;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let beat = Beat {
            heartbeat_id: &self.bound.id,
            heartbeat_type: self.bound.kind,
            sandbox_id: (self.bound.kind == HeartbeatKind::Sandbox).then_some(&self.bound.id),
            timestamp: since_epoch.unwrap_or_default().as_secs_f64(),
        };
        let request = client
            .post(self.url.clone())
            .timeout(self.timeout)
            .json(&beat);
        // Without the URL: it may hold credentials.
        let failed = |error: reqwest::Error| Missed::Request(error.without_url());
        let answer = request.send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        // Read to the end so that the connection can be used again.
        answer.bytes().await.map_err(failed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str) -> Bound {
        Bound {
            id: HeartbeatId::new(id).unwrap(),
            kind: HeartbeatKind::Task,
        }
    }

    fn binding(binding: HeartbeatBinding) -> Binding {
        Binding::new(&HeartbeatConfig {
            binding,
            base_url: HttpUrl::parse("http://manager").ok(),
            ..HeartbeatConfig::default()
        })
    }

    #[test]
    fn only_a_warm_executor_can_be_bound_and_only_once() {
        let warm = binding(HeartbeatBinding::FirstTask);
        let sandbox = Bound {
            kind: HeartbeatKind::Sandbox,
            ..task("7")
        };
        warm.bind(sandbox.clone()).unwrap();
        warm.bind(sandbox.clone()).unwrap();
        assert!(warm.is_sandbox());
        // Its tasks come and go.
        warm.serve(task("1")).unwrap();
        warm.serve(task("2")).unwrap();
        assert!(matches!(warm.bind(task("7")), Err(BindError::Conflict(_))));
        let fixed = binding(HeartbeatBinding::Fixed(task("1")));
        fixed.bind(task("1")).unwrap();
        assert!(!fixed.is_sandbox());
        assert!(matches!(fixed.bind(task("2")), Err(BindError::Conflict(_))));
        let none = binding(HeartbeatBinding::None);
        assert_eq!(none.bind(task("1")), Err(BindError::NotEnabled));
        let deaf = Binding::new(&HeartbeatConfig {
            binding: HeartbeatBinding::FirstTask,
            ..HeartbeatConfig::default()
        });
        assert_eq!(deaf.bind(task("1")), Err(BindError::NoEndpoint));
    }

    #[test]
    fn in_a_warm_pool_the_first_task_binds_and_a_second_conflicts() {
        let binding = binding(HeartbeatBinding::FirstTask);
        assert_eq!(binding.current(), None);
        binding.serve(task("1")).unwrap();
        binding.serve(task("1")).unwrap();
        let conflict = binding.serve(task("2")).unwrap_err();
        assert_eq!(
            conflict.to_string(),
            "this executor is bound to task 1 and can't serve task 2"
        );
        let kind = HeartbeatKind::Sandbox;
        assert!(binding.serve(Bound { kind, ..task("1") }).is_err());
        assert_eq!(binding.current(), Some(task("1")));
    }

    #[test]
    fn elsewhere_tasks_neither_bind_nor_conflict() {
        let fixed = binding(HeartbeatBinding::Fixed(task("1")));
        fixed.serve(task("2")).unwrap();
        assert_eq!(fixed.current(), Some(task("1")));
        let none = binding(HeartbeatBinding::None);
        none.serve(task("2")).unwrap();
        assert_eq!(none.current(), None);
    }

    #[test]
    fn ids_are_not_blank() {
        assert_eq!(HeartbeatId::new(" "), None);
        assert!(HeartbeatId::new("1").is_some());
    }
}
