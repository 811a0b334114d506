//! What the registry knows: every turn by its ids, and for each task which turn runs and which wait.
//!
//! No I/O, no tasks, no clock: the registry acts, the ledger decides. `W` is what a waiting turn is kept as.

use std::collections::{HashMap, VecDeque};

use agent_core::{Attempt, SubtaskId, TaskId, TurnKey};
use wegent_protocol::Fingerprint;

use super::{RunStatus, catalog::Card, log_name::TurnLogName, recover::Epitaph};

/// How many turns of one task may wait.
pub const QUEUE_LIMIT: usize = 16;
/// For how long a request with the same body is a repeat of the turn that it started.
pub(super) const REPEAT_WINDOW_MS: u64 = 10 * 60 * 1000;

/// Every turn, and the order in which each task's turns run.
pub(super) struct Ledger<R, W> {
    turns: HashMap<TurnKey, Known<R>>,
    lanes: HashMap<TaskId, Lane<W>>,
}

/// What is known of the latest attempt of a turn.
struct Known<R> {
    attempt: Attempt,
    fingerprint: Fingerprint,
    state: State<R>,
}

/// How far a turn is. `R` is what a running one is reached by.
pub(super) enum State<R> {
    /// It waits for another turn of its task.
    Waiting,
    /// It runs.
    Running(R),
    /// Its end is recorded but not delivered.
    Ending(RunStatus),
    /// Its end is delivered.
    Delivered {
        /// How it ended.
        status: RunStatus,
        /// When that was, in milliseconds since 1970.
        at_ms: u64,
    },
}

/// The turns of one task: one runs, the others wait in their order.
struct Lane<W> {
    running: Option<TurnKey>,
    waiting: VecDeque<(TurnKey, W)>,
}

impl<W> Default for Lane<W> {
    fn default() -> Self {
        Self {
            running: None,
            waiting: VecDeque::new(),
        }
    }
}

/// What a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A turn that is known; this is its state.
    Repeat(RunStatus),
    /// A new attempt, to be started at once.
    Start(Attempt),
    /// A new attempt, to wait for the task's other turns.
    Wait(Attempt),
    /// As many turns wait as may.
    Full,
}

impl<R, W> Default for Ledger<R, W> {
    fn default() -> Self {
        Self {
            turns: HashMap::new(),
            lanes: HashMap::new(),
        }
    }
}

impl<R, W> Ledger<R, W> {
    /// What a request for `key` means. While its turn runs, or its end is not delivered, it is a repeat whatever its
    /// body says; after that only when the body is the same and came within `window_ms`.
    pub(super) fn meaning(
        &self,
        key: TurnKey,
        fingerprint: Fingerprint,
        window_ms: u64,
        now_ms: u64,
    ) -> Meaning {
        let known = self.turns.get(&key);
        let counts = known.is_some_and(|known| match &known.state {
            State::Delivered { at_ms, .. } => {
                let recent = now_ms.saturating_sub(*at_ms) <= window_ms;
                recent && known.fingerprint == fingerprint
            }
            _ => true,
        });
        let repeated = self.status(key).filter(|_| counts);
        if let Some(status) = repeated {
            return Meaning::Repeat(status);
        }
        let attempt = Attempt(known.map_or(1, |known| known.attempt.0 + 1));
        match self.lanes.get(&key.task) {
            None => Meaning::Start(attempt),
            Some(lane) if lane.waiting.len() >= QUEUE_LIMIT => Meaning::Full,
            Some(_) => Meaning::Wait(attempt),
        }
    }

    /// Notes a turn that runs now.
    pub(super) fn started(
        &mut self,
        key: TurnKey,
        attempt: Attempt,
        fingerprint: Fingerprint,
        running: R,
    ) {
        self.turns.insert(
            key,
            Known {
                attempt,
                fingerprint,
                state: State::Running(running),
            },
        );
        self.lanes.entry(key.task).or_default().running = Some(key);
    }

    /// Notes a turn that waits.
    pub(super) fn waits(
        &mut self,
        key: TurnKey,
        attempt: Attempt,
        fingerprint: Fingerprint,
        waiting: W,
    ) {
        self.turns.insert(
            key,
            Known {
                attempt,
                fingerprint,
                state: State::Waiting,
            },
        );
        self.lanes
            .entry(key.task)
            .or_default()
            .waiting
            .push_back((key, waiting));
    }

    /// Notes a turn of an earlier process; of several attempts the latest counts.
    pub(super) fn recovered(
        &mut self,
        name: TurnLogName,
        fingerprint: Fingerprint,
        state: State<R>,
    ) {
        let newer = self
            .turns
            .get(&name.key)
            .is_some_and(|known| known.attempt > name.attempt);
        if !newer {
            self.turns.insert(
                name.key,
                Known {
                    attempt: name.attempt,
                    fingerprint,
                    state,
                },
            );
        }
    }

