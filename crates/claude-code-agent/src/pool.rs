//! The sessions that no turn is using: warm for their task's next turn, given back after an idle time.
//!
//! Each has a caretaker that goes on reading what its CLI says. A turn that the CLI begins by itself (a background task
//! has ended) is interrupted at once; what it says reaches nobody, what it costs is counted with the next turn.

use std::{collections::HashMap, sync::Arc, time::Duration};

use agent_core::TaskId;
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    process::{Incoming, Lost},
    protocol::{Control, Message},
    session::Session,
};

/// How long a turn that nobody asked for may take to stop.
pub(crate) const UNASKED_LIMIT: Duration = Duration::from_secs(3);

/// The sessions that wait, by task.
pub(crate) struct Pool {
    idle: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    sessions: HashMap<TaskId, oneshot::Sender<Wanted>>,
    /// In here, so that none outlives the agent.
    caretakers: JoinSet<()>,
}

/// What a caretaker is asked for.
enum Wanted {
    /// The session, for a turn.
    Session(oneshot::Sender<Session>),
    /// Its end.
    End,
}

impl Pool {
    /// No session yet.
    pub(crate) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle,
            waiting: Mutex::default(),
        })
    }

    /// The task's session, if one waits and is fit.
    pub(crate) async fn take(&self, task: TaskId) -> Option<Session> {
        let caretaker = self.waiting.lock().await.sessions.remove(&task)?;
        let (give, given) = oneshot::channel();
        caretaker.send(Wanted::Session(give)).ok()?;
        given.await.ok()
    }

    /// Keeps the session for the task's next turn.
    pub(crate) async fn keep(&self, task: TaskId, session: Session) {
        let (want, wanted) = oneshot::channel();
        let until = Instant::now() + self.idle;
        let mut waiting = self.waiting.lock().await;
        while waiting.caretakers.try_join_next().is_some() {}
        waiting.caretakers.spawn(care(task, session, wanted, until));
        // There is none before it: a turn takes what waits. Were there one, its caretaker would end it now.
        waiting.sessions.insert(task, want);
    }

    /// Whether a session of the task waits.
    pub(crate) async fn has(&self, task: TaskId) -> bool {
        let waiting = self.waiting.lock().await;
        let session = waiting.sessions.get(&task);
        session.is_some_and(|caretaker| !caretaker.is_closed())
    }

    /// Ends the task's session and returns when it has gone. Says whether there was one.
    pub(crate) async fn end(&self, task: TaskId) -> bool {
        match self.take(task).await {
            Some(session) => {
                session.end().await;
                true
            }
            None => false,
        }
    }

    /// Ends every session and returns when they are gone.
    pub(crate) async fn shutdown(&self) {
        let Waiting {
            sessions,
            mut caretakers,
        } = std::mem::take(&mut *self.waiting.lock().await);
        for caretaker in sessions.into_values() {
            let _ = caretaker.send(Wanted::End);
        }
        while caretakers.join_next().await.is_some() {}
    }
}

/// Takes care of an idle session until it is wanted, its time has come, or it dies.
async fn care(
    task: TaskId,
    mut session: Session,
    mut wanted: oneshot::Receiver<Wanted>,
    until: Instant,
) {
    // Until when a turn that nobody asked for must be over.
    let mut unasked: Option<Instant> = None;
    loop {
        let unasked_until = unasked.unwrap_or(until);
        let incoming = tokio::select! {
            biased;
            // In the middle of a turn it is not fit; its end is a matter of milliseconds.
            wanted = &mut wanted, if unasked.is_none() => {
                match wanted {
                    Ok(Wanted::Session(give)) => {
                        if let Err(session) = give.send(session) {
                            session.end().await;
                        }
                    }
                    Ok(Wanted::End) | Err(_) => session.end().await,
                }
                return;
            }
            () = sleep_until(until.min(unasked_until)) => {
                tracing::info!(task_id = %task, stuck = unasked.is_some(), "idle session is given back");
                session.end().await;
                return;
            }
            incoming = session.cli.next() => incoming,
        };
        match incoming {
            Ok(Incoming::Message(message)) => match mind(&mut session, message).await {
                Ok(Minded::Began) => unasked = Some(Instant::now() + UNASKED_LIMIT),
                Ok(Minded::Ended) => unasked = None,
                Ok(Minded::Nothing) => {}
                Err(Lost) => return,
            },
            Ok(Incoming::TooLong) => {}
            Err(Lost) => {
                tracing::warn!(task_id = %task, "an idle claude has ended");
                session.end().await;
                return;
            }
        }
    }
}

/// What a message meant that belongs to no turn of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Minded {
    /// A turn began that nobody asked for; it was told to stop.
    Began,
    /// It is over.
    Ended,
    /// Nothing.
    Nothing,
}

/// Looks at a message that belongs to no turn of ours.
///
/// # Errors
/// [`Lost`] when the CLI takes no more requests.
pub(crate) async fn mind(session: &mut Session, message: Message) -> Result<Minded, Lost> {
    session.tasks.see(&message);
    match message {
        Message::Init(_) => {
            tracing::info!("claude began a turn that nobody asked for, it is interrupted");
            session.tasks.told();
            let stop = Control::Interrupt {
                cancel_queued: true,
            };
            session.cli.request(&stop).await?;
            Ok(Minded::Began)
        }
        Message::Result(result) => {
            session.ledger.unasked(&result);
            Ok(Minded::Ended)
        }
        _ => Ok(Minded::Nothing),
    }
}
