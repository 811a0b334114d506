//! Answers to an agent that asks whether its events have been delivered.

use std::collections::VecDeque;

use agent_core::Mark;
use journal::Seq;
use tokio::sync::watch;

/// The marks of one run that wait for the courier.
pub(super) struct Marks {
    /// How far the courier is.
    delivered: watch::Receiver<Seq>,
    /// In the order of their records. Few: an agent waits for one before it makes the next.
    waiting: VecDeque<(Seq, Mark)>,
}

impl Marks {
    /// Marks that `delivered` answers.
    pub(super) fn new(delivered: watch::Receiver<Seq>) -> Self {
        Self {
            delivered,
            waiting: VecDeque::new(),
        }
    }

    /// A mark behind the record at `seq`.
    pub(super) fn add(&mut self, seq: Seq, mark: Mark) {
        self.waiting.retain(|(_, mark)| !mark.is_abandoned());
        self.waiting.push_back((seq, mark));
    }

    /// Answers the next mark as soon as the courier is past it. Waits for ever while there is none; may be dropped.
    pub(super) async fn answer(&mut self) {
        let Some((seq, _)) = self.waiting.front() else {
            return std::future::pending().await;
        };
        let seq = *seq;
        let reached = self.delivered.wait_for(|through| *through >= seq).await;
        let reached = reached.is_ok();
        if let Some((_, mark)) = self.waiting.pop_front()
            && reached
        {
            mark.delivered();
        }
    }
}
