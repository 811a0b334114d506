//! Following a session for a client.

use std::sync::Arc;

use crate::{
    protocol::{AskId, Cursor, Event, Outcome},
    ring::Follower,
    sessions::Session,
};

/// Where a client's events go; `false`: the client is gone.
pub(crate) trait Sink {
    fn send(&mut self, event: &Event, cursor: &Cursor) -> impl Future<Output = bool> + Send;
}

/// For a client that wants the answer only.
pub(crate) struct Nowhere;

impl Sink for Nowhere {
    async fn send(&mut self, _event: &Event, _cursor: &Cursor) -> bool {
        true
    }
}

/// Passes a question's events on until its end, which is returned; `None` if the client is gone.
///
/// The follower has to be older than the question, or stand where the client was.
pub(crate) async fn question(
    session: &Arc<Session>,
    ask: &AskId,
    mut follower: Follower,
    sink: &mut impl Sink,
) -> Option<Event> {
    let mut gap = false;
    loop {
        let next = match follower.ready() {
            Some(next) => next,
            None => match gap.then(|| session.outcome(ask)).flatten() {
                // Its end went with the gap.
                Some(outcome) => return Some(ended(ask, outcome)),
                None => follower.next().await,
            },
        };
        let (event, cursor) = next;
        gap |= matches!(*event, Event::Gap { .. });
        if event.ask().is_some_and(|other| other != ask) {
            continue;
        }
        if !sink.send(&event, &cursor).await {
            return None;
        }
        if matches!(*event, Event::Ended { .. }) {
            return Some((*event).clone());
        }
    }
}

/// The end of a question that was over before.
pub(crate) fn ended(ask: &AskId, outcome: Outcome) -> Event {
    Event::Ended {
        ask: ask.clone(),
        outcome,
        usage: None,
        duration_ms: 0,
        codex_ms: None,
    }
}
