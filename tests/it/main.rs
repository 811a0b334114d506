//! End to end: the real binary, the real Codex CLI, a scripted model, a fake Wegent.

#![expect(clippy::unwrap_used, reason = "a test that fails should fail at once")]

mod probe_g1;
mod probe_g2;
mod turns;
