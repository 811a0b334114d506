//! Reading and writing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::value::RawValue;
use supervisor::{Line, LineReader};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    message::{Incoming, RequestId},
    peer::{Limits, Peer},
    pending::{Failure, Pending},
    reply::Reply,
};
use crate::error::ConnectionLost;

/// Takes what codex sends on its own. It may wait, and reading waits with it.
pub(crate) trait Handler: Send + Sync + 'static {
    /// A notification.
    fn notification(&self, method: &str, params: &RawValue) -> impl Future<Output = ()> + Send;
    /// A request.
    fn request(
        &self,
        method: &str,
        params: &RawValue,
        reply: Reply,
    ) -> impl Future<Output = ()> + Send;
    /// The connection has ended. The first reason holds.
    fn closed(&self, why: &Arc<ConnectionLost>);
}

/// A connection over any two byte streams: the handle, and the future that drives it. The caller decides where it runs.
/// `handler` is told how many calls wait, and gives the handler.
pub(crate) fn connect<R, W, H>(
    lines: LineReader<R>,
    writer: W,
    limits: Limits,
    handler: impl FnOnce(watch::Receiver<usize>) -> Arc<H>,
) -> (Peer, Driver<R, W, H>)
where
    H: Handler,
{
    let pending = Arc::new(Pending::new());
    let handler = handler(pending.waiting());
    // Full when codex doesn't read: then calls wait, until their deadlines.
    let (call_sender, calls) = mpsc::channel(limits.calls);
    // Has a place for each unanswered request, see `Reply`.
    let (reply_sender, replies) = mpsc::channel(limits.requests);
    let closer = Closer {
        pending: Some(Arc::clone(&pending)),
        handler: Arc::clone(&handler),
    };
    let hang_up = CancellationToken::new();
    let reader = Reader {
        lines,
        pending: Arc::clone(&pending),
        handler,
        replies: reply_sender,
    };
    let writer = Writer {
        writer,
        calls,
        replies,
        hang_up: hang_up.clone(),
    };
    (
        Peer::new(pending, call_sender, hang_up, limits.calls),
        Driver {
            reader,
            writer,
            closer,
        },
    )
}

/// Reads and writes until the connection ends. Dropping it ends the connection.
pub(crate) struct Driver<R, W, H: Handler> {
    reader: Reader<R, H>,
    writer: Writer<W>,
    closer: Closer<H>,
}

/// How long is read on after writing failed: what codex said before it went may hold the end of a turn.
const READ_ON: Duration = Duration::from_millis(500);

impl<R, W, H> Driver<R, W, H>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    /// Runs the connection to its end. Nobody who waits on it knows yet: the owner says why with the [`Closer`].
    pub(crate) async fn run(self) -> (ConnectionLost, Closer<H>) {
        let Self {
            reader,
            writer,
            closer,
        } = self;
        let mut tasks = JoinSet::new();
        let reader_task = tasks.spawn(reader.run()).id();
        tasks.spawn(writer.run());
        let (first, lost) = ended(tasks.join_next_with_id().await);
        if first == Some(reader_task) {
            return (lost, closer);
        }
        match lost {
            // We hung up, or nobody can call any more. Codex sees its stdin end, says its last words and goes.
            ConnectionLost::Ended => (ended(tasks.join_next_with_id().await).1, closer),
            lost => {
                let _ = timeout(READ_ON, tasks.join_next_with_id()).await;
                (lost, closer)
            }
        }
    }
}

type Joined = Option<Result<(tokio::task::Id, ConnectionLost), tokio::task::JoinError>>;

fn ended(joined: Joined) -> (Option<tokio::task::Id>, ConnectionLost) {
    match joined {
        Some(Ok((id, lost))) => (Some(id), lost),
        Some(Err(error)) => {
            tracing::error!(%error, "a task of the connection failed");
            (Some(error.id()), ConnectionLost::Ended)
        }
        None => (None, ConnectionLost::Ended),
    }
}

/// Tells everybody who waits on the connection that it has ended; by itself when dropped.
pub(crate) struct Closer<H: Handler> {
    pending: Option<Arc<Pending>>,
    handler: Arc<H>,
}

impl<H: Handler> Closer<H> {
    pub(crate) fn close(mut self, why: &Arc<ConnectionLost>) {
        self.close_once(why);
    }

    fn close_once(&mut self, why: &Arc<ConnectionLost>) {
        if let Some(pending) = self.pending.take() {
            self.handler.closed(why);
            pending.close(why);
        }
    }
}

impl<H: Handler> Drop for Closer<H> {
    fn drop(&mut self) {
        self.close_once(&Arc::new(ConnectionLost::Ended));
    }
}

struct Reader<R, H> {
    lines: LineReader<R>,
    pending: Arc<Pending>,
    handler: Arc<H>,
    replies: mpsc::Sender<Bytes>,
}

impl<R: AsyncRead + Unpin, H: Handler> Reader<R, H> {
    async fn run(mut self) -> ConnectionLost {
        loop {
            match self.lines.next().await {
                Ok(Some(Line::Complete(line))) => {
                    if let Err(lost) = self.line(&line).await {
                        return lost;
                    }
                }
                Ok(Some(Line::TooLong { bytes })) => return ConnectionLost::LineTooLong { bytes },
                Ok(None) => return ConnectionLost::Closed,
                Err(error) => return ConnectionLost::Read(error),
            }
        }
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), ConnectionLost> {
        match Incoming::parse(line) {
            Ok(Incoming::Answer { id, outcome }) => {
                if !self.pending.complete(id, outcome.map_err(Failure::Remote)) {
                    tracing::debug!(id, "an answer that nobody waits for");
                }
            }
            Ok(Incoming::Notification { method, params }) => {
                self.handler.notification(&method, params).await
            }
            Ok(Incoming::Request { id, method, params }) => {
                let reply = self.reply(id)?;
                self.handler.request(&method, params, reply).await;
            }
            Err(_) if line.trim_ascii().is_empty() => {}
            // The line itself isn't logged: it can hold anything.
            Err(error) => tracing::warn!(%error, bytes = line.len(), "skipping a line of codex"),
        }
        Ok(())
    }

    /// Takes a place in the writer's queue for the answer. Doesn't wait for one: the reader never waits for the writer.
    fn reply(&self, id: RequestId) -> Result<Reply, ConnectionLost> {
        match self.replies.clone().try_reserve_owned() {
            Ok(place) => Ok(Reply::new(id, place)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ConnectionLost::TooManyRequests),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ConnectionLost::Closed),
        }
    }
}

struct Writer<W> {
    writer: W,
    calls: mpsc::Receiver<Bytes>,
    replies: mpsc::Receiver<Bytes>,
    hang_up: CancellationToken,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn run(mut self) -> ConnectionLost {
        loop {
            let line = tokio::select! {
                biased;
                Some(line) = self.replies.recv() => line,
                () = self.hang_up.cancelled() => return ConnectionLost::Ended,
                line = self.calls.recv() => match line {
                    Some(line) => line,
                    // Nobody can call any more. Dropping the writer tells codex so.
                    None => return ConnectionLost::Ended,
                },
            };
            if let Err(error) = self.write(&line).await {
                return ConnectionLost::Write(error);
            }
        }
    }

    async fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(line).await?;
        self.writer.flush().await
    }
}
