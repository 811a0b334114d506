//! The table of calls that wait for their answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::error::{ConnectionLost, RemoteError};

/// What a waiter gets: the answer, or why there will be none.
pub(super) type Outcome<'a> = Result<&'a RawValue, Failure>;

#[derive(Debug)]
pub(super) enum Failure {
    Remote(RemoteError),
    Closed(Arc<ConnectionLost>),
}

/// Runs where the answer is read, before the next line is looked at.
pub(super) type Waiter = Box<dyn FnOnce(Outcome<'_>) + Send>;

/// Calls that wait for their answer. When the connection ends every waiter gets one, and later calls fail at once.
///
/// Deadlines are kept by the waiting calls themselves: each owns a [`Slot`], which takes its entry out when the call
/// gives up or is dropped.
pub(super) struct Pending {
    state: Mutex<State>,
    waiting: watch::Sender<usize>,
}

enum State {
    Open {
        next: u64,
        waiters: HashMap<u64, Waiter>,
    },
    Closed(Arc<ConnectionLost>),
}

impl Pending {
    pub(super) fn new() -> Self {
        let state = Mutex::new(State::Open {
            next: 1,
            waiters: HashMap::new(),
        });
        Self {
            state,
            waiting: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held: waiters run after it is released.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls wait, to be watched.
    pub(super) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Adds a call.
    pub(super) fn insert(self: &Arc<Self>, waiter: Waiter) -> Result<Slot, Arc<ConnectionLost>> {
        let id = match &mut *self.lock() {
            State::Closed(why) => return Err(Arc::clone(why)),
            State::Open { next, waiters } => {
                let id = *next;
                *next += 1;
                waiters.insert(id, waiter);
                id
            }
        };
        self.waiting.send_modify(|count| *count += 1);
        Ok(Slot {
            pending: Arc::clone(self),
            id,
        })
    }

    /// Gives a call its answer. `false` if nobody waits for it (any more).
    pub(super) fn complete(&self, id: u64, outcome: Outcome<'_>) -> bool {
        let Some(waiter) = self.take(id) else {
            return false;
        };
        waiter(outcome);
        true
    }

    /// Gives every call the same answer, now and from now on. The first reason holds.
    pub(super) fn close(&self, why: &Arc<ConnectionLost>) {
        let waiters = match &mut *self.lock() {
            State::Closed(_) => return,
            state @ State::Open { .. } => std::mem::replace(state, State::Closed(Arc::clone(why))),
        };
        let State::Open { waiters, .. } = waiters else {
            return;
        };
        self.waiting.send_modify(|count| *count -= waiters.len());
        for waiter in waiters.into_values() {
            waiter(Err(Failure::Closed(Arc::clone(why))));
        }
    }

    fn take(&self, id: u64) -> Option<Waiter> {
        let waiter = match &mut *self.lock() {
            State::Open { waiters, .. } => waiters.remove(&id),
            State::Closed(_) => None,
        };
        if waiter.is_some() {
            self.waiting.send_modify(|count| *count -= 1);
        }
        waiter
    }
}

/// A call's place in the table; gives it up when dropped.
pub(super) struct Slot {
    pending: Arc<Pending>,
    id: u64,
}

impl Slot {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pending.take(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn waiter() -> (Waiter, mpsc::Receiver<Result<String, String>>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let waiter = Box::new(move |outcome: Outcome<'_>| {
            let outcome = outcome
                .map(|raw| raw.get().to_owned())
                .map_err(|failure| format!("{failure:?}"));
            sender.send(outcome).unwrap();
        });
        (waiter, receiver)
    }

    #[test]
    fn each_waiter_gets_its_own_answer_once() {
        let pending = Arc::new(Pending::new());
        let (first, first_answer) = waiter();
        let (second, second_answer) = waiter();
        let (first, second) = (
            pending.insert(first).unwrap(),
            pending.insert(second).unwrap(),
        );
        let raw = serde_json::value::to_raw_value(&2).unwrap();
        assert!(pending.complete(second.id(), Ok(&raw)));
        assert!(
            !pending.complete(second.id(), Ok(&raw)),
            "a second answer finds nobody"
        );
        assert_eq!(second_answer.try_recv().unwrap(), Ok("2".to_owned()));
        assert!(first_answer.try_recv().is_err());
        assert_eq!(*pending.waiting().borrow(), 1);
        drop(first);
        assert_eq!(*pending.waiting().borrow(), 0);
    }

    #[test]
    fn everybody_gets_an_answer_when_the_connection_ends() {
        let pending = Arc::new(Pending::new());
        let (one, answer) = waiter();
        let slot = pending.insert(one).unwrap();
        pending.close(&Arc::new(ConnectionLost::Closed));
        assert!(answer.try_recv().unwrap().unwrap_err().contains("Closed"));
        assert!(
            pending.insert(waiter().0).is_err(),
            "later calls fail at once"
        );
        drop(slot);
        assert_eq!(*pending.waiting().borrow(), 0);
    }

    #[test]
    fn a_call_that_gave_up_leaves_nothing_behind() {
        let pending = Arc::new(Pending::new());
        let (one, answer) = waiter();
        drop(pending.insert(one).unwrap());
        assert!(
            matches!(answer.try_recv(), Err(mpsc::TryRecvError::Disconnected)),
            "the waiter is gone"
        );
    }
}
