//! Which threads belong together: a sub-agent's thread belongs to the thread whose turn it works for.
//!
//! Codex never announces the thread of a sub-agent, but each turn names the turn it is a part of
//! (`turn/started.turn.rootTurnId`), and says so before anything else of it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::{ThreadId, TurnId};

/// The method that tells of a family.
pub(crate) const TURN_STARTED: &str = "turn/started";

/// The subscribed threads' last turns, and the threads of their sub-agents.
#[derive(Default)]
pub(crate) struct Family {
    turns: HashMap<ThreadId, TurnId>,
    roots: HashMap<ThreadId, ThreadId>,
}

/// The part of `turn/started` that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    thread_id: ThreadId,
    turn: StartedTurn,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartedTurn {
    id: TurnId,
    #[serde(default)]
    root_turn_id: Option<TurnId>,
}

impl Family {
    /// Takes note of a turn that began.
    pub(crate) fn note(&mut self, params: &RawValue, is_subscribed: impl Fn(&ThreadId) -> bool) {
        let Ok(Started { thread_id, turn }) = serde_json::from_str(params.get()) else {
            return;
        };
        if is_subscribed(&thread_id) {
            self.turns.insert(thread_id, turn.id);
            return;
        }
        let Some(root_turn) = turn.root_turn_id else {
            return;
        };
        let root = self.turns.iter().find(|(_, last)| **last == root_turn);
        if let Some((root, _)) = root {
            self.roots.insert(thread_id, root.clone());
        }
    }

    /// The thread that a sub-agent's thread belongs to.
    pub(crate) fn root(&self, thread: &str) -> Option<&ThreadId> {
        self.roots.get(thread)
    }

    /// Nobody listens to the thread any more.
    pub(crate) fn forget(&mut self, thread: &ThreadId) {
        self.turns.remove(thread);
        self.roots.retain(|_, root| root != thread);
    }
}
