//! The agent with a CLI in front of it: the real ones, with a scripted model.

#![expect(clippy::unwrap_used, reason = "a test that fails should fail at once")]

mod ends;
mod fake;
mod secrets;
mod sessions;
mod stage;
mod talk;
