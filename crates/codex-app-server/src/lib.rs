//! A typed client of `codex app-server`, and a supervised instance of it that restarts.
//!
//! Codex's app server speaks JSON lines over its stdin and stdout: a dialect of JSON-RPC with requests in both
//! directions. One process serves many threads (conversations), each with one turn at a time. This crate knows codex
//! 0.169 and nothing of who uses it.
//!
//! # Theory of operation
//!
//! ```text
//!            ┌───────────── Instance: spawn, handshake, watch, back off ─────────────┐
//!            │                                                                       │
//!  Client ───┼─► pending table ◄── answers ──┐                                       │
//!    │       │        │                      │                                       │
//!    │       │        ▼                      │                                       │
//!    └───────┼─► writer task ──► stdin    reader task ◄── stdout     codex app-server│
//!            │        ▲                      │                                       │
//!    Ask ────┼────────┘                      ▼                                       │
//!            │                            Router ──► one bounded queue per thread ───┼──► ThreadStream
//!            └───────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The **reader** takes lines in order. An answer is handed to the call that waits for it; if that call opens a thread,
//! the reader subscribes to it before it looks at the next line, so the stream has every event from the first on. What
//! codex says about a thread even before it answers is kept for a moment. Notifications and requests go to the stream
//! of their thread. The **writer** writes calls and answers. The reader never waits for the writer: codex stops reading
//! while nobody reads from it, and both would wait for ever.
//!
//! The **instance** is an actor. It starts codex through its guard, shakes hands, and publishes a [`Connection`]. When
//! that is lost it tells everybody why, clears away what is left of the session, waits (jittered, doubling, capped) and
//! starts the next one.
//!
//! # Guarantees
//!
//! * Every call ends: with its answer, at its deadline, or with the reason when the connection ends.
//! * At most [`Limits::calls`] calls are in flight. Codex loses answers when it is overloaded.
//! * No event of a subscribed thread is dropped. Queues are bounded; under pressure adjacent deltas of one item are
//!   joined, anything else holds up the reader and through it codex. **One consumer that doesn't read therefore holds
//!   up the others** once its queue is full. So that nobody waits for himself, queues stretch while calls wait for
//!   their answers, which may stand behind what fills the queue.
//! * What sub-agents say in threads of their own comes by the stream of the thread they work for.
//! * Every stream ends with [`ThreadEvent::Lost`] and the reason, after everything that was read before.
//! * Every request of codex is answered: by [`Ask::answer`](protocol::Ask::answer), or with an error when it is dropped,
//!   unknown, or of a thread that nobody listens to.
//! * What this version doesn't know is skipped or kept as raw JSON, never fatal. Lines that are no messages are logged
//!   (not quoted) and skipped.
//! * Dropping an [`Instance`] leaves no process behind.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//! use codex_app_server::{Instance, InstanceConfig, ThreadEvent, protocol::*};
//!
//! # async fn run(guard: supervisor::Guard) -> Result<(), Box<dyn std::error::Error>> {
//! let client = ClientInfo { name: "example".into(), title: "Example".into(), version: "1".into() };
//! let instance = Instance::start(InstanceConfig::new(guard, "/usr/bin/codex", "/tmp", client));
//! let connection = instance.ready(Duration::from_secs(30)).await?;
//! let codex = connection.client();
//! let (opened, mut stream) = codex.thread_start(ThreadStartParams::default()).await?;
//! codex.turn_start(TurnStartParams::new(opened.thread.id, vec![UserInput::text("hi")])).await?;
//! loop {
//!     match stream.next().await {
//!         ThreadEvent::Notification(Notification::AgentMessageDelta(delta)) => print!("{}", delta.delta),
//!         ThreadEvent::Notification(Notification::TurnCompleted(_)) => break,
//!         ThreadEvent::Notification(_) => {}
//!         ThreadEvent::Request(request) => request.refuse("nobody is here to ask"),
//!         ThreadEvent::Lost { why } => return Err(why.into()),
//!     }
//! }
//! instance.shutdown().await;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod backoff;
mod client;
mod error;
mod family;
mod instance;
mod program;
pub mod protocol;
mod queue;
mod router;
mod rpc;

pub use backoff::BackoffPolicy;
pub use client::{Client, Driver, connect};
pub use error::{ConnectionLost, InstanceError, RemoteError, RpcError};
pub use instance::{Connection, Instance, InstanceConfig, InstanceState, MAX_LINE, ready};
pub use program::{NoProgram, find_program};
pub use queue::ThreadEvent;
pub use router::ThreadStream;
pub use rpc::{Limits, RequestId};
