//! Typed calls.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use supervisor::LineReader;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    error::{ConnectionLost, RpcError},
    protocol::initialize::{Capabilities, InitializeParams, OPTED_OUT},
    protocol::{
        ClientInfo, LoadedThreads, ServerInfo, Thread, ThreadId, ThreadOpened, ThreadRead,
        ThreadReadParams, ThreadResumeParams, ThreadStartParams, TurnId, TurnStartParams,
        TurnSteerParams, UnsubscribeStatus,
    },
    router::{Router, ThreadStream},
    rpc::{self, Closer, Handler as _, Limits, Peer},
};

/// Calls codex. Cheap to clone; clones share the connection and its limits.
#[derive(Clone)]
pub struct Client {
    peer: Peer,
    router: Arc<Router>,
    timeout: Duration,
}

/// Reads and writes for a [`Client`]; has to be run for anything to happen.
pub struct Driver<R, W>(rpc::Driver<R, W, Router>);

impl<R, W> Driver<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    /// Runs the connection to its end, then fails every call and ends every stream with the reason.
    pub async fn run(self) -> Arc<ConnectionLost> {
        let (lost, closer) = self.0.run().await;
        let lost = Arc::new(lost);
        closer.close(&lost);
        lost
    }

    /// As [`run`](Self::run), but nobody knows of the end until the closer says why.
    pub(crate) async fn run_open(self) -> (ConnectionLost, Closer<Router>) {
        self.0.run().await
    }
}

/// A client over any two byte streams, and its driver. `timeout` bounds each typed call.
///
/// [`Instance`](crate::Instance) does this with a process; on its own it serves tests and other transports.
pub fn connect<R, W>(
    lines: LineReader<R>,
    writer: W,
    limits: Limits,
    timeout: Duration,
) -> (Client, Driver<R, W>) {
    let mut router = None;
    let (peer, driver) = rpc::connect(lines, writer, limits, |calls| {
        Arc::clone(router.insert(Arc::new(Router::new(limits, calls))))
    });
    let router = router.expect("`rpc::connect` asks for its handler exactly once");
    (
        Client {
            peer,
            router,
            timeout,
        },
        Driver(driver),
    )
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Parameters that name a thread and nothing else.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfThread<'a> {
    thread_id: &'a ThreadId,
}

/// An answer that holds nothing worth reading.
#[derive(Deserialize)]
struct Done {}

impl Client {
    /// The same connection with another bound for each typed call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// Calls any method, for what has no typed call here.
    ///
    /// # Errors
    /// [`RpcError`] says whether codex refused, was too slow, or is gone.
    pub async fn call<P, R>(
        &self,
        method: &str,
        params: &P,
        deadline: Duration,
    ) -> Result<R, RpcError>
    where
        P: Serialize,
        R: DeserializeOwned,
    {
        self.peer.call(method, params, deadline).await
    }

    /// See [`Peer::hang_up`].
    pub(crate) fn hang_up(&self) {
        self.peer.hang_up();
    }

    /// Fails every call and ends every stream.
    pub(crate) fn close(&self, why: &Arc<ConnectionLost>) {
        self.router.closed(why);
        self.peer.close(why);
    }

