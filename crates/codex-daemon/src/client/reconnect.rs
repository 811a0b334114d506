//! Coming back: after a lost connection, within a bounded time, where one was.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, sleep};

use super::{Client, ClientError};
use crate::protocol::{Ask, Cursor, Event, Outcome};

/// Gets a connection: connects, and may start the daemon for it.
pub trait Connect {
    /// A connection.
    ///
    /// # Errors
    /// Why there is none.
    fn connect(&mut self) -> impl Future<Output = Result<Client, ClientError>> + Send;
}

/// How long a client tries to come back, and in which steps.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The first wait; it doubles.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// When it gives up.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(2),
            total: Duration::from_secs(20),
        }
    }
}

impl Patience {
    /// The wait before the attempt `number` (the first is 0), jittered so that clients don't come back in step.
    pub(crate) fn wait(&self, number: u32) -> Duration {
        let factor = 1_u32.checked_shl(number).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(factor).min(self.longest);
        wait.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// A connection, tried again while no daemon is there.
    ///
    /// # Errors
    /// The last reason.
    pub async fn connect(&self, connect: &mut impl Connect) -> Result<Client, ClientError> {
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            match connect.connect().await {
                Err(error) if error.is_gone() && start.elapsed() < self.total => {
                    sleep(self.wait(attempt)).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }
}

/// Asks, and when the connection is lost comes back for the rest. The daemon knows the question by its id, so it is
/// asked once; what was missed comes by cursor, or a gap says that it is gone.
///
/// # Errors
/// As [`Client::ask`], and when the daemon doesn't come back in time.
pub async fn ask_surely(
    connect: &mut impl Connect,
    patience: &Patience,
    ask: &Ask,
    mut on_event: impl FnMut(&Event, &Cursor),
) -> Result<Outcome, ClientError> {
    let mut ask = ask.clone();
    let mut lost = 0;
    loop {
        let mut client = patience.connect(connect).await?;
        let mut last = ask.after.clone();
        let asked = client.ask(&ask, |event, cursor| {
            last = Some(cursor.clone());
            on_event(event, cursor);
        });
        match asked.await {
            // A daemon that falls over again and again would otherwise keep us for ever.
            Err(error) if error.is_gone() && lost < 5 => {
                lost += 1;
                sleep(patience.wait(lost)).await;
            }
            other => return other,
        }
        // With a cursor even if nothing was seen: it is a return.
        ask.after = last.or_else(|| {
            let epoch = client.hello().epoch.clone();
            Some(Cursor { epoch, seq: 0 })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_capped() {
        let patience = Patience::default();
        for (number, most) in [(0, 50), (1, 100), (3, 400), (10, 2000), (40, 2000)] {
            let wait = patience.wait(number).as_millis();
            assert!(wait * 2 >= most && wait <= most, "{number}: {wait} ms");
        }
    }
}
