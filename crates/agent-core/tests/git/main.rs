//! Git with the system's git, against a server that is git's own.

#![expect(clippy::unwrap_used, reason = "a test that fails should fail at once")]

mod clone;
mod credentials;
mod hostile;
mod login;
mod push;
mod stage;
