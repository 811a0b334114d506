//! Who may be connected: so many at a time, and whoever asks for nothing gives way.
//!
//! A connection without a request (its head hasn't come yet, or its last answer has gone) only waits. When every seat is
//! taken, the one that has waited longest is closed for the next that comes, so that silent connections, however many,
//! keep nobody out. One with a request stays until its answer is out.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The seats of a server. Cheap to clone; clones are the same seats.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How often anybody began to wait: the order in which they did.
    begun: u64,
    /// Those who wait, the longest first, each with what tells it to leave.
    leave: BTreeMap<u64, CancellationToken>,
    /// Somebody stands at the door, and nobody is left to give way.
    wanted: bool,
}

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            waiting: Arc::default(),
        }
    }

    /// A seat, if need be that of whoever has waited longest.
    pub(super) async fn take(&self) -> Seat {
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.waiting().make_room();
                let permit = self.free.clone().acquire_owned().await;
                self.waiting().wanted = false;
                permit.expect("nobody closes the semaphore")
            }
        };
        let seat = Seat {
            seats: self.clone(),
            leave: CancellationToken::new(),
            place: Arc::default(),
            _permit: Arc::new(permit),
        };
        seat.wait();
        seat
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn make_room(&mut self) {
        match self.leave.pop_first() {
            Some((_, leave)) => leave.cancel(),
            None => self.wanted = true,
        }
    }
}

/// A connection's seat, free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    seats: Seats,
    leave: CancellationToken,
    /// Its place among those who wait, while it does.
    place: Arc<Mutex<Option<u64>>>,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Seat {
    /// Waits until the connection has to give way.
    pub(super) async fn has_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// The connection has a request. `None` if it was told to leave a moment before: then the request isn't served.
    pub(super) fn busy(&self) -> Option<Busy> {
        let place = self.place().take();
        let mut waiting = self.seats.waiting();
        let waited = place.and_then(|place| waiting.leave.remove(&place));
        waited.map(|_| Busy(self.clone()))
    }

    fn wait(&self) {
        let mut waiting = self.seats.waiting();
        waiting.begun += 1;
        let place = waiting.begun;
        waiting.leave.insert(place, self.leave.clone());
        *self.place() = Some(place);
        if waiting.wanted {
            waiting.wanted = false;
            waiting.make_room();
        }
    }

    /// The connection has ended.
    pub(super) fn leave(self) {
        let place = self.place().take();
        if let Some(place) = place {
            self.seats.waiting().leave.remove(&place);
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<u64>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection has a request for as long as this lives.
#[derive(Debug)]
pub(super) struct Busy(Seat);

impl Busy {
    /// A body with whose end, or with whose loss, the connection waits again.
    pub(super) fn during(self, body: Body) -> Body {
        Body::new(Answering { body, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

struct Answering {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
