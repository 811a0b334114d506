//! The crate from outside: recorded requests in, callbacks out.
#![expect(clippy::unwrap_used, reason = "a test's helpers are test code, too")]

mod callbacks;
mod cumulative;
mod flat;
mod properties;
mod requests;
mod shown;
mod support;
mod sync;
mod validation;
