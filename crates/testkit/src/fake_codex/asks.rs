//! Requests of the fake to its client.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::oneshot;

/// The requests that wait for their answers. Ids are the fake's own, from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Asks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
}

impl Asks {
    /// A new request: its id, and where its answer comes.
    pub(super) fn open(&self) -> (u64, oneshot::Receiver<Value>) {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = state.next;
        state.next += 1;
        state.waiting.insert(id, sender);
        (id, receiver)
    }

    /// The client's answer: its result, or its error.
    pub(super) fn answered(&self, id: &Value, answer: Value) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = id.as_u64().and_then(|id| state.waiting.remove(&id));
        if let Some(sender) = waiting {
            // The turn may have been interrupted.
            let _ = sender.send(answer);
        }
    }
}
