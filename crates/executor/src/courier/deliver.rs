//! The delivery loop.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use agent_core::{CancelHandle, CancelReason};
use journal::{Cursor, JournalError, Reader, Seq, Wait};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use wegent_protocol::{Allowance, Encoder, Message, RecordBody, Recorded, TurnRecord};

use super::{Backoff, Label, Posted, RetryPolicy, Transport, pace::Pace};
use crate::runs::{Gate, RunStatus};

/// The most records that are read ahead, and so merged into one message at most.
const READ_AHEAD_RECORDS: usize = 4096;
/// The most bytes of records that are read ahead.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Delivers one turn.
pub struct Courier {
    reader: Reader<TurnRecord>,
    cursor: Cursor,
    encoder: Box<dyn Encoder>,
    route: Route,
    terms: Terms,
    pace: Pace,
    pending: VecDeque<(Seq, TurnRecord)>,
    /// While it lasts: the range that was being sent when the process before ended.
    resend_through: Option<Seq>,
    /// How the turn ended, once that has been read.
    ended: Option<RunStatus>,
    /// How far everything has been taken, or has nothing in it to send.
    progress: watch::Sender<Seq>,
}

/// What holds of one turn's delivery beside the pace of retries.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What has to be open before a request is made.
    pub gates: Vec<Gate>,
    /// The turn's end isn't told before this.
    pub end_not_before: Option<Instant>,
    /// Stops the turn if the endpoint refuses a message without which there is no turn.
    pub turn: Option<CancelHandle>,
}

/// What became of a turn's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The terminal message was taken. The turn ended so.
    Delivered(RunStatus),
    /// The endpoint refused the terminal message, also in its smallest form. The turn ended so.
    Refused(RunStatus),
    /// The log was closed without an end. The next start ends it.
    Unfinished,
}

impl Courier {
    /// A courier that goes on where `cursor` stands.
    pub fn new(
        reader: Reader<TurnRecord>,
        cursor: Cursor,
        encoder: Box<dyn Encoder>,
        transport: Arc<dyn Transport>,
        terms: Terms,
        policy: RetryPolicy,
    ) -> Self {
        let position = cursor.position();
        let resend_through = position.sending;
        let route = Route {
            transport,
            gates: terms.gates.clone(),
            policy,
        };
        Self {
            reader,
            cursor,
            encoder,
            route,
            terms,
            pace: Pace::new(),
            pending: VecDeque::new(),
            resend_through,
            ended: None,
            progress: watch::Sender::new(position.acked),
        }
    }

    /// Tells how far the endpoint has taken (or refused) what there is to send. The sender goes with the courier.
    pub fn progress(&self) -> watch::Receiver<Seq> {
        self.progress.subscribe()
    }

    /// Delivers until the terminal message has been taken or refused.
    ///
    /// # Errors
    /// [`JournalError`] when the journal can't be read.
    pub async fn run(mut self) -> Result<Delivery, JournalError> {
        self.catch_up().await?;
        loop {
            if !self.fill().await? {
                return Ok(Delivery::Unfinished);
            }
            if self.route.held().await {
                // What was recorded meanwhile goes along.
                continue;
            }
            self.encoder.allow(self.pace.allowance());
            let Some(message) = self.encode() else {
                continue;
            };
            if message.terminal
                && let Some(time) = self.terms.end_not_before
            {
                sleep_until(time).await;
            }
            self.cursor.note_sending(Seq(message.through))?;
            let sent_at = Instant::now();
            if message.terminal {
                let smallest = self.encoder.minimal_terminal();
                let taken = self.route.post_end(&message, smallest.as_ref()).await;
                self.sent(&message)?;
                // A terminal message is made of the record that says how the turn ended.
                let status = self.ended.unwrap_or(RunStatus::Failed);
                return Ok(match taken {
                    true => Delivery::Delivered(status),
                    false => Delivery::Refused(status),
                });
            }
            let verdict = self.route.post(&message).await;
            self.pace.sent(sent_at, message.rest);
            if verdict == Verdict::Refused
                && message.required
                && let Some(turn) = &self.terms.turn
            {
                turn.cancel(CancelReason::Rejected);
            }
            self.sent(&message)?;
        }
    }

    /// There is no more to do about a message.
    fn sent(&mut self, message: &Message) -> Result<(), JournalError> {
        self.cursor.ack(Seq(message.through))?;
        self.progress.send_replace(Seq(message.through));
        Ok(())
    }

    /// Folds what was delivered before, so that the encoder stands where it stood.
    async fn catch_up(&mut self) -> Result<(), JournalError> {
        let acked = self.cursor.position().acked;
        // Whether the last message was a snapshot isn't known, so that the next one will be.
        self.encoder.allow(Allowance::Increments);
        while self.reader.seen() < acked {
            let read = self
                .reader
                .next_batch(READ_AHEAD_RECORDS, READ_AHEAD_BYTES)?;
            if read.is_empty() {
                break;
            }
            let (old, new): (Vec<_>, Vec<_>) = read.into_iter().partition(|(seq, _)| *seq <= acked);
            self.pending = old.into();
            while !self.pending.is_empty() {
                // Discarded: the endpoint has it.
                let _ = self.encode();
            }
            self.pending = new.into();
        }
        Ok(())
    }