    /// The task's running turn, if it is this subtask's or none is named.
    pub(super) fn running(
        &self,
        task: TaskId,
        subtask: Option<SubtaskId>,
    ) -> Option<(TurnKey, &R)> {
        let key = self.lanes.get(&task)?.running?;
        match &self.turns.get(&key)?.state {
            State::Running(running) if subtask.is_none_or(|subtask| subtask == key.subtask) => {
                Some((key, running))
            }
            _ => None,
        }
    }

    /// Every running turn.
    pub(super) fn all_running(&self) -> impl Iterator<Item = &R> {
        self.turns.values().filter_map(|known| match &known.state {
            State::Running(running) => Some(running),
            _ => None,
        })
    }

    /// Takes the task's waiting turns out of the queue: all, or this subtask's.
    pub(super) fn take_waiting(
        &mut self,
        task: TaskId,
        subtask: Option<SubtaskId>,
    ) -> Vec<(TurnKey, W)> {
        let Some(lane) = self.lanes.get_mut(&task) else {
            return Vec::new();
        };
        let (taken, left) = std::mem::take(&mut lane.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(key, _)| {
                subtask.is_none_or(|subtask| subtask == key.subtask)
            });
        lane.waiting = left;
        taken.into()
    }

    /// Whether a turn of the task runs or waits.
    pub(super) fn is_busy(&self, task: TaskId) -> bool {
        self.lanes.contains_key(&task)
    }

    /// The tasks that have a turn running or waiting.
    pub(super) fn busy_tasks(&self) -> Vec<TaskId> {
        self.lanes.keys().copied().collect()
    }

    /// Notes that a running turn's end is recorded. Its courier may have been faster, and a new attempt may wait already:
    /// neither is touched.
    pub(super) fn ended(&mut self, key: TurnKey, status: RunStatus) {
        if let Some(known) = self.turns.get_mut(&key)
            && matches!(known.state, State::Running(_))
        {
            known.state = State::Ending(status);
        }
    }

    /// Notes that a turn ended while it waited.
    pub(super) fn ended_waiting(&mut self, key: TurnKey, status: RunStatus) {
        if let Some(known) = self.turns.get_mut(&key)
            && matches!(known.state, State::Waiting)
        {
            known.state = State::Ending(status);
        }
    }

    /// Frees the task's lane of a turn whose run is over, and gives what is next in it.
    pub(super) fn next_after(
        &mut self,
        key: TurnKey,
    ) -> Option<(TurnKey, Attempt, Fingerprint, W)> {
        let lane = self.lanes.get_mut(&key.task)?;
        lane.running = None;
        let Some((next, waiting)) = lane.waiting.pop_front() else {
            self.lanes.remove(&key.task);
            return None;
        };
        let known = self.turns.get(&next)?;
        Some((next, known.attempt, known.fingerprint, waiting))
    }

    /// Notes that the end of this attempt is delivered. It may be so before the run's own word of its end arrives.
    pub(super) fn delivered(
        &mut self,
        key: TurnKey,
        attempt: Attempt,
        status: RunStatus,
        at_ms: u64,
    ) {
        if let Some(known) = self.turns.get_mut(&key)
            && known.attempt == attempt
        {
            known.state = State::Delivered { status, at_ms };
        }
    }

    /// How far the latest attempt of a turn is.
    pub(super) fn status(&self, key: TurnKey) -> Option<RunStatus> {
        Some(match &self.turns.get(&key)?.state {
            State::Waiting => RunStatus::Queued,
            State::Running(_) => RunStatus::Running,
            State::Ending(status) | State::Delivered { status, .. } => *status,
        })
    }

