//! A gate that couriers pass before each request.
//!
//! Wegent's manager answers no callback while it waits for the answer to a cancel: it makes that call
//! inside its event loop. So from a cancel's arrival until its answer is written out, no request of the
//! task may start. The same gate keeps a turn's first callback behind the answer to its dispatch.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use agent_core::TaskId;
use tokio::sync::watch;

/// Open unless someone holds it. Cheap to clone; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<usize>>);

/// Keeps a gate closed while it lives.
#[derive(Debug)]
pub struct Hold(Gate);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Gate {
    /// Closes the gate until the returned hold, and every other one, is dropped.
    pub fn hold(&self) -> Hold {
        self.0.send_modify(|holds| *holds += 1);
        Hold(self.clone())
    }

    /// Waits until nobody holds the gate.
    pub async fn opened(&self) {
        let mut holds = self.0.subscribe();
        // The sender lives in `self`, so waiting can't fail.
        let _ = holds.wait_for(|holds| *holds == 0).await;
    }

    /// Whether anybody else has this gate.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether somebody holds the gate.
    pub fn is_held(&self) -> bool {
        *self.0.borrow() > 0
    }
}

/// The gate of each task that has one in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<HashMap<TaskId, Gate>>>);

impl Gates {
    /// The task's gate.
    ///
    /// # Panics
    /// Never: nothing panics while the map is locked.
    pub fn of(&self, task: TaskId) -> Gate {
        let mut gates = self.0.lock().expect("no panic happens under this lock");
        gates.retain(|other, gate| *other == task || gate.is_shared());
        gates.entry(task).or_default().clone()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.send_modify(|holds| *holds -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_gate_opens_when_the_last_hold_goes() {
        let gate = Gate::default();
        assert!(gate.opened().now_or_never().is_some());
        let (first, second) = (gate.hold(), gate.hold());
        assert!(gate.opened().now_or_never().is_none());
        drop(first);
        assert!(gate.opened().now_or_never().is_none());
        assert!(gate.is_held());
        drop(second);
        gate.opened().await;
    }
}
