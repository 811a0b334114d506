//! A listener whose connections can be closed or reset at a chosen byte.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How a connection ends before its answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The socket is closed (FIN), without the end of the body.
    Close,
    /// The connection is reset (RST).
    Reset,
}

/// The handler's hold on the connection that its request came over.
#[derive(Clone, Debug)]
pub(crate) struct Link(Arc<LinkState>);

#[derive(Debug)]
struct LinkState {
    order: AtomicU8,
    broken: CancellationToken,
}

const NONE: u8 = 0;
const CLOSE: u8 = 1;
const RESET: u8 = 2;

impl Link {
    /// Breaks the connection once everything handed to the server so far has been written.
    /// To be called from within the poll of a response body that then stays pending.
    pub(crate) fn break_after_flush(&self, how: Break) {
        self.0.order.store(
            if how == Break::Reset { RESET } else { CLOSE },
            Ordering::Release,
        );
    }

    /// Breaks the connection as it is.
    pub(crate) fn break_now(&self, how: Break) {
        self.break_after_flush(how);
        self.0.broken.cancel();
    }
}

impl Connected<IncomingStream<'_, Gate>> for Link {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.io().link.clone()
    }
}

/// The listener. Cancelling its token breaks all of its connections.
pub(crate) struct Gate {
    listener: TcpListener,
    connections: CancellationToken,
}

impl Gate {
    pub(crate) fn new(listener: TcpListener, connections: CancellationToken) -> Self {
        Self {
            listener,
            connections,
        }
    }
}

impl Listener for Gate {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Without it, small deltas would wait for each other's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY not set");
        }
        let broken = self.connections.child_token();
        let wait = Box::pin(broken.clone().cancelled_owned());
        let link = Link(Arc::new(LinkState {
            order: AtomicU8::new(NONE),
            broken,
        }));
        (Connection { stream, link, wait }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when its [`Link`] says so.
pub(crate) struct Connection {
    stream: TcpStream,
    link: Link,
    wait: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn broken(&self) -> io::Error {
        if self.link.0.order.load(Ordering::Acquire) == RESET
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "connection is closed instead of reset");
        }
        io::Error::new(io::ErrorKind::ConnectionAborted, "broken on purpose")
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.link.0.broken.is_cancelled() || self.wait.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(self.broken()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.link.0.broken.is_cancelled() {
            return Poll::Ready(Err(self.broken()));
        }
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server flushes the socket only after it has written its own buffer out.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.link.0.order.load(Ordering::Acquire) == NONE {
            return Poll::Ready(Ok(()));
        }
        self.link.0.broken.cancel();
        Poll::Ready(Err(self.broken()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.0.broken.is_cancelled() {
            return Poll::Ready(Err(self.broken()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