    /// Reads what is there; waits if that is nothing. False when the log is closed and everything was read.
    async fn fill(&mut self) -> Result<bool, JournalError> {
        self.end_resending();
        loop {
            while self.wants_more() {
                let read = self
                    .reader
                    .next_batch(READ_AHEAD_RECORDS, READ_AHEAD_BYTES)?;
                if read.is_empty() {
                    break;
                }
                self.pending.extend(read);
            }
            if !self.pending.is_empty() {
                return Ok(true);
            }
            let Some(waiting) = self.encoder.holds_back() else {
                if self.reader.wait().await == Wait::Finished {
                    return Ok(false);
                }
                continue;
            };
            tokio::select! {
                () = sleep_until(self.pace.due(waiting)) => return Ok(true),
                wait = self.reader.wait() => if wait == Wait::Finished {
                    return Ok(false);
                },
            }
        }
    }

    /// What is to be sent again has to be there as a whole: a part of it would make another message.
    fn wants_more(&self) -> bool {
        match self.resend_through {
            Some(through) => self.reader.seen() < through,
            None => self.pending.len() < READ_AHEAD_RECORDS,
        }
    }

    /// Once all of the range was read and sent, reading goes on as ever.
    fn end_resending(&mut self) {
        if let Some(through) = self.resend_through
            && self.reader.seen() >= through
            && self.pending.front().is_none_or(|(seq, _)| *seq > through)
        {
            self.resend_through = None;
        }
    }

    fn encode(&mut self) -> Option<Message> {
        let limit = match self.resend_through {
            Some(through) => self
                .pending
                .iter()
                .take_while(|(seq, _)| *seq <= through)
                .count(),
            None => self.pending.len(),
        };
        let recorded: Vec<Recorded<'_>> = self
            .pending
            .iter()
            .take(limit)
            .map(|(seq, record)| Recorded { seq: seq.0, record })
            .collect();
        let step = self.encoder.next(&recorded);
        let silent = step.message.is_none() && self.encoder.holds_back().is_none();
        for (seq, record) in self.pending.drain(..step.consumed) {
            // Everything before it has been sent: one message is under way at a time.
            if silent {
                self.progress.send_replace(seq);
            }
            if let RecordBody::Ended(end) = &record.body {
                self.ended = Some(RunStatus::of(&end.kind));
            }
        }
        step.message
    }
}

/// How messages get to their reader.
struct Route {
    transport: Arc<dyn Transport>,
    gates: Vec<Gate>,
    policy: RetryPolicy,
}

impl Route {
    /// Waits until every gate is open. Says whether one was not.
    async fn held(&self) -> bool {
        let held = self.gates.iter().any(Gate::is_held);
        for gate in &self.gates {
            gate.opened().await;
        }
        held
    }

    /// Posts until the endpoint takes or refuses the message, or could not take it too often if it can be done without.
    async fn post(&self, message: &Message) -> Verdict {
        let mut backoff = Backoff::new(self.policy);
        let mut answers = 0;
        let label = Label {
            key: &message.key,
            through: message.through,
        };
        loop {
            self.held().await;
            match self.transport.post(label, message.body.clone()).await {
                Posted::Accepted => return Verdict::Taken,
                Posted::Refused { status, why } => {
                    let (event, key) = (message.event_type, &message.key);
                    tracing::warn!(status, why, event, key, "callback refused");
                    return Verdict::Refused;
                }
                // Its failure is the cancel's doing, not the endpoint's.
                Posted::Retry { .. } if self.gates.iter().any(Gate::is_held) => {}
                Posted::Retry {
                    why,
                    after,
                    answered,
                } => {
                    answers = if answered { answers + 1 } else { 0 };
                    if message.repeated && answers >= self.policy.tries_of_repeated {
                        let (event, key) = (message.event_type, &message.key);
                        tracing::warn!(answers, why, event, key, "callback passed over");
                        return Verdict::PassedOver;
                    }
                    let delay = backoff.after_failure(after);
                    report(&backoff, &why, delay, message);
                    sleep(delay).await;
                }
            }
        }
    }

    /// Posts the turn's end, and if the endpoint does not take it, the smallest one, until it takes or refuses it. Nothing
    /// repeats the end, so it is offered for as long as there is hope. True when it was taken.
    async fn post_end(&self, end: &Message, smallest: Option<&Message>) -> bool {
        loop {
            let whole = self.post(end).await;
            if whole == Verdict::Taken {
                return true;
            }
            let Some(smallest) = smallest else {
                return false;
            };
            match self.post(smallest).await {
                Verdict::Taken => return true,
                Verdict::Refused => return false,
                Verdict::PassedOver => sleep(self.policy.rest_before_end).await,
            }
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The endpoint has it.
    Taken,
    /// The endpoint will never take it.
    Refused,
    /// The endpoint could not take it too often, and can do without.
    PassedOver,
}

/// An outage is told once loudly, then now and then.
fn report(backoff: &Backoff, why: &str, delay: Duration, message: &Message) {
    let failures = backoff.failures();
    if failures == 1 || failures.is_multiple_of(60) {
        tracing::warn!(
            why,
            failures,
            ?delay,
            event = message.event_type,
            "callback not delivered yet"
        );
    } else {
        tracing::debug!(
            why,
            failures,
            ?delay,
            event = message.event_type,
            "callback not delivered yet"
        );
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
