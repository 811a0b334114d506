//! What the fake's session and its turns share: the way out, and what the host has been told or asked.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// What goes out.
#[derive(Debug)]
pub(super) enum Out {
    Stdout(Bytes),
    Stderr(String),
}

/// The host has gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// What changes while the process lives.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) model: String,
    pub(super) mode: String,
    /// The host's `initialize`; opaque.
    pub(super) initialize: Value,
    pub(super) prompts: Vec<String>,
    /// Requests to the model so far.
    pub(super) requests: u64,
    pub(super) results: u64,
    /// Whether the last result was an error.
    pub(super) failed: bool,
    /// Requests to the host that are not yet answered.
    pub(super) pending: HashMap<String, oneshot::Sender<Value>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) session: String,
    /// Deltas are wanted.
    pub(super) partial: bool,
    out: mpsc::Sender<Out>,
    state: Mutex<State>,
    next: AtomicU64,
}

impl Voice {
    pub(super) fn new(
        session: Option<String>,
        partial: bool,
        out: mpsc::Sender<Out>,
        state: State,
    ) -> Self {
        let next = AtomicU64::new(1);
        Self {
            session: session.unwrap_or_else(|| fresh_uuid(&next)),
            partial,
            out,
            state: Mutex::new(state),
            next,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uuid(&self) -> String {
        fresh_uuid(&self.next)
    }

    /// A short id of a kind, unique in this process.
    pub(super) fn id(&self, kind: &str) -> String {
        format!("{kind}_fake_{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a line that names the session and itself.
    pub(super) async fn say(&self, mut line: Value) -> Result<(), Gone> {
        line["session_id"] = json!(self.session);
        line["uuid"] = json!(self.uuid());
        self.write(&line).await
    }

    /// Writes a line as it is.
    pub(super) async fn write(&self, line: &Value) -> Result<(), Gone> {
        self.raw(format!("{line}\n").into()).await
    }

    pub(super) async fn raw(&self, bytes: Bytes) -> Result<(), Gone> {
        self.out.send(Out::Stdout(bytes)).await.map_err(|_| Gone)
    }

    pub(super) async fn stderr(&self, text: &str) -> Result<(), Gone> {
        let line = format!("{text}\n");
        self.out.send(Out::Stderr(line)).await.map_err(|_| Gone)
    }

    /// Asks the host and waits for its answer: what a success carries, or an error's text.
    pub(super) async fn ask(&self, request: Value) -> Result<Result<Value, String>, Gone> {
        let id = self.uuid();
        let (sender, answer) = oneshot::channel();
        self.state().pending.insert(id.clone(), sender);
        let line = json!({"type": "control_request", "request_id": id, "request": request});
        self.write(&line).await?;
        let mut response = answer.await.map_err(|_| Gone)?;
        Ok(match response["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(response["response"].take()),
        })
    }

    /// Takes the host's answer; one to an unknown request is ignored.
    pub(super) fn answered(&self, response: Value) {
        let waiting = response["request_id"]
            .as_str()
            .and_then(|id| self.state().pending.remove(id));
        if let Some(waiting) = waiting {
            // A turn that was interrupted waits no more.
            let _ = waiting.send(response);
        }
    }

    /// Withdraws every open request to the host. Who asked notices when what is given is dropped.
    pub(super) async fn withdraw(&self) -> Result<Withdrawn, Gone> {
        let open: HashMap<_, _> = std::mem::take(&mut self.state().pending);
        for id in open.keys() {
            let line = json!({"type": "control_cancel_request", "request_id": id});
            self.write(&line).await?;
        }
        Ok(Withdrawn(open))
    }
}

/// Requests that wait for an answer which will not come.
#[expect(dead_code, reason = "held for its drop")]
pub(super) struct Withdrawn(HashMap<String, oneshot::Sender<Value>>);

/// In the form of a UUID: what makes it unique on this machine.
fn fresh_uuid(next: &AtomicU64) -> String {
    let number = next.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let micros = crate::clock::now_micros() & 0xffff_ffff;
    format!(
        "{process:08x}-0000-4000-8000-{micros:08x}{:04x}",
        number & 0xffff
    )
}
