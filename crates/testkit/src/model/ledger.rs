//! What the server remembers.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Said, Script,
    request::{Request, Wire},
};

/// How many requests are kept; the oldest go first.
const KEPT: usize = 5000;

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It still goes on.
    Open,
    /// The script came to its end.
    Finished,
    /// It was refused with this HTTP status.
    Refused(u16),
    /// The server broke the connection, as the script says.
    Broken,
    /// The client went away before the end.
    ClientGone,
}

/// A request that the server has seen. Its `Debug` form hides the values of headers that hold keys.
#[derive(Clone, Serialize)]
pub struct SeenRequest {
    /// The request's number, from 1.
    pub number: u64,
    /// When it arrived, see [`crate::clock::now_micros`].
    pub at: u64,
    /// `GET` or `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The header lines, names in lower case, values whole.
    #[serde(serialize_with = "hide_keys")]
    pub headers: Vec<(String, String)>,
    /// The body; `null` if there was none. Opaque: the CLI's own.
    pub body: Value,
    pub(super) script: Option<Script>,
    /// It was the CLI's own errand (a title, a summary), no part of a conversation.
    pub side: bool,
    /// What the model said in answer to it.
    pub said: Vec<Said>,
    /// How the answer ended.
    pub ending: Ending,
}

impl SeenRequest {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The key that came as `Authorization: Bearer …`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The key that came as `x-api-key: …`, as Anthropic's keys do.
    pub fn api_key(&self) -> Option<&str> {
        self.header("x-api-key")
    }

    /// The thread or session that the request belongs to: Codex tells the provider's cache, Claude Code has a header.
    pub fn thread(&self) -> Option<&str> {
        let thread = self.body.get("prompt_cache_key").and_then(Value::as_str);
        thread.or_else(|| self.header("x-claude-code-session-id"))
    }

    /// Every text of the user in the request, without what the CLI puts in on its own.
    pub fn user_texts(&self) -> Vec<String> {
        Wire::of_path(&self.path)
            .and_then(|wire| Request::parse(wire, &self.body).ok())
            .map(|request| request.user_texts)
            .unwrap_or_default()
    }
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenRequest")
            .field("number", &self.number)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &shown(&self.headers))
            .field("script", &self.script)
            .field("said", &self.said)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

fn shown(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            "authorization" | "api-key" | "x-api-key" | "cookie" => (name.as_str(), "<hidden>"),
            _ => (name.as_str(), value.as_str()),
        })
        .collect()
}

fn hide_keys<S: serde::Serializer>(
    headers: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    shown(headers).serialize(serializer)
}

impl Serialize for Script {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The server's memory.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    script: Script,
    requests: Vec<SeenRequest>,
    next: u64,
    /// How often a script was asked for the same turn.
    counts: HashMap<(Script, String), u32>,
}

impl Ledger {
    pub(super) fn new(script: Script) -> Self {
        let state = State {
            script,
            requests: Vec::new(),
            next: 1,
            counts: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
            changes: watch::channel(0).0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn script(&self) -> Script {
        self.state().script
    }

    pub(super) fn set_script(&self, script: Script) {
        self.state().script = script;
    }

    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.requests.clear();
        state.counts.clear();
    }

    pub(super) fn requests(&self) -> Vec<SeenRequest> {
        self.state().requests.clone()
    }

    /// Notes a request and gives it its number.
    pub(super) fn note(&self, mut request: SeenRequest) -> u64 {
        let mut state = self.state();
        request.number = state.next;
        state.next += 1;
        if state.requests.len() == KEPT {
            state.requests.remove(0);
        }
        state.requests.push(request);
        let number = state.next - 1;
        drop(state);
        self.changed();
        number
    }

    /// How often `script` has been asked for this turn, this time included.
    pub(super) fn count(&self, script: Script, turn: String) -> u32 {
        let mut state = self.state();
        let count = state.counts.entry((script, turn)).or_default();
        *count += 1;
        *count
    }

    pub(super) fn update(&self, number: u64, change: impl FnOnce(&mut SeenRequest)) {
        let mut state = self.state();
        if let Some(request) = state
            .requests
            .iter_mut()
            .find(|request| request.number == number)
        {
            change(request);
        }
        drop(state);
        self.changed();
    }
}
