//! The stand-ins at work: over real sockets, in real processes, and with the real CLI.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod backend;
mod fake_claude;
mod fake_claude_process;
mod fake_codex;
mod model;
mod model_anthropic;
mod real_claude;
mod real_codex;
