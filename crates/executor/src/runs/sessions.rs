//! Sessions: which tasks have an agent's process, and what is kept of them between their turns.

use std::{collections::BTreeMap, time::Duration};

use agent_core::{AgentKind, TaskId};
use redact::Secrets;
use tokio::{sync::oneshot, time::Instant};

use super::{
    EndSessionError, Session,
    actor::{Done, Runs},
};

/// How long a session may still be busy after its turn's end was told: the caller may have acted on that at once.
const ENDING_LIMIT: Duration = Duration::from_secs(1);
/// Through how many of a task's turns the secrets of an earlier one are guarded.
const GUARDED_TURNS: u8 = 16;
/// Of how many tasks secrets are remembered between turns; beyond that the oldest task's are forgotten.
const GUARDED_TASKS: usize = 256;

type Reply = oneshot::Sender<Result<(), EndSessionError>>;

/// What is known of tasks beyond their turns.
#[derive(Default)]
pub(super) struct Sessions {
    /// Whose turns have run, and since when.
    known: BTreeMap<TaskId, Session>,
    /// What each task's latest turn guards.
    guarded: BTreeMap<TaskId, Secrets>,
    /// Who waits for a busy session to be ended.
    awaited: Vec<Awaited>,
}

/// A session that is to end when its turn has.
struct Awaited {
    task: TaskId,
    until: Instant,
    reply: Reply,
}

impl Sessions {
    /// Guards what the task's earlier turns brought in the next one, too. An agent may still have it: its model has read
    /// it, or a turn of its own goes on.
    pub(super) fn guard(&mut self, task: TaskId, secrets: &Secrets) {
        if let Some(earlier) = self.guarded.insert(task, secrets.clone()) {
            secrets.take_over(&earlier, GUARDED_TURNS);
        }
        while self.guarded.len() > GUARDED_TASKS {
            self.guarded.pop_first();
        }
    }
}

impl Runs {
    /// The first turn of a task, or of another agent in it, begins a session.
    pub(super) fn note_session(&mut self, task: TaskId, agent: AgentKind) {
        let since_ms = self.services.clock.now_ms();
        let known = self.sessions.known.get(&task);
        if known.is_none_or(|session| session.agent != agent) {
            let session = Session {
                task,
                agent,
                since_ms,
            };
            self.sessions.known.insert(task, session);
        }
    }

    pub(super) fn list_sessions(&mut self, reply: oneshot::Sender<Vec<Session>>) {
        let known: Vec<(Session, bool)> = self
            .sessions
            .known
            .values()
            .map(|session| (session.clone(), self.ledger.is_busy(session.task)))
            .collect();
        let agents = self.services.agents.clone();
        self.work.spawn(async move {
            let mut sessions = Vec::new();
            for (session, busy) in known {
                if busy || agents.of(session.agent).has_session(session.task).await {
                    sessions.push(session);
                }
            }
            let _ = reply.send(sessions);
            Done::Other
        });
    }

    /// Ends the task's session. A busy one is waited for a little.
    pub(super) fn end_session(&mut self, task: TaskId, reply: Reply) {
        if self.ledger.is_busy(task) {
            let until = Instant::now() + ENDING_LIMIT;
            self.sessions.awaited.push(Awaited { task, until, reply });
            self.work.spawn(async move {
                tokio::time::sleep_until(until).await;
                Done::Waited
            });
            return;
        }
        let Some(session) = self.sessions.known.remove(&task) else {
            let _ = reply.send(Err(EndSessionError::Unknown));
            return;
        };
        let agent = self.services.agents.of(session.agent);
        self.work.spawn(async move {
            let ended = match agent.end_session(task).await {
                true => Ok(()),
                false => Err(EndSessionError::Unknown),
            };
            let _ = reply.send(ended);
            Done::Other
        });
    }

    /// The task has come to rest: who waits for its session's end has it now.
    pub(super) fn end_awaited_session(&mut self, task: TaskId) {
        let is_it = |awaited: &mut Awaited| awaited.task == task;
        let awaited: Vec<Awaited> = self.sessions.awaited.extract_if(.., is_it).collect();
        for Awaited { reply, .. } in awaited {
            self.end_session(task, reply);
        }
    }

    /// Tells those who have waited long enough that the session is busy.
    pub(super) fn refuse_to_wait_longer(&mut self) {
        let now = Instant::now();
        let is_due = |awaited: &mut Awaited| awaited.until <= now;
        for Awaited { reply, .. } in self.sessions.awaited.extract_if(.., is_due) {
            let _ = reply.send(Err(EndSessionError::Busy));
        }
    }
}
