//! The queue between the reader and the consumer of one thread.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use crate::{
    error::ConnectionLost,
    protocol::{Notification, ServerRequest},
    rpc::Limits,
};

/// What happens in a thread.
#[derive(Debug)]
pub enum ThreadEvent {
    /// Codex said something.
    Notification(Notification),
    /// Codex asks something, and waits.
    Request(ServerRequest),
    /// Nothing comes any more.
    Lost {
        /// Why.
        why: Arc<ConnectionLost>,
    },
}

/// One event in a queue, and how many bytes its line had.
pub(crate) struct Queued {
    pub(crate) event: ThreadEvent,
    pub(crate) bytes: usize,
}

/// Bounded, one producer, one consumer. Nothing in it is ever dropped: when it is full, adjacent deltas of one item are
/// joined, and anything else waits, which holds up the reader and through it codex.
pub(crate) struct Queue {
    state: Mutex<State>,
    limits: Limits,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<Queued>,
    bytes: usize,
    /// Set when nothing is taken any more.
    end: Option<Arc<ConnectionLost>>,
    /// Set when the consumer has gone.
    abandoned: bool,
}

impl State {
    /// Takes the event, unless there is no room.
    fn offer(&mut self, offered: &mut Option<Queued>, limits: &Limits, stretch: usize) {
        let Some(queued) = offered else { return };
        if self.abandoned || self.end.is_some() {
            *offered = None;
            return;
        }
        let bytes_fit = self.bytes + queued.bytes <= limits.event_bytes * stretch;
        if bytes_fit && self.events.len() >= limits.events / 2 && self.join(&queued.event) {
            *offered = None;
            return;
        }
        let fits =
            self.events.len() < limits.events * stretch && (bytes_fit || self.events.is_empty());
        if fits && let Some(queued) = offered.take() {
            self.bytes += queued.bytes;
            self.events.push_back(queued);
        }
    }

    /// Joins a delta into the last event, if they belong together.
    fn join(&mut self, next: &ThreadEvent) -> bool {
        let (ThreadEvent::Notification(next), Some(last)) = (next, self.events.back_mut()) else {
            return false;
        };
        let ThreadEvent::Notification(event) = &mut last.event else {
            return false;
        };
        let Some(added) = event.join(next) else {
            return false;
        };
        last.bytes += added;
        self.bytes += added;
        true
    }
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::default(),
            limits,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in, waiting for room. While calls wait for their answers there is more room, see
    /// [`Limits::stretch`].
    pub(crate) async fn push(&self, queued: Queued, calls: &watch::Receiver<usize>) {
        let mut calls = calls.clone();
        let mut offered = Some(queued);
        loop {
            let stretch = if *calls.borrow_and_update() > 0 {
                self.limits.stretch
            } else {
                1
            };
            self.lock().offer(&mut offered, &self.limits, stretch);
            if offered.is_none() {
                return self.filled.notify_one();
            }
            tokio::select! {
                () = self.emptied.notified() => {}
                Ok(()) = calls.changed() => {}
            }
        }
    }

    /// Puts events in regardless of room: the few that came before the queue was there.
    pub(crate) fn seed(&self, events: Vec<Queued>) {
        let mut state = self.lock();
        for queued in events {
            state.bytes += queued.bytes;
            state.events.push_back(queued);
        }
    }

    /// The next event. After the last one, the end, each time it is asked.
    pub(crate) async fn pop(&self) -> ThreadEvent {
        loop {
            if let Some(event) = self.try_pop() {
                self.emptied.notify_one();
                return event;
            }
            self.filled.notified().await;
        }
    }

    fn try_pop(&self) -> Option<ThreadEvent> {
        let mut state = self.lock();
        if let Some(Queued { event, bytes }) = state.events.pop_front() {
            state.bytes -= bytes;
            return Some(event);
        }
        state.end.clone().map(|why| ThreadEvent::Lost { why })
    }

    /// Nothing comes any more. What is in the queue is still delivered.
    pub(crate) fn end(&self, why: &Arc<ConnectionLost>) {
        self.lock().end.get_or_insert_with(|| Arc::clone(why));
        self.filled.notify_one();
        self.emptied.notify_one();
    }

