//! The registry with an agent of the test's own, and a reader that remembers.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_core::{Agent, Layout, StateHome, prepare::Preparer};
use bytes::Bytes;
use executor::{
    backend::Backend,
    clock::Clock,
    config::{Config, IdentityConfig, ImageEnvironment},
    courier::{Label, Posted, RetryPolicy, Transport},
    factory::Agents,
    logging::LogSecrets,
    outlets::Outlets,
    runs::{Limits, Services},
    validate::Machine,
};
use futures::future::{BoxFuture, FutureExt};
use http_client::{HttpClients, Proxies};
use journal::{Retention, Store};
use serde_json::Value;
use tokio::sync::watch;

/// Remembers the types of what was posted.
#[derive(Default)]
pub(crate) struct Seen {
    types: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

impl Seen {
    pub(crate) fn types(&self) -> Vec<String> {
        self.types.lock().unwrap().clone()
    }

    /// Takes nothing while it is held.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub(crate) async fn until(&self, count: usize) {
        let mut counted = self.count.subscribe();
        let reached = counted.wait_for(|seen| *seen >= count);
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "only {:?}", self.types());
    }
}

impl Transport for Seen {
    fn post<'a>(&'a self, _label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted> {
        let body: Value = serde_json::from_slice(&body).unwrap();
        async move {
            let mut held = self.held.subscribe();
            held.wait_for(|held| !held).await.unwrap();
            let mut types = self.types.lock().unwrap();
            types.push(body["event_type"].as_str().unwrap().to_owned());
            self.count.send_replace(types.len());
            Posted::Accepted
        }
        .boxed()
    }
}

/// What a registry works with whose turns all go to `agent`, and all callbacks to `seen`.
pub(crate) fn services(root: &Path, agent: impl Agent, seen: &Arc<Seen>) -> Services {
    let agent = Arc::new(agent);
    Services {
        store: Store::open(&root.join("journal")).unwrap(),
        retention: Retention::default(),
        agents: Agents::new(agent.clone(), agent),
        preparer: Arc::new(Preparer::new(
            Layout {
                workspace_root: root.to_path_buf(),
                state: StateHome::InWorkspace,
            },
            Default::default(),
            "e",
            Arc::new(Backend::new(
                HttpClients::new(Proxies::default()).unwrap(),
                None,
            )),
        )),
        machine: Arc::new(Machine::new(
            &Config::read(ImageEnvironment::from_iter([("HOME", root)])).unwrap(),
        )),
        outlets: Outlets::Fixed(seen.clone()),
        retries: RetryPolicy::default(),
        identity: IdentityConfig {
            name: "e".to_owned(),
            namespace: None,
        },
        codex_events: None,
        image: Default::default(),
        log: LogSecrets::default(),
        limits: Limits::default(),
        rerun: false,
        clock: Clock::System,
    }
}
