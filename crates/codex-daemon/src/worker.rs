//! The worker of a session: takes its questions one after the other.

use std::{sync::Arc, time::Duration};

use codex_app_server::{InstanceError, ThreadEvent};
use host::error_chain;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    config::Access,
    exec,
    hub::Hub,
    paths::Durable,
    protocol::{Decision, Event, LossReason, OnLoss, Outcome},
    sessions::{Job, Session},
    turn::{self, Drive, End, Loaded},
    warm::is_no_handshake,
};

/// How long a conversation stays loaded in Codex after its last question.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Works until the daemon or the session ends.
pub(crate) async fn work(hub: Arc<Hub>, session: Arc<Session>) {
    let mut loaded: Option<Loaded> = None;
    loop {
        tokio::select! {
            () = hub.stop.cancelled() => return,
            () = session.closed.cancelled() => break,
            () = session.forget.notified() => unload(&hub, &mut loaded).await,
            () = session.wake.notified() => {}
            event = chatter(&mut loaded) => listen(event, &mut loaded),
            () = sleep(IDLE), if loaded.is_some() => unload(&hub, &mut loaded).await,
        }
        while !hub.stop.is_cancelled() {
            let Some((job, mut decisions)) = session.begin() else {
                break;
            };
            hub.keep(Durable::No);
            answer(&hub, &session, &job, &mut decisions, &mut loaded).await;
        }
    }
    unload(&hub, &mut loaded).await;
}

/// What Codex says between questions. It has to be read: an unread queue would hold up every other session.
async fn chatter(loaded: &mut Option<Loaded>) -> ThreadEvent {
    match loaded {
        Some(loaded) => loaded.stream.next().await,
        None => std::future::pending().await,
    }
}

fn listen(event: ThreadEvent, loaded: &mut Option<Loaded>) {
    match event {
        ThreadEvent::Lost { .. } => *loaded = None,
        ThreadEvent::Request(request) => request.refuse("no question is being answered"),
        ThreadEvent::Notification(_) => {}
    }
}

/// Lets Codex forget the conversation; its file stays.
async fn unload(hub: &Hub, loaded: &mut Option<Loaded>) {
    let Some(old) = loaded.take() else { return };
    if let Some(connection) = hub.warm.connection()
        && connection.generation() == old.generation
    {
        let client = connection.client().with_timeout(Duration::from_secs(5));
        let _ = client.thread_unsubscribe(old.stream.id()).await;
    }
}

/// Answers one question.
async fn answer(
    hub: &Arc<Hub>,
    session: &Arc<Session>,
    job: &Job,
    decisions: &mut mpsc::Receiver<(String, Decision)>,
    loaded: &mut Option<Loaded>,
) {
    let start = Instant::now();
    let mut end = attempt(hub, session, job, decisions, loaded).await;
    let lost = matches!(
        end.outcome,
        Outcome::Lost {
            what: LossReason::AppServer,
            ..
        }
    );
    if lost && job.on_loss == OnLoss::AskAgain && !job.cancel.is_cancelled() {
        session.ring.push(Event::Notice {
            ask: Some(job.ask.clone()),
            text: format!("{}; the question is asked again", end.outcome.text()),
        });
        end = attempt(hub, session, job, decisions, loaded).await;
    }
    let ended = Event::Ended {
        ask: job.ask.clone(),
        outcome: end.outcome.clone(),
        usage: end.usage,
        duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        codex_ms: end.codex_ms,
    };
    session.end(&job.ask, &end.outcome, ended);
    hub.count(session, &job.ask, &end.outcome);
    hub.keep(Durable::No);
    if let Some(history) = &hub.history {
        history.add(session.name.clone(), job.question.clone(), &end.outcome);
    }
}

async fn attempt(
    hub: &Arc<Hub>,
    session: &Arc<Session>,
    job: &Job,
    decisions: &mut mpsc::Receiver<(String, Decision)>,
    loaded: &mut Option<Loaded>,
) -> End {
    let ready = tokio::select! {
        ready = hub.warm.ready() => ready,
        () = job.cancel.cancelled() => return End::of(Outcome::Interrupted),
    };
    let (connection, _between) = match ready {
        Ok(ready) => ready,
        Err(why) if is_no_handshake(&why) && hub.config.attach.is_none() => {
            tracing::warn!(why = error_chain(&why), "falling back to codex exec");
            return exec::ask(&hub.program, hub.config.access, session, job).await;
        }
        Err(why) => return End::failed(unavailable(&why)),
    };
    if hub.config.access != Access::Full
        && let Err(why) = hub.warm.sandboxed().await
    {
        return End::failed(no_sandbox(&why));
    }
    let current = loaded
        .take()
        .filter(|loaded| loaded.generation == connection.generation());
    let mut current = match current {
        Some(current) => current,
        None => match turn::open(connection.client(), session, hub.config.access, job).await {
            Ok(stream) => Loaded {
                stream,
                generation: connection.generation(),
            },
            Err(why) => return End::failed(why),
        },
    };
    let drive = Drive {
        config: &hub.config,
        session,
        client: connection.client(),
        job,
        decisions,
    };
    let end = drive.run(&mut current.stream).await;
    if end.disobeyed {
        // The turn may go on, with its tools, and would take the next question for a part of itself.
        tracing::error!(session = %session.name, "codex did not end an interrupted question and is replaced");
        connection.process().kill().await;
    } else if !matches!(end.outcome, Outcome::Lost { .. }) {
        *loaded = Some(current);
    }
    end
}

fn unavailable(why: &InstanceError) -> String {
    let remedy = match why {
        InstanceError::Spawn { .. } => "; set `codex` to the Codex CLI, or put it on PATH",
        InstanceError::Stopped => "; `codex-daemon restart` starts it again",
        _ => "",
    };
    format!("codex can't be used: {}{remedy}", error_chain(why))
}

fn no_sandbox(why: &str) -> String {
    format!(
        "the sandbox does not work on this machine, so nothing was run ({why}); allow user namespaces for `bwrap`, or \
         set `access = \"full\"` if Codex may do whatever you may"
    )
}