    /// The consumer has gone: what is in the queue is dropped, which refuses its requests.
    pub(crate) fn abandon(&self) {
        let events = {
            let mut state = self.lock();
            state.abandoned = true;
            state.bytes = 0;
            std::mem::take(&mut state.events)
        };
        drop(events);
        self.emptied.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn delta(item: &str, text: &str) -> Queued {
        let params = json!({"threadId": "t", "turnId": "u", "itemId": item, "delta": text});
        let event = Notification::parse("item/agentMessage/delta", &to_raw_value(&params).unwrap());
        Queued {
            event: ThreadEvent::Notification(event),
            bytes: 10,
        }
    }

    fn completed(bytes: usize) -> Queued {
        let params = json!({"threadId": "t", "turn": {"id": "u", "status": "completed"}});
        let event = Notification::parse("turn/completed", &to_raw_value(&params).unwrap());
        Queued {
            event: ThreadEvent::Notification(event),
            bytes,
        }
    }

    fn queue(events: usize, event_bytes: usize) -> Queue {
        Queue::new(Limits {
            events,
            event_bytes,
            stretch: 4,
            ..Limits::default()
        })
    }

    fn text(event: Option<ThreadEvent>) -> String {
        match event {
            Some(ThreadEvent::Notification(Notification::AgentMessageDelta(delta))) => delta.delta,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn deltas_stay_apart_without_pressure_and_join_under_it() {
        let queue = queue(4, 1000);
        let (_count, calls) = watch::channel(0);
        for piece in ["a", "b", "c", "d", "e"] {
            queue
                .push(delta("i", piece), &calls)
                .now_or_never()
                .expect("there is room");
        }
        let texts: Vec<_> = std::iter::from_fn(|| queue.try_pop())
            .map(|event| text(Some(event)))
            .collect();
        assert_eq!(texts, ["a", "bcde"]);
        assert_eq!(queue.lock().bytes, 0, "joined bytes are counted back");
    }

    #[test]
    fn what_cannot_join_waits_and_is_not_lost() {
        let queue = queue(2, 1000);
        let (_count, calls) = watch::channel(0);
        for item in ["i", "j"] {
            queue
                .push(delta(item, "x"), &calls)
                .now_or_never()
                .expect("there is room");
        }
        let mut waiting = std::pin::pin!(queue.push(completed(10), &calls));
        assert!(
            waiting.as_mut().now_or_never().is_none(),
            "the queue is full"
        );
        assert_eq!(text(queue.pop().now_or_never()), "x");
        assert!(
            waiting.as_mut().now_or_never().is_some(),
            "there is room again"
        );
        assert_eq!(text(queue.try_pop()), "x");
        assert!(text(queue.try_pop()).contains("TurnCompleted"));
    }

    #[test]
    fn bytes_are_bounded_too_but_one_large_event_gets_in() {
        let queue = queue(100, 50);
        let (_count, calls) = watch::channel(0);
        queue
            .push(completed(5000), &calls)
            .now_or_never()
            .expect("alone, any size is let in");
        assert!(queue.push(completed(1), &calls).now_or_never().is_none());
        assert!(queue.push(delta("i", "x"), &calls).now_or_never().is_none());
    }

    #[test]
    fn a_waiting_call_stretches_the_queue() {
        let queue = queue(2, 1000);
        let (count, calls) = watch::channel(0);
        for item in ["i", "j"] {
            queue
                .push(delta(item, "x"), &calls)
                .now_or_never()
                .expect("there is room");
        }
        let mut waiting = std::pin::pin!(queue.push(completed(1), &calls));
        assert!(waiting.as_mut().now_or_never().is_none());
        count.send_replace(1);
        assert!(
            waiting.as_mut().now_or_never().is_some(),
            "the answer may stand behind it"
        );
    }

    #[test]
    fn the_end_comes_last_and_releases_the_producer() {
        let queue = queue(1, 1000);
        let (_count, calls) = watch::channel(0);
        queue
            .push(completed(1), &calls)
            .now_or_never()
            .expect("there is room");
        let mut waiting = std::pin::pin!(queue.push(completed(1), &calls));
        assert!(waiting.as_mut().now_or_never().is_none());
        queue.end(&Arc::new(ConnectionLost::Closed));
        assert!(waiting.as_mut().now_or_never().is_some());
        assert!(matches!(
            queue.try_pop(),
            Some(ThreadEvent::Notification(_))
        ));
        assert!(matches!(queue.try_pop(), Some(ThreadEvent::Lost { .. })));
        assert!(
            matches!(queue.try_pop(), Some(ThreadEvent::Lost { .. })),
            "asked again, it says so again"
        );
    }
}
