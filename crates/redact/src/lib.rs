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
//! What is covered:
//!
//! * every form of every secret: itself, and as base64 (wherever it begins within a group), hexadecimal, in URLs and in JSON make
//!   it; line breaks within a form don't hide it. Only a secret that would be refused without its own line breaks
//!   (`ab\ncd\nef`) is found with just these, be they `\n` or `\r\n`;
//! * shapes that can't be code: tokens of GitHub, GitLab, Anthropic, OpenAI and AWS, JSON web tokens, private keys. From where a
//!   shape is certain, the rest of it is swallowed as it comes, and nothing is held back for its end.
//!
//! Every fifth place of a text is looked at, by four bytes against a bit map; the sorted forms are searched only where it hits.
//! That is above 1 GB/s with 200 secrets, which take 0.4 MB; the search is built anew when text flows after an addition (0.6 ms
//! with 200 secrets). `cargo bench -p redact` measures it.
//!
//! [`mask_assignments`] is apart from that: it guesses by names (`password=…`), which is good enough for logs only.
//!
//! # Guarantees
//! * The output of a [`Stream`] between two flushes is the same for every split of the input.
//! * No secret known from the start of a text occurs in its output, not even one that only comes about where a
//!   placeholder meets the text around it: [`PLACEHOLDER`] gives way to another one while a secret begins,
//!   ends or lies in it.
//! * Text without secrets comes out unchanged.
//! * Values with fewer than [`MIN_LENGTH`] bytes and common words are refused, and [`Secrets::add`] says so.
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

mod assignments;
mod forms;
mod json;
mod needles;
mod placeholder;
mod runs;
mod search;
mod secrets;
mod shape;
mod squeeze;
mod stream;

pub use assignments::mask_assignments;
pub use placeholder::PLACEHOLDER;
pub use secrets::{Added, MIN_LENGTH, Secrets};
pub use stream::Stream;
