//! Replaces secrets in streams of text and in JSON, never letting a split leak. Does no I/O.
//!
//! # Theory of operation
//! [`Secrets`] is a shared, growing set of exact strings. A [`Stream`] takes one text piece by piece and gives
//! back what can be shown already. It holds back the end of the text from the first place on where a secret may
//! have begun; the rest leaves at once. So text that looks like no secret is never delayed.
//!
//! Every byte that lies in *some* occurrence of *some* secret is covered, overlapping occurrences included, and
//! each run of covered bytes becomes one placeholder. What is covered depends on the text alone, which is why
//! the way it is split can't matter.
//!
//! Finding starts is a test of two bytes against a bit map of 8 KB; only where it hits, the sorted secrets are
//! searched. Memory is the secrets themselves, and adding one costs microseconds. Further needles of a secret
//! (its encoded forms) are more entries of the same sorted list; patterns would be a second source of covered
//! runs beside it.
//!
//! # Guarantees
//! * The output of a [`Stream`] between two flushes is the same for every split of the input.
//! * No secret known from the start of a text occurs in its output, not even one that only comes about where a
//!   placeholder meets the text around it: [`PLACEHOLDER`] gives way to another one while a secret begins,
//!   ends or lies in it.
//! * Text without secrets comes out unchanged.
//!
//! # Limits
//! Text that was released before a secret was added can't be taken back: add first, then let text flow.
//! A [flush](Stream::flush) shows what may be the beginning of a secret, but never a whole one.
//!
//! ```
//! use redact::{Secrets, Stream};
//!
//! let secrets = Secrets::new();
//! secrets.add("hunter22");
//! let mut stream = Stream::new(&secrets);
//! assert_eq!(stream.push("the key is hun"), "the key is ");
//! assert_eq!(stream.push("ter22, really"), "[redacted], really");
//! assert_eq!(stream.finish(), "");
//! ```
#![warn(missing_docs)]

mod json;
mod needles;
mod placeholder;
mod secrets;
mod stream;

pub use placeholder::PLACEHOLDER;
pub use secrets::{MIN_LENGTH, Secrets};
pub use stream::Stream;