    /// Shakes hands; must be the first call. [`Instance`](crate::Instance) has done it already.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn initialize(
        &self,
        client: &ClientInfo,
        deadline: Duration,
    ) -> Result<ServerInfo, RpcError> {
        let capabilities = Capabilities {
            experimental_api: true,
            opt_out_notification_methods: OPTED_OUT,
        };
        let params = InitializeParams {
            client_info: client,
            capabilities,
        };
        let server = self.call("initialize", &params, deadline).await?;
        self.peer.notify("initialized", deadline).await?;
        Ok(server)
    }

    /// Starts a thread. The stream holds everything that codex says about it, from the first event on.
    ///
    /// # Errors
    /// See [`call`](Self::call). Fails also when an MCP server that is `required` doesn't start.
    pub async fn thread_start(
        &self,
        params: ThreadStartParams,
    ) -> Result<(ThreadOpened, ThreadStream), RpcError> {
        self.open("thread/start", None, &params).await
    }

    /// Resumes a stored thread, or subscribes to one that codex has loaded. An earlier stream of the same thread ends
    /// with [`ConnectionLost::Replaced`].
    ///
    /// # Errors
    /// See [`call`](Self::call); [`is_thread_unknown`](RpcError::is_thread_unknown),
    /// [`is_writer_conflict`](RpcError::is_writer_conflict) and
    /// [`is_provider_missing`](RpcError::is_provider_missing) tell the usual reasons.
    pub async fn thread_resume(
        &self,
        params: ThreadResumeParams,
    ) -> Result<(ThreadOpened, ThreadStream), RpcError> {
        self.open("thread/resume", Some(params.thread_id.clone()), &params)
            .await
    }

    async fn open<P: Serialize>(
        &self,
        method: &str,
        thread: Option<ThreadId>,
        params: &P,
    ) -> Result<(ThreadOpened, ThreadStream), RpcError> {
        let _opening = self.router.opening(thread);
        let router = Arc::clone(&self.router);
        let on_answer = move |answer: &RawValue| {
            let opened: ThreadOpened = serde_json::from_str(answer.get())?;
            let stream = router.subscribe(opened.thread.id.clone());
            Ok((opened, stream))
        };
        let opened: Result<_, serde_json::Error> = self
            .peer
            .call_with(method, params, self.timeout, on_answer)
            .await?;
        opened.map_err(|source| RpcError::Decode {
            method: method.to_owned(),
            source: Arc::new(source),
        })
    }

    /// Reads a thread without loading it.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn thread_read(&self, params: ThreadReadParams) -> Result<Thread, RpcError> {
        let read: ThreadRead = self.call("thread/read", &params, self.timeout).await?;
        Ok(read.thread)
    }

    /// Tells codex that we don't listen to the thread any more. It stays loaded for a while (30 minutes by default).
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn thread_unsubscribe(
        &self,
        thread: &ThreadId,
    ) -> Result<UnsubscribeStatus, RpcError> {
        #[derive(Deserialize)]
        struct Unsubscribed {
            status: UnsubscribeStatus,
        }
        let params = OfThread { thread_id: thread };
        let Unsubscribed { status } = self
            .call("thread/unsubscribe", &params, self.timeout)
            .await?;
        Ok(status)
    }

    /// The threads in codex's memory, first page.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn threads_loaded(&self) -> Result<LoadedThreads, RpcError> {
        #[derive(Serialize)]
        struct FirstPage {}
        self.call("thread/loaded/list", &FirstPage {}, self.timeout)
            .await
    }

    /// Shortens the conversation. Answers at once; a turn with a `contextCompaction` item follows.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn thread_compact(&self, thread: &ThreadId) -> Result<(), RpcError> {
        let _done: Done = self
            .call(
                "thread/compact/start",
                &OfThread { thread_id: thread },
                self.timeout,
            )
            .await?;
        Ok(())
    }

    /// Starts a turn. Its events come by the thread's stream and can overtake this answer.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn turn_start(&self, params: TurnStartParams) -> Result<TurnId, RpcError> {
        #[derive(Deserialize)]
        struct Started {
            turn: StartedTurn,
        }
        #[derive(Deserialize)]
        struct StartedTurn {
            id: TurnId,
        }
        let started: Started = self.call("turn/start", &params, self.timeout).await?;
        Ok(started.turn.id)
    }

    /// Tells a turn to stop. `turn/completed` follows; a running shell command is **not** ended by it, see
    /// [`background_terminals_clean`](Self::background_terminals_clean). A turn that is over already counts as stopped.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn turn_interrupt(&self, thread: &ThreadId, turn: &TurnId) -> Result<(), RpcError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Interrupt<'a> {
            thread_id: &'a ThreadId,
            turn_id: &'a TurnId,
        }
        let params = Interrupt {
            thread_id: thread,
            turn_id: turn,
        };
        match self
            .call::<_, Done>("turn/interrupt", &params, self.timeout)
            .await
        {
            Ok(Done {}) => Ok(()),
            Err(error) if error.is_no_active_turn() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds input to the running turn; it enters after the current tool call.
    ///
    /// # Errors
    /// See [`call`](Self::call); [`is_no_active_turn`](RpcError::is_no_active_turn) when the turn is over.
    pub async fn turn_steer(&self, params: TurnSteerParams) -> Result<TurnId, RpcError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Steered {
            turn_id: TurnId,
        }
        let Steered { turn_id } = self.call("turn/steer", &params, self.timeout).await?;
        Ok(turn_id)
    }

    /// Ends the shell commands of a thread that still run, and completes their items. What called `setsid` or forked
    /// twice lives on.
    ///
    /// # Errors
    /// See [`call`](Self::call).
    pub async fn background_terminals_clean(&self, thread: &ThreadId) -> Result<(), RpcError> {
        let params = OfThread { thread_id: thread };
        let _done: Done = self
            .call("thread/backgroundTerminals/clean", &params, self.timeout)
            .await?;
        Ok(())
    }
}
