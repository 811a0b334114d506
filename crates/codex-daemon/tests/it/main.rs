//! The daemon as a program, with the real Codex CLI and a scripted model.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test panics like the test"
)]

mod approvals;
mod crash;
mod figures;
mod many;
mod modes;
mod owner;
mod rude;
mod service;
mod stage;
mod talk;
