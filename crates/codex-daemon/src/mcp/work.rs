//! Serving a tool's call, and telling of its progress.

use std::{sync::Arc, time::Duration};

use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::{Peer, RequestContext},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{Door, tools::Call};
use crate::{
    client::{ClientError, Patience, ask_surely},
    protocol::{Ask, Event, Operation, Outcome, SettledBy, ToolState},
};

/// How often a client hears of a question about which there is no other news.
const TICK: Duration = Duration::from_secs(10);
/// How much news may wait; more is left out.
const NEWS: usize = 64;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{}", host::error_chain(.0))]
    Client(#[from] ClientError),
    #[error("{0}")]
    Question(String),
    #[error("the client took the question back")]
    Cancelled,
    #[error("the answer can't be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Serves a call.
pub(super) async fn done(
    door: &Arc<Door>,
    call: Call,
    context: &RequestContext<RoleServer>,
) -> Result<String, Failed> {
    match call {
        Call::Ask(question) => ask(door, &question, context).await,
        Call::Other(operation) => {
            let mut client = door.open().await?;
            let answer: serde_json::Value = client.call(operation).await?;
            serde_json::to_string_pretty(&answer).map_err(Failed::Json)
        }
    }
}

async fn ask(
    door: &Arc<Door>,
    question: &Ask,
    context: &RequestContext<RoleServer>,
) -> Result<String, Failed> {
    let mut progress = Progress::new(context);
    let (teller, mut news) = mpsc::channel(NEWS);
    let (mut connect, patience) = (Arc::clone(door), Patience::default());
    let asking = ask_surely(&mut connect, &patience, question, |event, _| {
        if let Some(text) = told(event) {
            // Who doesn't listen misses news, and holds up nothing.
            let _ = teller.try_send(text);
        }
    });
    tokio::pin!(asking);
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let outcome = loop {
        tokio::select! {
            outcome = &mut asking => break outcome?,
            Some(text) = news.recv() => progress.tell(text).await,
            _ = ticks.tick() => progress.tell("Codex is working".to_owned()).await,
            () = context.ct.cancelled() => {
                let stop = Operation::Interrupt(question.target());
                door.open().await?.call::<serde_json::Value>(stop).await?;
                return Err(Failed::Cancelled);
            }
        }
    };
    match outcome {
        Outcome::Completed { text } => Ok(text),
        other => Err(Failed::Question(other.text().to_owned())),
    }
}

/// What a person wants to hear of an event while a question is being answered.
fn told(event: &Event) -> Option<String> {
    match event {
        Event::Queued { position, .. } => Some(format!("waits behind {position} other(s)")),
        Event::Started { .. } => Some("Codex has begun".to_owned()),
        Event::Reasoning { text, .. } => Some(text.clone()),
        Event::Tool { title, state, .. } => Some(match state {
            ToolState::Started => format!("runs: {title}"),
            ToolState::Completed => format!("done: {title}"),
            ToolState::Failed => format!("failed: {title}"),
            ToolState::Declined => format!("not allowed: {title}"),
        }),
        Event::Approval { title, .. } => Some(format!(
            "Codex asks whether it may do this: {title} (answer with `codex-daemon watch`)"
        )),
        Event::Settled { decision, by, .. } => Some(match by {
            SettledBy::Client => format!("answered: {decision:?}"),
            _ => format!("nobody answered: {decision:?}"),
        }),
        Event::Notice { text, .. } => Some(text.clone()),
        Event::Gap { why } => Some(format!("some news is missing: {why}")),
        Event::Delta { .. } | Event::Void { .. } | Event::Ended { .. } => None,
    }
}

/// The way news goes to the client, if it wants any.
struct Progress {
    token: Option<ProgressToken>,
    peer: Peer<RoleServer>,
    count: f64,
}

impl Progress {
    fn new(context: &RequestContext<RoleServer>) -> Self {
        Self {
            token: context.meta.get_progress_token(),
            peer: context.peer.clone(),
            count: 0.0,
        }
    }

    async fn tell(&mut self, text: String) {
        let Some(token) = self.token.clone() else {
            return;
        };
        self.count += 1.0;
        let news = ProgressNotificationParam::new(token, self.count).with_message(text);
        // A client that is gone ends the whole server.
        let _ = self.peer.notify_progress(news).await;
    }
}
