//! A fake of the runs, a server over it, and a client that sees every byte.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_core::{Attempt, SubtaskId, TaskId, TurnKey};
use executor::{
    config::{HeartbeatBinding, HeartbeatConfig, ServerConfig},
    heartbeat::Binding,
    http::Server,
    runs::{
        Accepted, CancelError, Cancelled, EndSessionError, History, HistoryError, HoldGuard,
        RunStatus, Session, SubmitError, TurnView, Turns,
    },
};
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use wegent_protocol::Dispatch;

/// How long anything may take that should take no time.
const SOON: Duration = Duration::from_secs(30);

/// Waits for what should happen at once.
pub(crate) async fn soon<F: IntoFuture>(what: F) -> F::Output {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it should have happened by now")
}

/// What [`FakeTurns`] answers.
pub(crate) type Submit = Box<dyn Fn() -> Result<RunStatus, SubmitError> + Send + Sync>;

/// Takes every turn and remembers it; ends task 1 and no other.
pub(crate) struct FakeTurns {
    pub(crate) submit: Mutex<Submit>,
    pub(crate) submitted: Mutex<Vec<Dispatch>>,
    /// Cancels that have begun.
    pub(crate) cancels: mpsc::Sender<(TaskId, Option<SubtaskId>)>,
    /// A cancel of task 1 ends when it is told to. One telling ahead is remembered.
    pub(crate) stopped: Notify,
    /// The other ends of holds.
    pub(crate) holds: mpsc::Sender<oneshot::Receiver<()>>,
}

impl FakeTurns {
    fn hold(&self) -> HoldGuard {
        let (guard, released) = oneshot::channel::<()>();
        self.holds.try_send(released).unwrap();
        HoldGuard::new(guard)
    }
}

impl Turns for FakeTurns {
    fn submit(&self, dispatch: Dispatch) -> BoxFuture<'_, Result<Accepted, SubmitError>> {
        Box::pin(async move {
            let status = self.submit.lock().unwrap()()?;
            let key = dispatch.key;
            self.submitted.lock().unwrap().push(dispatch);
            Ok(Accepted {
                key,
                status,
                hold: Some(self.hold()),
            })
        })
    }

    fn sessions(&self) -> BoxFuture<'_, Vec<Session>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn end_session(&self, _task: TaskId) -> BoxFuture<'_, Result<(), EndSessionError>> {
        Box::pin(std::future::ready(Err(EndSessionError::Unknown)))
    }

    fn turns(&self) -> BoxFuture<'_, Vec<TurnView>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn history(
        &self,
        _key: TurnKey,
        _attempt: Option<Attempt>,
        _after: u64,
    ) -> BoxFuture<'_, Result<History, HistoryError>> {
        Box::pin(std::future::ready(Err(HistoryError::Unknown)))
    }

    fn cancel(
        &self,
        task: TaskId,
        subtask: Option<SubtaskId>,
    ) -> BoxFuture<'_, Result<Cancelled, CancelError>> {
        Box::pin(async move {
            self.cancels.try_send((task, subtask)).unwrap();
            match task.0 {
                1 => {
                    self.stopped.notified().await;
                    let subtask = subtask.unwrap_or(SubtaskId(2));
                    let keys = vec![TurnKey { task, subtask }];
                    Ok(Cancelled {
                        keys,
                        hold: self.hold(),
                    })
                }
                666 => panic!("the fake panics for task 666"),
                _ => Err(CancelError::NothingRunning),
            }
        })
    }
}

/// A server over a [`FakeTurns`]. Aborted when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) turns: Arc<FakeTurns>,
    pub(crate) cancels: mpsc::Receiver<(TaskId, Option<SubtaskId>)>,
    pub(crate) holds: mpsc::Receiver<oneshot::Receiver<()>>,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinSet<()>,
}

pub(crate) fn config() -> ServerConfig {
    let host = [127, 0, 0, 1].into();
    ServerConfig {
        host,
        port: 0,
        ..ServerConfig::default()
    }
}

pub(crate) async fn start() -> Running {
    start_with(config(), HeartbeatBinding::None).await
}

pub(crate) async fn start_with(config: ServerConfig, binding: HeartbeatBinding) -> Running {
    let server = Server::bind(config).await.unwrap();
    let address = server.address();
    let (cancel_sender, cancels) = mpsc::channel(64);
    let (hold_sender, holds) = mpsc::channel(64);
    let turns = Arc::new(FakeTurns {
        submit: Mutex::new(Box::new(|| Ok(RunStatus::Running))),
        submitted: Mutex::default(),
        cancels: cancel_sender,
        stopped: Notify::new(),
        holds: hold_sender,
    });
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let binding = Binding::new(&HeartbeatConfig {
        binding,
        ..HeartbeatConfig::default()
    });
    tasks.spawn(server.run(turns.clone(), binding, stop.clone()));
    Running {
        address,
        turns,
        cancels,
        holds,
        stop,
        server: tasks,
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn detail(&self) -> String {
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        json["detail"].as_str().unwrap().to_owned()
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec())
            .unwrap()
            .to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = bytes[end + 4..].to_vec();
        Self { status, head, body }
    }
}

/// A connection on which a request was sent whole.
pub(crate) async fn sent(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

pub(crate) async fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    Answer::parse(&bytes)
}

pub(crate) async fn ask(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> Answer {
    answer(sent(address, method, target, body).await).await
}
