//! Standard output without a detour.

use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

/// Writes to standard output in the calling thread. Tokio's own hands each write to another thread, and the time
/// that takes would count as the executor's in a measurement of latency.
#[derive(Debug)]
pub(crate) struct Direct;

impl AsyncWrite for Direct {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::stdout().lock().write(data))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(io::stdout().lock().flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
