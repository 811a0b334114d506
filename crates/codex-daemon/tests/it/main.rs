//! The daemon as a program, with the real Codex CLI and a scripted model.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test panics like the test"
)]

mod approvals;
mod claude;
mod crash;
mod documents;
mod figures;
mod many;
mod mcp;
mod modes;
mod owner;
mod rude;
mod service;
mod stage;
mod talk;
