//! When the endpoint may be asked again, where messages repeat what was said before.

use std::time::Duration;

use tokio::time::Instant;
use wegent_protocol::{Allowance, Rest};

/// The times from which on messages of each kind may be sent.
#[derive(Debug)]
pub(super) struct Pace {
    increment: Instant,
    snapshot: Instant,
}

impl Pace {
    /// Everything may be sent now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            increment: now,
            snapshot: now,
        }
    }

    /// A message was sent at `at`, and asks for a rest.
    pub(super) fn sent(&mut self, at: Instant, rest: Rest) {
        self.increment = at + rest.increment;
        if rest.snapshot > Duration::ZERO {
            self.snapshot = at + rest.snapshot;
        }
    }

    /// What may be sent now.
    pub(super) fn allowance(&self) -> Allowance {
        let now = Instant::now();
        if now < self.increment {
            Allowance::Nothing
        } else if now < self.snapshot {
            Allowance::Increments
        } else {
            Allowance::Everything
        }
    }

    /// From when on something that waits for `allowance` may be sent.
    pub(super) fn due(&self, allowance: Allowance) -> Instant {
        match allowance {
            Allowance::Nothing => Instant::now(),
            Allowance::Increments => self.increment,
            Allowance::Everything => self.increment.max(self.snapshot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn increments_come_sooner_than_snapshots_and_leave_their_time_alone() {
        let mut pace = Pace::new();
        assert_eq!(pace.allowance(), Allowance::Everything);
        let rest = |increment, snapshot| Rest {
            increment: Duration::from_millis(increment),
            snapshot: Duration::from_millis(snapshot),
        };
        pace.sent(Instant::now(), rest(250, 2000));
        assert_eq!(pace.allowance(), Allowance::Nothing);
        tokio::time::sleep_until(pace.due(Allowance::Increments)).await;
        assert_eq!(pace.allowance(), Allowance::Increments);
        let snapshot = pace.due(Allowance::Everything);
        pace.sent(Instant::now(), rest(250, 0));
        assert_eq!(pace.due(Allowance::Everything), snapshot);
        tokio::time::sleep_until(snapshot).await;
        assert_eq!(pace.allowance(), Allowance::Everything);
    }
}
