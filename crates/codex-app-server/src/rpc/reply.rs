//! The way to answer a request of codex.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::message::{self, INTERNAL_ERROR, RequestId};

/// Answers one request. Dropped unused, it answers with an error, because an unanswered request hangs its turn.
///
/// It holds a place in the writer's queue from the moment the request was read, so answering never waits and can't be
/// refused.
pub(crate) struct Reply {
    id: RequestId,
    place: Option<mpsc::OwnedPermit<Bytes>>,
}

impl Reply {
    pub(super) fn new(id: RequestId, place: mpsc::OwnedPermit<Bytes>) -> Self {
        Self {
            id,
            place: Some(place),
        }
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    pub(crate) fn answer<R: Serialize>(mut self, result: &R) {
        let line = message::answer(&self.id, result).unwrap_or_else(|error| {
            tracing::error!(id = %self.id, column = error.column(), "the answer can't be written as JSON");
            message::error(&self.id, INTERNAL_ERROR, "the client could not write its answer")
        });
        self.send(line);
    }

    pub(crate) fn refuse(mut self, code: i64, reason: &str) {
        let line = message::error(&self.id, code, reason);
        self.send(line);
    }

    fn send(&mut self, line: Bytes) {
        if let Some(place) = self.place.take() {
            place.send(line);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let line = message::error(&self.id, INTERNAL_ERROR, "nobody answered the request");
        self.send(line);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
