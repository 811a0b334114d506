//! One session: its record, its queue, its events.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::Record;
use crate::{
    protocol::{
        AskId, Decision, Epoch, Event, Fault, FaultCode, OnLoss, Outcome, SessionName, SessionView,
        Settings,
    },
    ring::Ring,
};

/// A question that waits or is being answered.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) ask: AskId,
    pub(crate) question: String,
    pub(crate) on_loss: OnLoss,
    /// Tells it to stop.
    pub(crate) cancel: CancellationToken,
}

/// What asking came to.
pub(crate) enum Asked {
    /// It is in the queue, or was there already.
    Pending,
    /// It was asked earlier, and this is how it ended.
    Over(Outcome),
}

/// A session. Shared by its worker and the clients' connections.
pub(crate) struct Session {
    pub(crate) name: SessionName,
    pub(crate) ring: Arc<Ring>,
    state: Mutex<State>,
    /// Told when there is something in the queue.
    pub(crate) wake: Notify,
    /// Ends its worker.
    pub(crate) closed: CancellationToken,
    /// Told when the worker should give up the conversation it has loaded.
    pub(crate) forget: Notify,
}

struct State {
    record: Record,
    queue: VecDeque<Job>,
    running: Option<Job>,
    /// Permissions that are waited for.
    approvals: BTreeMap<String, Event>,
    /// Where answers to them go.
    decisions: Option<mpsc::Sender<(String, Decision)>>,
    /// How many clients could answer.
    interactive: usize,
}

/// Counts as a client that can answer while it lives.
pub(crate) struct Attached(Arc<Session>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.lock().interactive -= 1;
    }
}

impl Session {
    pub(crate) fn new(record: Record, epoch: Epoch) -> Self {
        Self {
            name: record.name.clone(),
            ring: Arc::new(Ring::new(epoch)),
            state: Mutex::new(State {
                record,
                queue: VecDeque::new(),
                running: None,
                approvals: BTreeMap::new(),
                decisions: None,
                interactive: 0,
            }),
            wake: Notify::new(),
            closed: CancellationToken::new(),
            forget: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is small and whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self) -> Record {
        self.lock().record.clone()
    }

    pub(crate) fn settings(&self) -> Settings {
        self.lock().record.settings.clone()
    }

    /// Changes what is kept of it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.lock().record)
    }

    /// Puts a question into the queue, unless it is known.
    pub(crate) fn ask(&self, job: Job, limit: usize) -> Result<Asked, Fault> {
        let mut state = self.lock();
        let is = |other: &Job| other.ask == job.ask;
        if state.running.as_ref().is_some_and(is) || state.queue.iter().any(is) {
            return Ok(Asked::Pending);
        }
        let again = job.on_loss == OnLoss::AskAgain && state.record.was_lost(&job.ask);
        if state.record.knows(&job.ask) && !again {
            return Ok(Asked::Over(state.record.outcome_of(&job.ask)));
        }
        if state.queue.len() >= limit {
            let message = format!("{limit} questions of this session wait already");
            return Err(Fault::new(FaultCode::Busy, message)
                .remedy("ask later, or in another session with --session"));
        }
        let position = state.queue.len() + usize::from(state.running.is_some());
        let ask = job.ask.clone();
        state.queue.push_back(job);
        // Under the lock, so that it comes before the worker's `started`.
        if position > 0 {
            self.ring.push(Event::Queued { ask, position });
        }
        drop(state);
        self.wake.notify_one();
        Ok(Asked::Pending)
    }

    /// The next question, which is then the running one.
    pub(crate) fn begin(&self) -> Option<(Job, mpsc::Receiver<(String, Decision)>)> {
        let mut state = self.lock();
        let job = state.queue.pop_front()?;
        state.record.begin(&job.ask);
        state.running = Some(job.clone());
        let (sender, decisions) = mpsc::channel(16);
        state.decisions = Some(sender);
        self.ring.push(Event::Started {
            ask: job.ask.clone(),
        });
        for (index, waiting) in state.queue.iter().enumerate() {
            self.ring.push(Event::Queued {
                ask: waiting.ask.clone(),
                position: index + 1,
            });
        }
        Some((job, decisions))
    }

    /// The running question is over. `ended` is the last event about it.
    pub(crate) fn end(&self, ask: &AskId, outcome: &Outcome, ended: Event) {
        let mut state = self.lock();
        state.record.end(ask, outcome);
        state.running = None;
        state.decisions = None;
        state.approvals.clear();
        self.ring.push(ended);
    }

    /// How a question ended; `None` while it waits or runs.
    pub(crate) fn outcome(&self, ask: &AskId) -> Option<Outcome> {
        let state = self.lock();
        let is = |job: &Job| job.ask == *ask;
        let pending = state.running.as_ref().is_some_and(is) || state.queue.iter().any(is);
        (!pending).then(|| state.record.outcome_of(ask))
    }

