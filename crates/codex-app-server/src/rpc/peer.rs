//! The calling side.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    message,
    pending::{Failure, Outcome, Pending},
};
use crate::error::{ConnectionLost, OVERLOADED, RpcError};

/// Bounds of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls that may wait for their answer at once; a further one waits for its turn. Codex 0.169 loses answers when
    /// it is overloaded (some hundred calls at once), and 32 is well below that.
    pub calls: usize,
    /// Requests of codex that may be unanswered at once; one more ends the connection, as the alternative is to let
    /// its turn hang.
    pub requests: usize,
    /// Events that wait per thread until reading stops. Before that, from half of it on, adjacent deltas of one item
    /// are joined.
    pub events: usize,
    /// Bytes (of JSON) of the events that wait per thread until reading stops. One larger event is still let in when
    /// nothing else waits.
    pub event_bytes: usize,
    /// How many times `events` and `event_bytes` may be used while calls wait for their answers. The answer may stand
    /// behind what fills the queue, so that a consumer who calls before it reads on would wait for itself.
    pub stretch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 32,
            requests: 256,
            events: 1024,
            event_bytes: 8 << 20,
            stretch: 8,
        }
    }
}

/// Calls codex. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peer {
    pending: Arc<Pending>,
    slots: Arc<Semaphore>,
    lines: mpsc::Sender<Bytes>,
    hang_up: CancellationToken,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl Peer {
    pub(super) fn new(
        pending: Arc<Pending>,
        lines: mpsc::Sender<Bytes>,
        hang_up: CancellationToken,
        calls: usize,
    ) -> Self {
        Self {
            pending,
            slots: Arc::new(Semaphore::new(calls)),
            lines,
            hang_up,
        }
    }

    /// Closes codex's stdin once the answers to its requests are written. What it still says is read.
    pub(crate) fn hang_up(&self) {
        self.hang_up.cancel();
    }

    /// Fails every call, now and from now on.
    pub(crate) fn close(&self, why: &Arc<ConnectionLost>) {
        self.pending.close(why);
    }

    /// Calls `method` and reads its answer.
    pub(crate) async fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &str,
        params: &P,
        wait: Duration,
    ) -> Result<R, RpcError> {
        let answer = self
            .call_with(method, params, wait, RawValue::to_owned)
            .await?;
        serde_json::from_str(answer.get()).map_err(|source| decode(method, source))
    }

    /// Calls `method`; `on_answer` runs where the answer is read, before the next line is looked at.
    pub(crate) async fn call_with<P, T, F>(
        &self,
        method: &str,
        params: &P,
        wait: Duration,
        on_answer: F,
    ) -> Result<T, RpcError>
    where
        P: Serialize,
        T: Send + 'static,
        F: FnOnce(&RawValue) -> T + Send + 'static,
    {
        let deadline = Instant::now() + wait;
        let _slot = self.slot(method, deadline).await?;
        let (sender, receiver) = oneshot::channel();
        let waiter = Box::new(move |outcome: Outcome<'_>| {
            // The call may have been given up; then nobody wants the answer.
            let _ = sender.send(outcome.map(on_answer));
        });
        let entry = self
            .pending
            .insert(waiter)
            .map_err(|why| closed(method, why))?;
        let line =
            message::call(entry.id(), method, params).map_err(|source| decode(method, source))?;
        tracing::debug!(id = entry.id(), method, bytes = line.len(), "calling codex");
        match timeout_at(deadline, self.lines.reserve()).await {
            Err(_elapsed) => {
                return Err(RpcError::Overloaded {
                    method: method.to_owned(),
                });
            }
            Ok(Ok(place)) => place.send(line),
            // The writer has gone, the reader follows; then this call gets its answer with all others.
            Ok(Err(_gone)) => {}
        }
        match timeout_at(deadline, receiver).await {
            Err(_elapsed) => Err(RpcError::Deadline {
                method: method.to_owned(),
                waited: wait,
            }),
            // The table never drops a waiter that is still in it without an answer.
            Ok(Err(_dropped)) => Err(closed(method, Arc::new(ConnectionLost::Ended))),
            Ok(Ok(outcome)) => outcome.map_err(|failure| failed(method, failure)),
        }
    }

    /// Sends a notification without parameters. Whether it arrives shows in later calls.
    pub(crate) async fn notify(&self, method: &str, wait: Duration) -> Result<(), RpcError> {
        match timeout_at(
            Instant::now() + wait,
            self.lines.send(message::notification(method)),
        )
        .await
        {
            Err(_elapsed) => Err(RpcError::Overloaded {
                method: method.to_owned(),
            }),
            Ok(_sent) => Ok(()),
        }
    }

    /// Waits for a free slot.
    async fn slot(
        &self,
        method: &str,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, RpcError> {
        let slot = timeout_at(deadline, Arc::clone(&self.slots).acquire_owned()).await;
        let slot = slot.map_err(|_elapsed| RpcError::Overloaded {
            method: method.to_owned(),
        })?;
        Ok(slot.expect("the semaphore is never closed"))
    }
}

fn closed(method: &str, why: Arc<ConnectionLost>) -> RpcError {
    RpcError::Closed {
        method: method.to_owned(),
        why,
    }
}

fn decode(method: &str, source: serde_json::Error) -> RpcError {
    RpcError::Decode {
        method: method.to_owned(),
        source: Arc::new(source),
    }
}

fn failed(method: &str, failure: Failure) -> RpcError {
    match failure {
        Failure::Closed(why) => closed(method, why),
        Failure::Remote(error) if error.code == OVERLOADED => RpcError::Overloaded {
            method: method.to_owned(),
        },
        Failure::Remote(error) => RpcError::Remote {
            method: method.to_owned(),
            error,
        },
    }
}
