//! What the fake knows and remembers.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

use super::{Fault, Rule};
use crate::{Answered, Callback};

/// A heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// When it arrived, see [`crate::clock::now_micros`].
    pub at: u64,
    /// `tasks` or `sandboxes`, as its path says.
    pub kind: String,
    /// The id in its path.
    pub id: String,
    /// Its body.
    pub body: Value,
}

/// A callback does not carry what its dispatch asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("callback {number} of subtask {subtask}: `{field}` is {found}, not {expected}")]
pub struct Mistake {
    /// The callback's number.
    pub number: u64,
    /// The subtask.
    pub subtask: i64,
    /// The field.
    pub field: &'static str,
    /// What was dispatched.
    pub expected: Value,
    /// What came back.
    pub found: Value,
}

#[derive(Debug)]
pub(super) struct State {
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
    /// How many cancel calls are outstanding.
    blocked: watch::Sender<u32>,
}

#[derive(Debug, Default)]
struct Known {
    callbacks: Vec<Callback>,
    started: Vec<Instant>,
    heartbeats: Vec<Heartbeat>,
    rules: Vec<Rule>,
    expected: HashMap<i64, Value>,
    mistakes: Vec<Mistake>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            changes: watch::channel(0).0,
            blocked: watch::channel(0).0,
        }
    }
}

/// While it lives, no callback is taken.
pub(super) struct Blocked<'a>(&'a State);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.blocked.send_modify(|count| *count -= 1);
    }
}

impl State {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn block(&self) -> Blocked<'_> {
        self.blocked.send_modify(|count| *count += 1);
        Blocked(self)
    }

    /// Waits while a cancel is outstanding.
    pub(super) async fn unblocked(&self) {
        // The sender lives as long as `self`.
        let _ = self.blocked.subscribe().wait_for(|count| *count == 0).await;
    }

    pub(super) fn started(&self, at: Instant) {
        self.known().started.push(at);
    }

    /// How long before `until` each callback request began that began after `from`.
    pub(super) fn started_between(&self, from: Instant, until: Instant) -> Vec<Duration> {
        let known = self.known();
        known
            .started
            .iter()
            .filter(|at| from <= **at && **at < until)
            .map(|at| until - *at)
            .collect()
    }

    pub(super) fn inject(&self, rule: Rule) {
        self.known().rules.push(rule);
    }

    pub(super) fn heal(&self) {
        self.known().rules.clear();
    }

    /// Notes a callback; gives its number, and the fault that is meant for it.
    pub(super) fn arrived(&self, mut callback: Callback) -> (u64, Option<Fault>) {
        let mut known = self.known();
        let number = known.callbacks.len() as u64 + 1;
        callback.number = number;
        let fault = known.take_fault(&callback);
        known.check(&callback);
        known.callbacks.push(callback);
        drop(known);
        self.changed();
        (number, fault)
    }

    pub(super) fn answered(&self, number: u64, answered: Answered, shown: bool) {
        let mut known = self.known();
        if let Some(callback) = known
            .callbacks
            .iter_mut()
            .find(|callback| callback.number == number)
        {
            (callback.answered, callback.shown) = (answered, shown);
        }
        drop(known);
        self.changed();
    }

    pub(super) fn beat(&self, heartbeat: Heartbeat) {
        self.known().heartbeats.push(heartbeat);
        self.changed();
    }

    /// Remembers what the callbacks of a dispatched turn have to carry.
    pub(super) fn expect(&self, body: &Value) {
        let metadata = &body["metadata"];
        if let Some(subtask) = metadata["subtask_id"].as_i64() {
            self.known().expected.insert(subtask, metadata.clone());
        }
    }

    pub(super) fn callbacks(&self) -> Vec<Callback> {
        self.known().callbacks.clone()
    }

    pub(super) fn heartbeats(&self) -> Vec<Heartbeat> {
        self.known().heartbeats.clone()
    }

    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        self.known().mistakes.clone()
    }
}

impl Known {
    fn take_fault(&mut self, callback: &Callback) -> Option<Fault> {
        let index = self.rules.iter().position(|rule| rule.fits(callback))?;
        let rule = &mut self.rules[index];
        let fault = rule.fault;
        if let Some(times) = &mut rule.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.rules.remove(index);
            }
        }
        Some(fault)
    }

    fn check(&mut self, callback: &Callback) {
        let Some(subtask) = callback.subtask() else {
            return;
        };
        let Some(expected) = self.expected.get(&subtask) else {
            return;
        };
        for field in ["task_id", "message_id", "executor_name"] {
            let (expected, found) = (&expected[field], &callback.body[field]);
            if !expected.is_null() && expected != found {
                let (expected, found) = (expected.clone(), found.clone());
                self.mistakes.push(Mistake {
                    number: callback.number,
                    subtask,
                    field,
                    expected,
                    found,
                });
            }
        }
    }
}
