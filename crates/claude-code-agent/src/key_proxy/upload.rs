//! The body of a request, on its way from the CLI to the API.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

/// How much of a body that nobody wants is still taken. Requests to the Messages API may have 32 MB.
const DRAIN_LIMIT: usize = 64 << 20;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A request's body that can be taken back from the client that sends it. Clones share it.
///
/// A server that answers without having read the request closes a connection on which data still comes in; the
/// kernel then resets it, and the answer is often lost. So before an answer that does not depend on the body,
/// the rest of it is read.
#[derive(Clone)]
pub(super) struct Upload(Arc<Mutex<Shared>>);

struct Shared {
    /// `None` once it was taken back.
    body: Option<Incoming>,
    /// Waits for the next piece.
    waiting: Option<Waker>,
    /// The CLI hung up within it.
    broken: bool,
}

/// The body was taken back.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
struct TakenBack;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            body: Some(body),
            waiting: None,
            broken: false,
        })))
    }

    /// Whether the CLI hung up before the end of the body.
    pub(super) fn is_broken(&self) -> bool {
        self.shared().broken
    }

    /// Takes the body back, and reads what is left of it into nowhere, within limits.
    pub(super) async fn drain(&self) {
        let (body, waiting) = {
            let mut shared = self.shared();
            (shared.body.take(), shared.waiting.take())
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        let Some(body) = body else { return };
        let mut body = Limited::new(body, DRAIN_LIMIT);
        let read = async { while let Some(Ok(_)) = body.frame().await {} };
        // What can't be read in that time is left to the connection's end.
        let _ = tokio::time::timeout(DRAIN_TIME, read).await;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.shared();
        let Some(body) = &mut shared.body else {
            return Poll::Ready(Some(Err(TakenBack.into())));
        };
        let polled = Pin::new(body).poll_frame(cx);
        shared.waiting = polled.is_pending().then(|| cx.waker().clone());
        let frame = ready!(polled).transpose();
        shared.broken = frame.is_err();
        Poll::Ready(frame.map_err(Into::into).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.shared().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.shared();
        shared
            .body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}
