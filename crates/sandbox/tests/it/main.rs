//! A sandbox from outside: real commands, real files, over HTTP.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod files;
mod processes;
mod stage;
mod state;