    /// Stops the running question and forgets those that wait. Says how many that were.
    pub(crate) fn interrupt(&self) -> usize {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.queue);
        for job in &waiting {
            self.ring.push(Event::Ended {
                ask: job.ask.clone(),
                outcome: Outcome::Interrupted,
                usage: None,
                duration_ms: 0,
                codex_ms: None,
            });
            state.record.begin(&job.ask);
            state.record.end(&job.ask, &Outcome::Interrupted);
        }
        if let Some(running) = &state.running {
            running.cancel.cancel();
        }
        waiting.len() + usize::from(state.running.is_some())
    }

    /// Codex asks for permission.
    pub(crate) fn await_approval(&self, approval: String, event: Event) {
        self.lock().approvals.insert(approval, event.clone());
        self.ring.push(event);
    }

    /// It isn't waited for any more.
    pub(crate) fn settle(&self, approval: &str, event: Event) {
        self.lock().approvals.remove(approval);
        self.ring.push(event);
    }

    /// The permissions that are waited for, for a client that has just come.
    pub(crate) fn approvals(&self) -> Vec<Event> {
        self.lock().approvals.values().cloned().collect()
    }

    /// Where the answer to a permission goes, if it is waited for here.
    pub(crate) fn decisions(&self, approval: &str) -> Option<mpsc::Sender<(String, Decision)>> {
        let state = self.lock();
        let waits = state.approvals.contains_key(approval);
        state.decisions.clone().filter(|_| waits)
    }

    /// A client that can answer is there.
    pub(crate) fn attach(self: &Arc<Self>) -> Attached {
        self.lock().interactive += 1;
        Attached(Arc::clone(self))
    }

    /// Whether some client could answer.
    pub(crate) fn somebody_is_there(&self) -> bool {
        self.lock().interactive > 0
    }

    /// Whether a question is being answered, and how many wait.
    pub(crate) fn load(&self) -> (bool, usize) {
        let state = self.lock();
        (state.running.is_some(), state.queue.len())
    }

    pub(crate) fn view(&self) -> SessionView {
        let state = self.lock();
        let record = &state.record;
        SessionView {
            name: record.name.clone(),
            cwd: record.cwd.clone(),
            thread: record.thread.as_ref().map(ToString::to_string),
            settings: record.settings.clone(),
            running: state.running.as_ref().map(|job| job.ask.clone()),
            queued: state.queue.len(),
            approvals: state.approvals.keys().cloned().collect(),
            turns: record.turns.iter().cloned().collect(),
            used: record.used,
        }
    }
}

impl Record {
    /// How a known question ended, as far as it is still known.
    fn outcome_of(&self, ask: &AskId) -> Outcome {
        if let Some((last, outcome)) = &self.last
            && last == ask
        {
            return outcome.clone();
        }
        if self.was_lost(ask) {
            return Outcome::Lost {
                what: crate::protocol::LossReason::Daemon,
                error: "the daemon ended while this question was being answered".to_owned(),
            };
        }
        Outcome::Failed {
            error: "this question is over, and its answer is no longer kept".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Arc<Session> {
        let name = SessionName::try_from("s".to_owned()).unwrap();
        let record = Record::new(name, "/".into());
        Arc::new(Session::new(record, Epoch("e".into())))
    }

    fn job(ask: &str) -> Job {
        Job {
            ask: ask.into(),
            question: "q".into(),
            on_loss: OnLoss::Report,
            cancel: CancellationToken::new(),
        }
    }

    #[test]
    fn questions_keep_their_order_and_the_same_one_is_asked_once() {
        let session = session();
        for ask in ["1", "2", "2", "3"] {
            assert!(matches!(session.ask(job(ask), 3), Ok(Asked::Pending)));
        }
        let full = session.ask(job("4"), 3).err().unwrap();
        assert_eq!(full.code, FaultCode::Busy);
        for ask in ["1", "2", "3"] {
            let (job, _) = session.begin().unwrap();
            assert_eq!(job.ask, ask.into());
            assert_eq!(session.outcome(&job.ask), None);
            let text = ask.to_owned();
            let ended = Event::Notice {
                ask: None,
                text: text.clone(),
            };
            session.end(&job.ask, &Outcome::Completed { text }, ended);
        }
        assert!(session.begin().is_none());
        assert!(matches!(
            session.ask(job("3"), 3),
            Ok(Asked::Over(Outcome::Completed { text })) if text == "3"
        ));
    }

    #[test]
    fn an_interrupt_stops_what_runs_and_what_waits() {
        let session = session();
        session.ask(job("1"), 9).ok().unwrap();
        let (running, _) = session.begin().unwrap();
        session.ask(job("2"), 9).ok().unwrap();
        assert_eq!(session.interrupt(), 2);
        assert!(running.cancel.is_cancelled());
        assert_eq!(session.outcome(&"2".into()), Some(Outcome::Interrupted));
    }

    #[test]
    fn a_lost_question_is_asked_again_only_where_the_client_said_so() {
        let session = session();
        session.change(|record| {
            record.begin(&"1".into());
            record.turns[0].state = "lost".into();
        });
        let lost = session.ask(job("1"), 9).ok().unwrap();
        assert!(matches!(lost, Asked::Over(Outcome::Lost { .. })));
        let again = Job {
            on_loss: OnLoss::AskAgain,
            ..job("1")
        };
        assert!(matches!(session.ask(again, 9), Ok(Asked::Pending)));
    }
}
