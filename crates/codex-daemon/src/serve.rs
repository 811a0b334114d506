//! Serving one call.

use std::sync::Arc;

use codex_app_server::protocol::ThreadId;
use host::error_chain;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    follow::{self, Nowhere, Sink},
    hub::Hub,
    protocol::{
        Ask, AskId, Configure, Cursor, Decide, Event, Fault, FaultCode, Fork, Operation, Outcome,
        PlainAnswer, PlainCall, SessionName, Settings, Target, Watch, on_off,
    },
    ring::Follower,
    sessions::{Asked, Record},
    stats, turn,
};

/// Serves a call: events go to `sink`, the answer is returned.
pub(crate) async fn call(
    hub: &Arc<Hub>,
    operation: Operation,
    sink: &mut impl Sink,
) -> Result<Value, Fault> {
    match operation {
        Operation::Ask(question) => value(&ask(hub, &question, sink).await?),
        Operation::Interrupt(target) => {
            let stopped = hub.find(&target)?.interrupt();
            Ok(json!({ "stopped": stopped }))
        }
        Operation::Watch(request) => watch(hub, &request, sink).await,
        Operation::Decide(decision) => decide(hub, decision).await,
        Operation::Configure(change) => configure(hub, change),
        Operation::Sessions {} => {
            let views: Vec<_> = hub
                .sessions()
                .iter()
                .map(|session| session.view())
                .collect();
            value(&views)
        }
        Operation::Show(target) => value(&hub.find(&target)?.view()),
        Operation::Reset(target) => reset(hub, &target),
        Operation::Fork(request) => fork(hub, request).await,
        Operation::Status {} => value(&stats::status(hub)),
        Operation::Health {} => value(&stats::health(hub)),
        Operation::Metrics {} => Ok(json!({ "text": stats::metrics(hub) })),
        Operation::RestartCodex {} => {
            hub.warm.restart().await;
            Ok(json!({}))
        }
        Operation::Stop {} => {
            tracing::info!("a client ends the daemon");
            hub.stop.cancel();
            Ok(json!({ "pid": std::process::id() }))
        }
    }
}

fn value(answer: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(answer).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}

async fn ask(hub: &Arc<Hub>, question: &Ask, sink: &mut impl Sink) -> Result<Event, Fault> {
    // Followed first, so that no event is missed; but a new session has none before it is asked.
    let session = hub.find_or_add(&question.target())?;
    let follower = session.ring.follow(question.after.as_ref());
    let _attached = question.interactive.then(|| session.attach());
    let (session, asked) = hub.ask(question)?;
    match asked {
        Asked::Over(outcome) => {
            return Ok(catch_up(&question.ask, outcome, follower, sink).await);
        }
        Asked::Pending if question.interactive && question.after.is_some() => {
            replay(&session, question.after.as_ref(), sink).await;
        }
        Asked::Pending => {}
    }
    let ended = if question.stream {
        follow::question(&session, &question.ask, follower, sink).await
    } else {
        follow::question(&session, &question.ask, follower, &mut Nowhere).await
    };
    ended.ok_or_else(|| Fault::new(FaultCode::Conflict, "the client is gone"))
}

/// What is still there of a question that is over, then its end.
async fn catch_up(
    ask: &AskId,
    outcome: Outcome,
    mut follower: Follower,
    sink: &mut impl Sink,
) -> Event {
    while let Some((event, cursor)) = follower.ready() {
        let of_it = event.ask() == Some(ask);
        if (of_it || matches!(*event, Event::Gap { .. })) && !sink.send(&event, &cursor).await {
            break;
        }
        if of_it && matches!(*event, Event::Ended { .. }) {
            return (*event).clone();
        }
    }
    follow::ended(ask, outcome)
}

/// Repeats the permissions that are waited for, to a client that comes (back).
async fn replay(session: &crate::sessions::Session, at: Option<&Cursor>, sink: &mut impl Sink) {
    let at = at.cloned().unwrap_or_else(|| session.ring.end());
    for event in session.approvals() {
        sink.send(&event, &at).await;
    }
}

