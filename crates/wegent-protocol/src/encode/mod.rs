//! Events into callbacks: a fold over a turn's records.

mod blocks;
mod cumulative;
mod fold;
mod form;
mod responses;
mod text;
mod wire;

use std::time::Duration;

use bytes::Bytes;

pub use self::{
    cumulative::{CodexEvents, CumulativeEncoder},
    responses::ResponsesEncoder,
};
use crate::{Protocol, TurnRecord};

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
    /// The callback's `event_type`, or its status where the protocol has no events.
    pub event_type: &'static str,
    /// Whether a definite refusal of it says that the platform does not want the turn at all.
    pub required: bool,
    /// Whether a later message says the same again, so that the turn's reader can do without this one. Of the turn's
    /// last message [`Encoder::minimal_terminal`] says what is needed.
    pub repeated: bool,
    /// How long to let the endpoint rest after it.
    pub rest: Rest,
}

/// How long an endpoint is to be left alone after a message, but for the messages of the turn's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Until the next message of any kind.
    pub increment: Duration,
    /// Until the next one that repeats what was said before. Zero leaves the time as it was set before.
    pub snapshot: Duration,
}

/// How much an encoder may put into its next message. The messages of a turn's beginning and end need none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowance {
    /// Nothing: records are only taken in.
    Nothing,
    /// What no later message repeats.
    Increments,
    /// Whatever the protocol has.
    #[default]
    Everything,
}

/// An encoder of `protocol`'s messages, before a turn's first record.
pub fn encoder(protocol: Protocol) -> Box<dyn Encoder> {
    match protocol {
        Protocol::Responses => Box::new(ResponsesEncoder::new()),
        Protocol::Cumulative => Box::new(CumulativeEncoder::new()),
    }
}

/// What a person reads where events are missing.
fn gap_notice(dropped: u64) -> String {
    let (events, are) = if dropped == 1 {
        ("event", "is")
    } else {
        ("events", "are")
    };
    format!("{dropped} {events} could not be kept and {are} missing here.")
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

    /// Says how much the next messages may hold; everything at first. An encoder whose messages don't repeat
    /// each other has no use for it.
    fn allow(&mut self, _allowance: Allowance) {}

    /// The allowance that what was taken in, but is in no message yet, waits for. `None` if nothing waits.
    fn holds_back(&self) -> Option<Allowance> {
        None
    }

    /// The smallest valid message for the turn's end, for an endpoint that refused the full one.
    /// `None` as long as the end has not been encoded.
    fn minimal_terminal(&self) -> Option<Message>;
}
