//! Codex kept warm on a developer's machine.
//!
//! # Theory of operation
//!
//! ```text
//!  clients ──socket──► listener ─► connection ─► serve ──question──► session's queue
//!     ▲                                │                                  │
//!     │                                │                               worker ──► turn ──► warm ──guard── codex app-server
//!     └────── lines ◄── follower ◄─────┴────────── ring ◄──── events ─────┘
//! ```
//!
//! A **session** is a conversation with Codex: a queue, settings, and a **ring** of its last events. Its **worker** takes
//! one question after the other and writes events into the ring, and never knows who reads them. A client **follows** the
//! ring at its own pace; if it's too slow, or comes back too late, it is told of the gap. **Warm** keeps one
//! `codex app-server` running below its guard and replaces it when it ends or hangs.
//!
//! # Guarantees
//!
//! * One daemon per socket: it holds a lock for life. Who loses the race connects to who won it.
//! * Files and folders are the user's alone, or the daemon doesn't start and says what mends it.
//! * No client can slow another one, a session, or Codex.
//! * A question that a client sends again under the same id is asked once.
//! * When the daemon ends, however it ends, so does Codex and everything it started.
//! * Nothing gets more than the workspace, unasked, unless the user's own configuration says so.
//!
//! # Code map
//!
//! `protocol` says what goes over the socket, `client` is the other end of it. `daemon` is a daemon's life, `hub` what it
//! shares. `config` reads the settings, `paths` and `owner` settle whose files they are. `exec` is the lesser mode.
//! `claude` is the program `claude-codex`, `slash` the commands that it brings along, `mcp` the same for any MCP client.
//!
//! # Example
//!
//! ```no_run
//! use codex_daemon::{client::Client, protocol::{Ask, Target}};
//!
//! # async fn run() -> Result<(), codex_daemon::client::ClientError> {
//! let mut client = Client::connect("/run/user/1000/codex-daemon/daemon.sock".as_ref()).await?;
//! let answer = client.ask(&Ask::new(Target::of_folder("/work"), "What is this?"), |_event, _| ()).await?;
//! println!("{}", answer.text());
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod alert;
pub mod backup;
mod bridge;
pub mod claude;
pub mod cli;
pub mod client;
pub mod config;
mod connection;
pub mod daemon;
mod exec;
pub mod exit;
mod follow;
mod history;
mod hub;
mod listener;
pub mod logging;
pub mod mcp;
pub mod owner;
pub mod paths;
pub mod protocol;
mod ring;
mod serve;
mod sessions;
pub mod slash;
pub mod start;
pub mod stats;
pub mod systemd;
mod turn;
mod warm;
mod worker;