async fn watch(hub: &Arc<Hub>, request: &Watch, sink: &mut impl Sink) -> Result<Value, Fault> {
    let target = Target {
        session: request.session.clone(),
        cwd: request.cwd.clone(),
    };
    let session = hub.find_or_add(&target)?;
    let _attached = request.interactive.then(|| session.attach());
    let mut follower = session.ring.follow(request.after.as_ref());
    replay(&session, request.after.as_ref(), sink).await;
    loop {
        let (event, cursor) = tokio::select! {
            next = follower.next() => next,
            () = session.closed.cancelled() => return Ok(json!({})),
            () = hub.stop.cancelled() => return Ok(json!({})),
        };
        if !sink.send(&event, &cursor).await {
            return Ok(json!({}));
        }
    }
}

async fn decide(hub: &Hub, decision: Decide) -> Result<Value, Fault> {
    let waiting = hub
        .sessions()
        .into_iter()
        .find_map(|session| session.decisions(&decision.approval));
    let settled = || {
        let message = format!("nobody waits for the permission `{}`", decision.approval);
        Fault::new(FaultCode::NotFound, message).remedy("it was settled already, or its time is up")
    };
    let answer = (decision.approval.clone(), decision.decision);
    let Some(waiting) = waiting else {
        return Err(settled());
    };
    waiting.send(answer).await.map_err(|_| settled())?;
    Ok(json!({}))
}

fn configure(hub: &Arc<Hub>, change: Configure) -> Result<Value, Fault> {
    if let Some(effort) = &change.effort {
        check_effort(effort)?;
    }
    if change
        .model
        .as_ref()
        .is_some_and(|model| model.trim().is_empty())
    {
        return Err(Fault::new(FaultCode::BadRequest, "`model` is empty"));
    }
    let session = hub.find_or_add(&Target {
        session: change.session,
        cwd: change.cwd,
    })?;
    session.change(|record| {
        let settings = &mut record.settings;
        settings.model = change.model.or(settings.model.take());
        settings.effort = change.effort.or(settings.effort.take());
        settings.reasoning = change.reasoning.unwrap_or(settings.reasoning);
        settings.final_only = change.final_only.unwrap_or(settings.final_only);
    });
    hub.keep_later();
    value(&session.view())
}

fn check_effort(effort: &str) -> Result<(), Fault> {
    if Settings::EFFORTS.contains(&effort) {
        return Ok(());
    }
    let allowed = Settings::EFFORTS.join(", ");
    let message = format!("`effort`: `{effort}` is unknown; allowed are {allowed}");
    Err(Fault::new(FaultCode::BadRequest, message))
}

fn reset(hub: &Hub, target: &Target) -> Result<Value, Fault> {
    let session = hub.find(target)?;
    if session.load() != (false, 0) {
        let message = "a question of this session is being answered";
        return Err(
            Fault::new(FaultCode::Conflict, message).remedy("`codex-daemon interrupt` stops it")
        );
    }
    session.change(|record| {
        record.thread = None;
        record.rollout = None;
        record.turns.clear();
        record.last = None;
    });
    session.forget.notify_one();
    hub.keep_later();
    value(&session.view())
}

async fn fork(hub: &Arc<Hub>, request: Fork) -> Result<Value, Fault> {
    let source = hub.find(&Target {
        session: request.session,
        cwd: request.cwd,
    })?;
    let of_new = Target {
        session: Some(request.name.clone()),
        cwd: None,
    };
    if hub.find(&of_new).is_ok() {
        let message = format!("there is a session `{}` already", request.name);
        return Err(Fault::new(FaultCode::Conflict, message));
    }
    let old = source.record();
    let mut new = Record::new(request.name, old.cwd);
    new.settings = old.settings;
    if let Some(thread) = &old.thread {
        let (thread, rollout) = forked(hub, thread).await?;
        new.thread = Some(thread);
        new.rollout = rollout;
    }
    let session = hub.add(new);
    hub.keep_later();
    value(&session.view())
}