    /// What is to be remembered of an attempt whose journal goes, `card` among it; `None` if the journal has to stay.
    pub(super) fn epitaph(&self, name: TurnLogName, card: Card) -> Option<Epitaph> {
        let known = self.turns.get(&name.key)?;
        let (status, delivered_at_ms) = match &known.state {
            State::Delivered { status, at_ms } => (*status, *at_ms),
            // Of an older attempt only that it was matters. Its log is closed, so it is delivered.
            _ if known.attempt > name.attempt => (RunStatus::Failed, 0),
            _ => return None,
        };
        Some(Epitaph {
            fingerprint: known.fingerprint,
            status,
            delivered_at_ms,
            card,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = Ledger<(), &'static str>;

    fn key(subtask: i64) -> TurnKey {
        TurnKey {
            task: TaskId(1),
            subtask: SubtaskId(subtask),
        }
    }

    fn fingerprint(text: &str) -> Fingerprint {
        let body = format!(
            r#"{{"input": "{text}", "metadata": {{"task_id": 1, "subtask_id": 2, "bot": {{"name": "b"}}}}}}"#
        );
        wegent_protocol::decode(body.as_bytes())
            .unwrap()
            .fingerprint
    }

    #[test]
    fn a_request_is_a_repeat_until_its_end_is_delivered_and_a_new_attempt_after_that() {
        let (same, other) = (fingerprint("a"), fingerprint("b"));
        let mut ledger = Plain::default();
        assert_eq!(
            ledger.meaning(key(2), same, REPEAT_WINDOW_MS, 0),
            Meaning::Start(Attempt(1))
        );
        ledger.started(key(2), Attempt(1), same, ());
        assert_eq!(
            ledger.meaning(key(2), other, REPEAT_WINDOW_MS, 0),
            Meaning::Repeat(RunStatus::Running)
        );
        ledger.ended(key(2), RunStatus::Completed);
        assert!(ledger.next_after(key(2)).is_none());
        assert_eq!(
            ledger.meaning(key(2), other, REPEAT_WINDOW_MS, 0),
            Meaning::Repeat(RunStatus::Completed)
        );
        ledger.delivered(key(2), Attempt(1), RunStatus::Completed, 1000);
        assert_eq!(
            ledger.meaning(key(2), other, REPEAT_WINDOW_MS, 1000),
            Meaning::Start(Attempt(2))
        );
        assert_eq!(
            ledger.meaning(key(2), same, REPEAT_WINDOW_MS, 1000),
            Meaning::Repeat(RunStatus::Completed)
        );
        assert_eq!(
            ledger.meaning(key(2), same, REPEAT_WINDOW_MS, 1001 + REPEAT_WINDOW_MS),
            Meaning::Start(Attempt(2))
        );
    }

    #[test]
    fn turns_of_a_busy_task_wait_in_order_up_to_the_limit() {
        let print = fingerprint("a");
        let mut ledger = Plain::default();
        ledger.started(key(1), Attempt(1), print, ());
        for subtask in 2..2 + i64::try_from(QUEUE_LIMIT).unwrap() {
            assert_eq!(
                ledger.meaning(key(subtask), print, REPEAT_WINDOW_MS, 0),
                Meaning::Wait(Attempt(1))
            );
            ledger.waits(key(subtask), Attempt(1), print, "w");
        }
        assert_eq!(
            ledger.meaning(key(99), print, REPEAT_WINDOW_MS, 0),
            Meaning::Full
        );
        assert_eq!(ledger.take_waiting(TaskId(1), Some(SubtaskId(2))).len(), 1);
        assert_eq!(ledger.next_after(key(1)).map(|(key, ..)| key), Some(key(3)));
    }

    #[test]
    fn a_delivery_that_overtakes_the_run_counts_and_is_not_undone_by_it() {
        let mut ledger = Plain::default();
        ledger.started(key(2), Attempt(1), fingerprint("a"), ());
        ledger.delivered(key(2), Attempt(1), RunStatus::Cancelled, 5);
        ledger.ended(key(2), RunStatus::Failed);
        assert_eq!(
            ledger.meaning(key(2), fingerprint("a"), REPEAT_WINDOW_MS, 5),
            Meaning::Repeat(RunStatus::Cancelled)
        );
        // A retry that comes before the run's own end waits for it and is not touched by it.
        assert_eq!(
            ledger.meaning(key(2), fingerprint("b"), REPEAT_WINDOW_MS, 5),
            Meaning::Wait(Attempt(2))
        );
        ledger.waits(key(2), Attempt(2), fingerprint("b"), "retry");
        ledger.ended(key(2), RunStatus::Failed);
        assert_eq!(
            ledger.meaning(key(2), fingerprint("b"), REPEAT_WINDOW_MS, 5),
            Meaning::Repeat(RunStatus::Queued)
        );
        assert_eq!(
            ledger
                .next_after(key(2))
                .map(|(key, attempt, ..)| (key, attempt)),
            Some((key(2), Attempt(2)))
        );
    }

    #[test]
    fn only_what_was_delivered_may_be_buried() {
        let mut ledger = Plain::default();
        let name = |attempt| TurnLogName {
            key: key(2),
            attempt: Attempt(attempt),
        };
        ledger.started(key(2), Attempt(2), fingerprint("a"), ());
        assert!(ledger.epitaph(name(1), Card::default()).is_some());
        assert!(ledger.epitaph(name(2), Card::default()).is_none());
        ledger.delivered(key(2), Attempt(2), RunStatus::Completed, 7);
        assert_eq!(
            ledger
                .epitaph(name(2), Card::default())
                .map(|epitaph| epitaph.delivered_at_ms),
            Some(7)
        );
    }
}
