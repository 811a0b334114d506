//! The agent with a CLI in front of it: a fake one that misbehaves on demand, and the real one.

#![expect(clippy::unwrap_used, reason = "a test that fails should fail at once")]

mod exec;
mod fake;
mod inputs;
mod questions;
mod real;
mod settings;
mod stage;
mod subagents;
