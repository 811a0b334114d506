//! How long to wait before codex is started again.

use std::time::Duration;

use rand::Rng;

/// Waiting times between starts: they double with each failure and are jittered.
#[derive(Clone, Copy, Debug)]
pub struct BackoffPolicy {
    /// The first waiting time.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// A connection that lasted this long was healthy: counting starts afresh after it.
    pub healthy: Duration,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
        }
    }
}

/// Counts failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: BackoffPolicy,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(policy: BackoffPolicy) -> Self {
        Self {
            policy,
            failures: 0,
        }
    }

    /// Codex is gone after it was up for `lasted` (zero if it never was). How long to wait?
    pub(crate) fn after(&mut self, lasted: Duration, random: &mut impl Rng) -> Duration {
        if lasted >= self.policy.healthy {
            self.failures = 0;
        }
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let wait = self
            .policy
            .first
            .saturating_mul(factor)
            .min(self.policy.longest);
        // Between half of it and all of it, so that many instances don't start in step.
        wait.mul_f64(random.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_afresh_after_health() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::new(BackoffPolicy::default());
        for expected in [
            100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000,
        ] {
            let wait = backoff.after(Duration::ZERO, &mut random).as_secs_f64() * 1000.0;
            let (low, high) = (f64::from(expected) * 0.499, f64::from(expected) * 1.001);
            assert!(
                (low..=high).contains(&wait),
                "{wait} is not near {expected}"
            );
        }
        for _ in 0..100 {
            backoff.after(Duration::from_secs(1), &mut random);
        }
        assert!(backoff.after(Duration::from_secs(60), &mut random) <= Duration::from_millis(100));
    }
}
