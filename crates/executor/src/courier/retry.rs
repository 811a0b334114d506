//! How long to wait before a callback is sent again.

use std::time::Duration;

use rand::Rng;

/// The pace of retries. Delays grow from `first` by doubling up to `cap`, each with jitter of up to one half.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay of our own. Short on purpose: an endpoint that comes back is served within this time.
    pub cap: Duration,
    /// The longest `Retry-After` that is honoured.
    pub retry_after_cap: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// After so many answers in a row that it can't take it now, the endpoint is not asked again for a message that is
    /// repeated by a later one.
    pub tries_of_repeated: u32,
    /// How long to wait before the end is offered anew to an endpoint that could not take it so often.
    pub rest_before_end: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(1),
            retry_after_cap: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            tries_of_repeated: 12,
            rest_before_end: Duration::from_secs(30),
        }
    }
}

/// The retries of one request.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    failures: u32,
}

impl Backoff {
    /// No failure so far.
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            failures: 0,
        }
    }

    /// Notes a failure and returns how long to wait. A server's `Retry-After` goes before our own pace.
    pub fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let doubled = self.policy.first.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        match retry_after {
            Some(asked) => asked.min(self.policy.retry_after_cap),
            None => {
                let full = doubled.min(self.policy.cap);
                full.mul_f64(rand::rng().random_range(0.5..=1.0))
            }
        }
    }

    /// How often the request has failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_a_server_may_ask_for_more() {
        let mut backoff = Backoff::new(RetryPolicy::default());
        let delays: Vec<Duration> = (0..8).map(|_| backoff.after_failure(None)).collect();
        assert!(delays[0] >= Duration::from_millis(50) && delays[0] <= Duration::from_millis(100));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(1)));
        assert!(delays[7] >= Duration::from_millis(500));
        assert_eq!(
            backoff.after_failure(Some(Duration::from_secs(3))),
            Duration::from_secs(3)
        );
        assert_eq!(
            backoff.after_failure(Some(Duration::from_secs(300))),
            Duration::from_secs(10)
        );
        assert_eq!(backoff.failures(), 10);
    }
}
