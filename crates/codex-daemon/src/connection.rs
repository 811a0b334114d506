//! One client: reads its lines, serves its calls at the same time, writes what they answer.
//!
//! The writer has a small queue; whoever finds it full waits, and only he: sessions don't know their clients. A client
//! that takes nothing for a while is let go.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use supervisor::{Line, LineReader};
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::{Duration, timeout},
};

use crate::{
    follow::Sink,
    hub::Hub,
    protocol::{
        self, Call, ClientLine, Cursor, DaemonHello, DaemonLine, Event, Fault, FaultCode, Operation,
    },
    serve,
};

/// Lines that wait to be written.
const QUEUE: usize = 64;
/// Calls of one client at once; further lines wait in the socket.
const CALLS: usize = 64;

/// Where a call's events go.
struct ToClient {
    id: u64,
    lines: mpsc::Sender<Bytes>,
}

impl Sink for ToClient {
    async fn send(&mut self, event: &Event, cursor: &Cursor) -> bool {
        #[derive(Serialize)]
        struct EventLine<'a> {
            id: u64,
            event: &'a Event,
            cursor: &'a Cursor,
        }
        let line = line(&EventLine {
            id: self.id,
            event,
            cursor,
        });
        self.lines.send(line).await.is_ok()
    }
}

fn line(content: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(content).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Serves a client until it leaves, breaks the rules, or the daemon ends.
pub(crate) async fn serve(hub: Arc<Hub>, stream: UnixStream) {
    let (reader, writer) = stream.into_split();
    let (lines, queue) = mpsc::channel(QUEUE);
    let stall = hub.config.limits.client_stall;
    let mut client = Client {
        calls: JoinSet::new(),
        lines,
        hub: Arc::clone(&hub),
    };
    let writing = write(writer, queue, stall);
    tokio::pin!(writing);
    tokio::select! {
        stalled = &mut writing => {
            if stalled {
                tracing::warn!("a client that reads nothing is let go");
            }
            return;
        }
        () = client.read(reader) => {}
        () = hub.stop.cancelled() => {}
    }
    // What is being answered may still be (the answer to `stop`, say), but not for long.
    let Client {
        mut calls, lines, ..
    } = client;
    drop(lines);
    let finish = async {
        tokio::select! {
            () = async { while calls.join_next().await.is_some() {} } => {}
            () = async {
                hub.stop.cancelled().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            } => {}
        }
        calls.shutdown().await;
    };
    tokio::join!(finish, writing);
}

/// Writes until everybody who could write has gone, or the client takes nothing: then `true`.
async fn write(writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>, stall: Duration) -> bool {
    let mut writer = BufWriter::with_capacity(16 << 10, writer);
    while let Some(line) = queue.recv().await {
        // A large line may take several stalls' time, as long as it goes on.
        for part in line.chunks(64 << 10) {
            match timeout(stall, writer.write_all(part)).await {
                Err(_) => return true,
                Ok(Err(_)) => return false,
                Ok(Ok(())) => {}
            }
        }
        if queue.is_empty() {
            match timeout(stall, writer.flush()).await {
                Err(_) => return true,
                Ok(Err(_)) => return false,
                Ok(Ok(())) => {}
            }
        }
    }
    false
}

struct Client {
    calls: JoinSet<()>,
    lines: mpsc::Sender<Bytes>,
    hub: Arc<Hub>,
}

impl Client {
    async fn read(&mut self, reader: OwnedReadHalf) {
        let mut reader = LineReader::new(reader, self.hub.config.limits.line);
        while let Ok(Some(line)) = reader.next().await {
            let go_on = match line {
                Line::Complete(line) if line.iter().all(u8::is_ascii_whitespace) => true,
                Line::Complete(line) => self.take(&line).await,
                Line::TooLong { bytes } => {
                    let most = self.hub.config.limits.line;
                    let message = format!("a line of {bytes} bytes; at most {most} are taken");
                    self.refuse(None, Fault::new(FaultCode::TooLong, message))
                        .await;
                    true
                }
            };
            if !go_on {
                return;
            }
        }
    }

    async fn refuse(&self, id: Option<u64>, error: Fault) {
        let _ = self
            .lines
            .send(line(&DaemonLine::Error { id, error }))
            .await;
    }

    /// Takes a line; `false` ends the connection.
    async fn take(&mut self, text: &[u8]) -> bool {
        while self.calls.try_join_next().is_some() {}
        if self.calls.len() >= CALLS {
            self.calls.join_next().await;
        }
        match ClientLine::parse(text) {
            Ok(ClientLine::Hello(hello)) if hello.hello == protocol::VERSION => {
                tracing::debug!(client = hello.client, "a client greets");
                let hello = DaemonHello {
                    hello: protocol::VERSION,
                    daemon: env!("CARGO_PKG_VERSION").to_owned(),
                    epoch: self.hub.epoch.clone(),
                    pid: std::process::id(),
                };
                self.lines.send(line(&hello)).await.is_ok()
            }
            Ok(ClientLine::Hello(hello)) => {
                let (own, theirs) = (protocol::VERSION, hello.hello);
                let message =
                    format!("this daemon speaks version {own} of its protocol, not {theirs}");
                let fault = Fault::new(FaultCode::Protocol, message)
                    .remedy("`codex-daemon restart` starts the installed version");
                self.refuse(None, fault).await;
                false
            }
            Ok(ClientLine::Call(call)) => {
                self.call(call);
                true
            }
            Ok(ClientLine::Plain(plain)) => {
                let (hub, lines) = (Arc::clone(&self.hub), self.lines.clone());
                self.calls.spawn(async move {
                    let answer = serve::plain(&hub, plain).await;
                    let _ = lines.send(line(&answer)).await;
                });
                true
            }
            Err(bad) => {
                let fault = Fault::new(FaultCode::BadRequest, bad.to_string());
                self.refuse(bad.id(), fault).await;
                true
            }
        }
    }

    fn call(&mut self, call: Call) {
        let (hub, lines) = (Arc::clone(&self.hub), self.lines.clone());
        let id = call.id;
        self.calls.spawn(async move {
            let mut sink = ToClient {
                id,
                lines: lines.clone(),
            };
            let is_stop = matches!(call.operation, Operation::Stop {});
            let answer = match serve::call(&hub, call.operation, &mut sink).await {
                Ok(ok) => line(&DaemonLine::Ok { id, ok }),
                Err(error) => line(&DaemonLine::Error {
                    id: Some(id),
                    error,
                }),
            };
            tracing::trace!(id, is_stop, "answered");
            let _ = lines.send(answer).await;
        });
    }
}
