//! Behaviour of the client over an in-memory connection, of recorded sessions, and of real processes.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test panics like the test"
)]

mod calls;
mod fake;
mod instance;
mod protocol;
mod real;
mod streams;
mod transcripts;
