//! The other end of the socket: connect, call, ask, come back.

mod reconnect;

use std::{io, path::Path, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;
use supervisor::{Line, LineReader};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

pub use reconnect::{Connect, Patience, ask_surely};

use crate::protocol::{
    self, Ask, Call, ClientHello, Cursor, DaemonHello, DaemonLine, Event, Fault, Operation, Outcome,
};

/// How long the daemon may take to answer a connection.
pub const CONNECT: Duration = Duration::from_secs(10);
/// The longest line of the daemon, in bytes.
const MAX_LINE: usize = 64 << 20;

/// What can go wrong between a client and the daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No daemon listens. Said at once.
    #[error("no daemon listens on `{socket}`")]
    NotRunning {
        /// The socket.
        socket: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something listens, but doesn't answer.
    #[error("the daemon on `{socket}` did not answer within {} s", CONNECT.as_secs())]
    NoAnswer {
        /// The socket.
        socket: String,
    },
    /// What listens is no daemon.
    #[error(
        "what listens on `{socket}` does not speak the daemon's protocol; `codex-daemon check` says more"
    )]
    NoDaemon {
        /// The socket.
        socket: String,
    },
    /// The connection ended.
    #[error("the connection to the daemon was lost")]
    Lost(#[source] Option<io::Error>),
    /// The daemon can't do it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is none, and none could be started.
    #[error(transparent)]
    Start(Box<crate::start::StartError>),
    /// The daemon says something that this version doesn't understand.
    #[error("the daemon's answer has an unexpected shape")]
    Shape(#[source] serde_json::Error),
}

impl ClientError {
    /// Whether no daemon is there (any more).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Lost(_))
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    lines: LineReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    calls: u64,
    hello: DaemonHello,
}

impl Client {
    /// Connects and greets.
    ///
    /// # Errors
    /// [`ClientError`]; [`is_gone`](ClientError::is_gone) at once if nobody listens.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let name = socket.display().to_string();
        let stream = match timeout(CONNECT, UnixStream::connect(socket)).await {
            Err(_) => return Err(ClientError::NoAnswer { socket: name }),
            Ok(Err(source)) => {
                return Err(ClientError::NotRunning {
                    socket: name,
                    source,
                });
            }
            Ok(Ok(stream)) => stream,
        };
        let (reader, writer) = stream.into_split();
        let mut client = Self {
            lines: LineReader::new(reader, MAX_LINE),
            writer,
            calls: 0,
            hello: DaemonHello {
                hello: 0,
                daemon: String::new(),
                epoch: protocol::Epoch(String::new()),
                pid: 0,
            },
        };
        match timeout(CONNECT, client.greet()).await {
            Err(_) => Err(ClientError::NoAnswer { socket: name }),
            Ok(Ok(hello)) => {
                client.hello = hello;
                Ok(client)
            }
            Ok(Err(ClientError::Shape(_))) => Err(ClientError::NoDaemon { socket: name }),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn greet(&mut self) -> Result<DaemonHello, ClientError> {
        let hello = ClientHello {
            hello: protocol::VERSION,
            client: concat!("codex-daemon ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        self.write(&hello).await?;
        match self.next().await? {
            DaemonLine::Hello(hello) => Ok(hello),
            DaemonLine::Error { error, .. } => Err(error.into()),
            DaemonLine::Event { .. } | DaemonLine::Ok { .. } => {
                let text = "not a greeting";
                Err(ClientError::Shape(serde::de::Error::custom(text)))
            }
        }
    }

    /// What the daemon said of itself.
    pub fn hello(&self) -> &DaemonHello {
        &self.hello
    }

    async fn write(&mut self, content: &impl serde::Serialize) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(content).map_err(ClientError::Shape)?;
        line.push(b'\n');
        self.writer
            .write_all(&line)
            .await
            .map_err(|error| ClientError::Lost(Some(error)))
    }

    /// Sends a call without waiting for its answer. Says its number.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send(&mut self, operation: Operation) -> Result<u64, ClientError> {
        self.calls += 1;
        let id = self.calls;
        self.write(&Call { id, operation }).await?;
        Ok(id)
    }

    /// The daemon's next line. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended, or the line isn't one of the protocol's.
    pub async fn next(&mut self) -> Result<DaemonLine, ClientError> {
        match self.lines.next().await {
            Ok(Some(Line::Complete(line))) => {
                serde_json::from_slice(&line).map_err(ClientError::Shape)
            }
            Ok(Some(Line::TooLong { .. }) | None) => Err(ClientError::Lost(None)),
            Err(error) => Err(ClientError::Lost(Some(error))),
        }
    }

    /// Calls, and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`]; what the daemon refuses is a [`Fault`].
    pub async fn call<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
    ) -> Result<R, ClientError> {
        let ok = self.events(operation, |_, _| ()).await?;
        serde_json::from_value(ok).map_err(ClientError::Shape)
    }

    async fn events(
        &mut self,
        operation: Operation,
        mut on_event: impl FnMut(&Event, &Cursor),
    ) -> Result<Value, ClientError> {
        let call = self.send(operation).await?;
        loop {
            match self.next().await? {
                DaemonLine::Event { id, event, cursor } if id == call => on_event(&event, &cursor),
                DaemonLine::Ok { id, ok } if id == call => return Ok(ok),
                DaemonLine::Error { id, error } if id.is_none_or(|id| id == call) => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
    }

    /// Asks, shows what happens, and waits for the end.
    ///
    /// # Errors
    /// As [`call`](Self::call). A question that failed is no error here but an [`Outcome`].
    pub async fn ask(
        &mut self,
        ask: &Ask,
        on_event: impl FnMut(&Event, &Cursor),
    ) -> Result<Outcome, ClientError> {
        let ok = self.events(Operation::Ask(ask.clone()), on_event).await?;
        outcome(ok)
    }
}

/// The outcome in the answer to `ask`.
pub(crate) fn outcome(ok: Value) -> Result<Outcome, ClientError> {
    match serde_json::from_value(ok) {
        Ok(Event::Ended { outcome, .. }) => Ok(outcome),
        Ok(_) => Err(ClientError::Shape(serde::de::Error::custom("not an end"))),
        Err(error) => Err(ClientError::Shape(error)),
    }
}
