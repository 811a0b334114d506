//! The callbacks of Wegent of January 2026, each of which holds the whole result so far.
//!
//! # What is sent
//!
//! * At the beginning `50 RUNNING`, then a first result with an empty text.
//! * **Snapshots**: the text, the steps of the thinking, the workbench. A later one stands for all before it, so that
//!   what piled up makes one message, and as they grow they are sent less often ([`Message::rest`]).
//! * **Increments** (Codex only): what is new of its events, which Wegent's backend appends to what it has.
//! * At the end the complete text in one more `RUNNING` if it was not sent yet (the backend ignores the text of a terminal
//!   callback once it has another), then the terminal callback, which is complete in itself. After a cancel nothing
//!   comes before it: a `RUNNING` would bring the turn back to life. It then repeats the text that was sent last.
//!
//! What a snapshot says the next one says again, and the terminal callback has all events, so that the courier may pass
//! over what the endpoint can't take ([`Message::repeated`]): Wegent's manager answers 502 for whatever its backend
//! refuses, for as long as it is asked.
//!
//! A snapshot that is made again after a crash covers the same records and may hold more than the first one did: it may
//! have been an increment then.

mod bounds;
mod events;
mod messages;
mod pace;
mod question;
mod thinking;
mod time;
mod turn;
mod validation;
mod wire;
mod workbench;

pub use self::events::CodexEvents;
use self::turn::Turn;
use super::{Allowance, Encoder, Message, Recorded, Step};
use crate::{EndKind, RecordBody, TurnEnd, TurnHeader};

/// Encodes a turn into cumulative callbacks.
#[derive(Debug, Default)]
pub struct CumulativeEncoder {
    turn: Option<Box<Turn>>,
    /// How much may be sent now.
    allowance: Allowance,
    /// Every record up to here has been folded.
    covered: u64,
    /// How far the last message before the end reached.
    told: u64,
    /// How many messages of the beginning have been made.
    opened: u8,
    minimal: Option<Message>,
}

impl CumulativeEncoder {
    /// An encoder before a turn's first record.
    pub fn new() -> Self {
        Self {
            allowance: Allowance::Everything,
            ..Self::default()
        }
    }

    /// The messages of the first record: `50`, then the first result.
    fn open(&mut self, header: &TurnHeader, at_ms: u64, seq: u64) -> Step {
        self.opened += 1;
        if self.opened == 1 {
            let turn = self.turn.insert(Box::new(Turn::new(header.clone(), at_ms)));
            let message = turn.started(self.covered, seq);
            return step(0, Some(message));
        }
        self.covered = seq;
        let message = self.turn.as_mut().map(|turn| match turn.is_validation() {
            true => turn.checking(seq),
            false => turn.snapshot(seq, "init"),
        });
        step(1, message)
    }

    /// Folds records up to the end. Says how many, and gives the end if it was reached.
    fn fold<'a>(&mut self, pending: &[Recorded<'a>]) -> (usize, Option<(&'a TurnEnd, u64, u64)>) {
        for (folded, recorded) in pending.iter().enumerate() {
            let record = recorded.record;
            if let (RecordBody::Ended(end), Some(_)) = (&record.body, &self.turn) {
                return (folded, Some((end, record.at_ms, recorded.seq)));
            }
            if let Some(turn) = &mut self.turn {
                turn.take_in(record);
            }
            self.covered = recorded.seq;
        }
        (pending.len(), None)
    }

    /// What a snapshot is called in its key. After a message that covers as much, such as one of before a restart, it is
    /// another one: it doesn't repeat what that had of Codex's events.
    fn kind(&self) -> &'static str {
        match self.told == self.covered {
            true => "again",
            false => "s",
        }
    }

    fn end(&mut self, end: &TurnEnd, at_ms: u64, seq: u64) -> Step {
        let (covered, kind) = (self.covered, self.kind());
        let Some(turn) = &mut self.turn else {
            return step(1, None);
        };
        if !matches!(end.kind, EndKind::Cancelled { .. }) && !turn.is_validation() {
            // Not yet the end itself: the text has to be there before it. What the end adds to it comes apart, so that a
            // message that is sent again after a crash is the same whether the end is known by then or not.
            if turn.has_news() {
                return step(0, Some(turn.snapshot(covered, kind)));
            }
            turn.complete_text(&end.kind);
            if turn.has_news() {
                return step(0, Some(turn.snapshot(covered, "last")));
            }
        }
        (turn.at_ms, turn.progress) = (at_ms, 100);
        self.minimal = Some(turn.minimal(&end.kind, seq));
        let message = turn.terminal(end, seq);
        self.covered = seq;
        self.turn = None;
        step(1, Some(message))
    }
}

fn step(consumed: usize, message: Option<Message>) -> Step {
    Step { consumed, message }
}

impl Encoder for CumulativeEncoder {
    fn next(&mut self, pending: &[Recorded<'_>]) -> Step {
        if let Some(first) = pending.first()
            && let RecordBody::Begun(header) = &first.record.body
            && self.opened < 2
        {
            return self.open(header.get(), first.record.at_ms, first.seq);
        }
        let (folded, end) = self.fold(pending);
        match end {
            Some((end, at_ms, seq)) if folded == 0 => return self.end(end, at_ms, seq),
            // What stands before the end is covered first: the end's messages depend on nothing else.
            Some(_) => return step(folded, None),
            None => {}
        }
        let covered = self.covered;
        let kind = self.kind();
        let message = self.turn.as_mut().and_then(|turn| match self.allowance {
            Allowance::Everything if turn.has_news() => Some(turn.snapshot(covered, kind)),
            Allowance::Everything | Allowance::Increments => turn.increment(covered),
            Allowance::Nothing => None,
        });
        if message.is_some() {
            self.told = covered;
        }
        step(folded, message)
    }

    fn allow(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    fn holds_back(&self) -> Option<Allowance> {
        let turn = self.turn.as_ref()?;
        if turn.events.has_new() {
            Some(Allowance::Increments)
        } else if turn.has_news() {
            Some(Allowance::Everything)
        } else {
            None
        }
    }

    fn minimal_terminal(&self) -> Option<Message> {
        self.minimal.clone()
    }
}
