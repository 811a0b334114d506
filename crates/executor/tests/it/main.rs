//! The executor from outside: real sockets, a fake of the runs.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod backend;
mod docs;
mod door;
mod fake;
mod heartbeat;
mod holds;
mod http;
mod init_data;
mod readme;
mod server;
mod sink;
mod stage;
mod waiting;
