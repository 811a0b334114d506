//! What the tests of all crates, the end-to-end tests and the demo stand on.
//!
//! An executor stands between four parties that a test can't have for real: a model that costs money and never
//! says the same twice, a CLI that can't be made to misbehave, a platform with its database and browser, and a
//! person who reads. Each has a stand-in here, and all of them run in the test's own process or are the test's own
//! binary started again, so that nothing has to be installed, built before or cleaned up after:
//!
//! | real | here |
//! |---|---|
//! | the model provider | [`model`]: scripted answers over the real wire format, for the real CLI |
//! | the agents' CLIs | [`fake_codex`], [`fake_claude`] and [`transcript`]: their protocols, spoken by a script or a recording |
//! | Wegent's manager and backend | [`backend`]: callbacks, heartbeats, dispatch, cancel, and faults on request |
//! | Wegent's store of January 2026 | [`cumulative`]: what it keeps of a callback log, by either of its two rules |
//! | a git host | [`git_server`]: git's own `http-backend` with credentials, TLS and faults |
//! | GitHub's API, for `gh` | [`code_host`]: what a login asks for, over TLS |
//! | the person at the web UI | [`oracle`]: what is on the screen after a callback log, and what was wrong with it |
//!
//! Beside them: [`notes`] are what a fake CLI says it has said, [`cli`] finds the real CLIs, [`procs`] looks into `/proc` for leftovers and leaked secrets,
//! [`roles`] makes a test binary its own guard and its own fake CLI.
//!
//! What all of them promise: they listen on loopback only, they end with the value that holds them, and they never
//! print a key.

#![warn(missing_docs)]

pub mod backend;
mod callback;
pub mod cli;
pub mod clock;
pub mod code_host;
pub mod cumulative;
pub mod fake_claude;
pub mod fake_codex;
mod form_server;
pub mod git_server;
pub mod http;
pub mod mcp_echo;
pub mod model;
pub mod notes;
pub mod oracle;
pub mod procs;
pub mod roles;
mod stdout;
pub mod storage;
pub mod transcript;

pub use backend::Backend;
pub use callback::{Answered, Callback};
pub use code_host::CodeHost;
pub use form_server::{FormCall, FormServer};
pub use git_server::GitServer;
pub use model::ModelServer;
pub use oracle::View;
pub use roles::init;
pub use storage::Storage;
