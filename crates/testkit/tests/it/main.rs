//! The stand-ins at work: over real sockets, in real processes, and with the real CLI.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod backend;
mod fake_codex;
mod model;
mod real_codex;
