//! End to end: the real binary, the real Codex CLI, a scripted model, a fake Wegent.

#![expect(clippy::unwrap_used, reason = "a test that fails should fail at once")]

mod attempts;
mod cancel;
mod delivery;
mod processes;
mod requests;
mod secrets;
mod sessions;
mod turns;
