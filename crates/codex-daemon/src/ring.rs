//! A session's last events, for everybody who follows it at his own pace.
//!
//! Nobody waits for a follower: the session writes, the oldest events go when there are too many, and a follower that is
//! too slow, or comes back too late, is told of the gap.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::protocol::{Cursor, Epoch, Event};

/// How many events a session keeps.
const EVENTS: usize = 8192;
/// And how much memory they may take, in bytes.
const BYTES: usize = 4 << 20;

/// The last events of a session.
#[derive(Debug)]
pub(crate) struct Ring {
    epoch: Epoch,
    kept: Mutex<Kept>,
    /// The number of the last event.
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// The number of the last event; that of the first kept one follows from it.
    last: u64,
}

impl Ring {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            kept: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic under this lock leaves a whole queue behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. Never waits.
    pub(crate) fn push(&self, event: Event) {
        let mut kept = self.lock();
        kept.bytes += event.weight();
        kept.events.push_back(Arc::new(event));
        kept.last += 1;
        // The newest one is kept however large it is.
        while kept.events.len() > EVENTS || (kept.bytes > BYTES && kept.events.len() > 1) {
            let gone = kept.events.pop_front();
            kept.bytes -= gone.map_or(0, |gone| gone.weight());
        }
        let last = kept.last;
        drop(kept);
        self.last.send_replace(last);
    }

    fn cursor(&self, seq: u64) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            seq,
        }
    }

    /// Where the newest event stands.
    pub(crate) fn end(&self) -> Cursor {
        self.cursor(self.lock().last)
    }

    /// Follows from the event after `after` on, or from the next one.
    pub(crate) fn follow(self: &Arc<Self>, after: Option<&Cursor>) -> Follower {
        let last = self.lock().last;
        let (seen, lost) = match after {
            None => (last, None),
            Some(after) if after.epoch == self.epoch => (after.seq.min(last), None),
            Some(_) => (0, Some("the daemon was started again since")),
        };
        Follower {
            changes: self.last.subscribe(),
            ring: Arc::clone(self),
            seen,
            lost,
        }
    }
}

/// Reads a ring at its own pace.
#[derive(Debug)]
pub(crate) struct Follower {
    ring: Arc<Ring>,
    changes: watch::Receiver<u64>,
    /// The last event read.
    seen: u64,
    /// A gap to tell of first.
    lost: Option<&'static str>,
}

impl Follower {
    /// The next event with its place. Waits for it. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (Arc<Event>, Cursor) {
        loop {
            if let Some(next) = self.ready() {
                return next;
            }
            // The sender lives in the ring that we hold.
            let _ = self.changes.changed().await;
        }
    }

    /// The next event, if there is one already.
    pub(crate) fn ready(&mut self) -> Option<(Arc<Event>, Cursor)> {
        self.changes.mark_unchanged();
        let kept = self.ring.lock();
        let first = kept.last - kept.events.len() as u64;
        if self.seen < first {
            self.seen = first;
            self.lost
                .get_or_insert("more happened than the daemon keeps");
        }
        if let Some(why) = self.lost.take() {
            let gap = Event::Gap {
                why: why.to_owned(),
            };
            return Some((Arc::new(gap), self.ring.cursor(self.seen)));
        }
        let index = usize::try_from(self.seen - first).unwrap_or(usize::MAX);
        let event = Arc::clone(kept.events.get(index)?);
        self.seen += 1;
        Some((event, self.ring.cursor(self.seen)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: impl Into<String>) -> Event {
        Event::Notice {
            ask: None,
            text: text.into(),
        }
    }

    fn ring() -> Arc<Ring> {
        Arc::new(Ring::new(Epoch("e".into())))
    }

    #[tokio::test]
    async fn a_follower_goes_on_where_it_was() {
        let ring = ring();
        ring.push(notice("one"));
        let mut follower = ring.follow(None);
        ring.push(notice("two"));
        let (event, cursor) = follower.next().await;
        assert_eq!(*event, notice("two"));
        ring.push(notice("three"));
        let mut again = ring.follow(Some(&cursor));
        assert_eq!(*again.next().await.0, notice("three"));
        assert!(again.ready().is_none());
    }

    #[test]
    fn what_is_gone_is_told() {
        let ring = ring();
        let mut slow = ring.follow(None);
        for number in 0..EVENTS + 3 {
            ring.push(notice(number.to_string()));
        }
        assert!(matches!(*slow.ready().unwrap().0, Event::Gap { .. }));
        assert_eq!(*slow.ready().unwrap().0, notice("3"));

        let other = Cursor {
            epoch: Epoch("earlier".into()),
            seq: 5,
        };
        let mut late = ring.follow(Some(&other));
        let (gap, _) = late.ready().unwrap();
        assert!(matches!(&*gap, Event::Gap { why } if why.contains("started again")));
    }

    #[test]
    fn memory_is_bounded() {
        let ring = ring();
        for _ in 0..100 {
            ring.push(notice("x".repeat(BYTES / 10)));
        }
        let kept = ring.lock();
        assert!(kept.bytes <= BYTES && kept.events.len() <= 10);
    }
}
