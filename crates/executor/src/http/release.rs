//! Holds that are released when an answer has been written out.
//!
//! A hold lives in a task of its own ([`keep`]) until its [`Ticket`] is dropped. The ticket travels with the
//! answer: first inside the answer's body ([`Held`]); when the body has been read to its end, in the
//! connection ([`Connection::arm`]); and the connection's stream ([`ReleasingStream`]) drops it at the next
//! flush that succeeds. hyper asks the stream to flush only when everything it had buffered has been
//! written, so the answer's last byte is with the kernel by then. A connection or handler that dies drops
//! the ticket too, and whatever happens, [`AT_LATEST`] ends the hold.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

use crate::runs::HoldGuard;

/// How long a hold is kept at most. Wegent's manager gives up on a cancel after 10 s.
pub(super) const AT_LATEST: Duration = Duration::from_secs(10);

/// Releases its hold when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket(
    #[expect(dead_code, reason = "only its end is of use")] oneshot::Sender<()>,
);

/// A ticket for `hold`, and the task that keeps the hold until then.
pub(super) fn keep(hold: HoldGuard) -> (Ticket, impl Future<Output = ()> + Send + 'static) {
    let (ticket, dropped) = oneshot::channel();
    let keeper = async move {
        let _ = tokio::time::timeout(AT_LATEST, dropped).await;
        drop(hold);
    };
    (Ticket(ticket), keeper)
}

/// What an answer and the stream it goes out on share. Cheap to clone; clones are the same connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection(Arc<Mutex<Vec<Ticket>>>);

impl Connection {
    /// The ticket's answer is all in hyper's buffer: the next flush releases.
    fn arm(&self, ticket: Ticket) {
        self.armed().push(ticket);
    }

    fn flushed(&self) {
        self.armed().clear();
    }

    fn armed(&self) -> MutexGuard<'_, Vec<Ticket>> {
        // A list of tickets can't be left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body whose end releases `ticket` once it has been written out on this connection.
    pub(super) fn hold(&self, ticket: Ticket, body: Body) -> Body {
        Body::new(Held {
            body,
            ticket: Some(ticket),
            connection: self.clone(),
        })
    }
}

/// A body with a ticket.
struct Held {
    body: Body,
    ticket: Option<Ticket>,
    connection: Connection,
}

impl Held {
    fn arm(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.connection.arm(ticket);
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // hyper buffers the frame before it polls or flushes anything again.
        if frame.is_none() || self.body.is_end_stream() {
            self.arm();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Held {
    /// A body of known length needn't be polled past it; one of a dead connection takes the ticket with it.
    fn drop(&mut self) {
        self.arm();
    }
}

/// A stream that tells its [`Connection`] of every flush.
#[derive(Debug)]
pub(super) struct ReleasingStream<S> {
    stream: S,
    connection: Connection,
}

impl<S> ReleasingStream<S> {
    pub(super) fn new(stream: S, connection: Connection) -> Self {
        Self { stream, connection }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReleasingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReleasingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
