//! Events into callbacks: a fold over a turn's records.

mod blocks;
mod fold;
mod form;
mod responses;
mod text;
mod wire;

use bytes::Bytes;

pub use self::responses::ResponsesEncoder;
use crate::TurnRecord;

/// A record with its place in the turn's journal.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Its sequence number; the first record of a turn has 1, and there are no holes.
    pub seq: u64,
    /// The record.
    pub record: &'a TurnRecord,
}

/// What an encoder made of the beginning of what was pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many of the pending records are covered once `message`, if there is one, has been accepted.
    pub consumed: usize,
    /// What to send.
    pub message: Option<Message>,
}

/// One callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The callback's body.
    pub body: Bytes,
    /// Every record up to this sequence number is covered once the message has been accepted.
    pub through: u64,
    /// Whether it ends the turn. Nothing follows such a message.
    pub terminal: bool,
    /// Names the message: `task-subtask-attempt-seq-n`, the same whenever the same records are encoded.
    pub key: String,
    /// The callback's `event_type`.
    pub event_type: &'static str,
}

/// Makes one protocol's messages of a turn's records.
///
/// # Contract
///
/// [`next`](Self::next) is called with what follows the records covered so far, again and again. Calling it says
/// that the message before was accepted. A message merges as many records as the protocol lets it; a record that
/// takes more than one message yields steps with `consumed == 0` before the one that consumes it. A step with
/// `consumed == 0` and no message says that nothing is pending.
///
/// After a crash a new encoder is fed the records that had been accepted, and what it makes of them is thrown
/// away. Its state then does not depend on how the records were batched, before the crash or after. Fed
/// with exactly the records between the last accepted one and the `through` of the message that was being
/// sent, it makes that message again, byte for byte, as the last one of them; the messages with `consumed == 0`
/// that preceded it are made again, too. A message with `consumed == 0` is one of the record behind its
/// `through` and depends on nothing else that is pending: it is made again as soon as that record is.
pub trait Encoder: Send {
    /// Encodes the longest mergeable beginning of `pending` into at most one message.
    fn next(&mut self, pending: &[Recorded<'_>]) -> Step;

    /// The smallest valid message for the turn's end, for an endpoint that refused the full one.
    /// `None` as long as the end has not been encoded.
    fn minimal_terminal(&self) -> Option<Message>;
}