async fn forked(
    hub: &Hub,
    thread: &ThreadId,
) -> Result<(ThreadId, Option<std::path::PathBuf>), Fault> {
    let unavailable =
        |error: &dyn std::error::Error| Fault::new(FaultCode::Unavailable, error_chain(error));
    let (connection, _between) = hub
        .warm
        .ready()
        .await
        .map_err(|error| unavailable(&error))?;
    turn::fork(connection.client(), thread)
        .await
        .map_err(|error| unavailable(&error))
}

/// Serves a call in the plain form.
pub(crate) async fn plain(hub: &Arc<Hub>, plain: PlainCall) -> PlainAnswer {
    match plain_answer(hub, plain).await {
        Ok(text) => PlainAnswer::success(text),
        Err(error) => PlainAnswer::failure(error),
    }
}

const COMMANDS: &str = "/codex-ask, /codex-config, /codex-status, /codex-reasoning, /codex-final_only, \
                        /codex-reset, /codex-help";

async fn plain_answer(hub: &Arc<Hub>, plain: PlainCall) -> Result<String, String> {
    let target = plain_target(hub, &plain);
    let told = |fault: Fault| fault.to_string();
    let mut change = Configure {
        session: target.session.clone(),
        cwd: target.cwd.clone(),
        ..Configure::default()
    };
    match plain.command.trim_start_matches('/') {
        "codex-ask" => {
            let question = plain.question.ok_or("`question` is missing")?;
            let question = Ask {
                stream: false,
                ..Ask::new(target, question)
            };
            match ask(hub, &question, &mut Nowhere).await.map_err(told)? {
                Event::Ended {
                    outcome: Outcome::Completed { text },
                    ..
                } => Ok(text),
                Event::Ended { outcome, .. } => Err(outcome.text().to_owned()),
                _ => Err("the question has no end".to_owned()),
            }
        }
        "codex-config" => {
            change.effort = Some(argument(plain.value, &Settings::EFFORTS)?);
            let effort = change.effort.clone().unwrap_or_default();
            configure(hub, change).map_err(told)?;
            Ok(format!("effort is {effort}"))
        }
        "codex-reasoning" => {
            change.reasoning = Some(switch(plain.value)?);
            let state = change.reasoning;
            configure(hub, change).map_err(told)?;
            Ok(format!("reasoning is {}", spelled(state)))
        }
        "codex-final_only" => {
            change.final_only = Some(switch(plain.value)?);
            let state = change.final_only;
            configure(hub, change).map_err(told)?;
            Ok(format!("final_only is {}", spelled(state)))
        }
        "codex-status" => serde_json::to_string(&stats::status(hub)).map_err(|e| e.to_string()),
        "codex-reset" => match reset(hub, &target) {
            Ok(_) => Ok("the conversation begins anew".to_owned()),
            Err(fault) => Err(told(fault)),
        },
        "codex-help" => Ok(COMMANDS.to_owned()),
        other => Err(format!(
            "`/{other}` is unknown; the commands are {COMMANDS}"
        )),
    }
}

fn plain_target(hub: &Hub, plain: &PlainCall) -> Target {
    if plain.session.is_some() || plain.cwd.is_some() {
        return Target {
            session: plain.session.clone(),
            cwd: plain.cwd.clone(),
        };
    }
    Target {
        session: SessionName::try_from("default".to_owned()).ok(),
        cwd: Some(hub.program.home.clone()),
    }
}

fn argument(given: Option<String>, allowed: &[&str]) -> Result<String, String> {
    let list = allowed.join(", ");
    match given {
        Some(given) if allowed.contains(&given.as_str()) => Ok(given),
        Some(given) => Err(format!("`{given}` is unknown; allowed are {list}")),
        None => Err(format!("`value` is missing; allowed are {list}")),
    }
}

fn switch(given: Option<String>) -> Result<bool, String> {
    let text = argument(given, &["on", "off"])?;
    Ok(on_off(&text).unwrap_or_default())
}

fn spelled(state: Option<bool>) -> &'static str {
    if state == Some(true) { "on" } else { "off" }
}
