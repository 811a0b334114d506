//! Where a turn's events go, and how an agent learns that they have arrived.
//!
//! Events and marks share one bounded channel, so a mark stands for every event before it. Whoever delivers events
//! answers a mark once the reader at the far end has taken them; an agent sees nothing else of the delivery.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::AgentEvent;

/// Where an agent's events go. Bounded: [`emit`](Self::emit) waits for the journal's buffer, never for the network.
#[derive(Clone, Debug)]
pub struct EventSink(mpsc::Sender<Emitted>);

/// The other end of an [`EventSink`].
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Emitted>);

/// What comes out of an [`EventSink`].
#[derive(Debug)]
pub enum Emitted {
    /// An event.
    Event(AgentEvent),
    /// The agent wants to know when everything before this has been delivered.
    Mark(Mark),
}

/// A question of an agent's: has everything before this been delivered? Dropped, it is answered with a no.
#[derive(Debug)]
pub struct Mark(oneshot::Sender<()>);

/// The reader of the turn's events has gone; the turn is being torn down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the turn's event sink is closed")]
pub struct SinkClosed;

/// Events were not delivered in time. They still will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// The time was up.
    #[error("events were not delivered within {0:?}")]
    Late(Duration),
    /// Nobody delivers them any more in this turn.
    #[error("nobody delivers the turn's events")]
    Closed,
}

impl EventSink {
    /// A sink and what it feeds. `capacity` events are buffered before `emit` waits.
    pub fn new(capacity: usize) -> (Self, Events) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), Events(receiver))
    }

    /// Hands over one event, waiting while the buffer is full.
    ///
    /// # Errors
    /// [`SinkClosed`] when the turn is over.
    pub async fn emit(&self, event: AgentEvent) -> Result<(), SinkClosed> {
        self.0
            .send(Emitted::Event(event))
            .await
            .map_err(|_| SinkClosed)
    }

    /// Waits until every event emitted so far has been taken by the platform, or has been dropped for good. (Text that
    /// may be the beginning of a secret is held back, and doesn't count.)
    ///
    /// This is the one place where the network can make an agent wait. It is for what the platform has to know before
    /// the agent's next step, such as a form's block before the call that fills it in.
    ///
    /// # Errors
    /// [`NotDelivered`] when that takes longer than `within`.
    pub async fn delivered(&self, within: Duration) -> Result<(), NotDelivered> {
        let (mark, answered) = oneshot::channel();
        let asked = async {
            let mark = Emitted::Mark(Mark(mark));
            self.0.send(mark).await.map_err(|_| NotDelivered::Closed)?;
            answered.await.map_err(|_| NotDelivered::Closed)
        };
        tokio::time::timeout(within, asked)
            .await
            .unwrap_or(Err(NotDelivered::Late(within)))
    }
}

impl Events {
    /// The next thing that came; `None` when the sink has gone.
    pub async fn next(&mut self) -> Option<Emitted> {
        self.0.recv().await
    }

    /// What has come already, if anything has.
    pub fn try_next(&mut self) -> Option<Emitted> {
        self.0.try_recv().ok()
    }

    /// The next event, for a reader with whom everything counts as delivered; `None` when the sink has gone.
    pub async fn recv(&mut self) -> Option<AgentEvent> {
        loop {
            match self.next().await? {
                Emitted::Event(event) => return Some(event),
                Emitted::Mark(mark) => mark.delivered(),
            }
        }
    }
}

impl Mark {
    /// Answers with a yes.
    pub fn delivered(self) {
        // The agent may not wait any more.
        let _ = self.0.send(());
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockId;

    const SOON: Duration = Duration::from_secs(20);

    fn text(delta: &str) -> AgentEvent {
        AgentEvent::Text {
            block: BlockId::new("m").unwrap(),
            parent: None,
            delta: delta.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_mark_stands_behind_the_events_before_it() {
        let (sink, mut events) = EventSink::new(4);
        sink.emit(text("a")).await.unwrap();
        let reading = async {
            assert!(matches!(events.next().await, Some(Emitted::Event(_))));
            let Some(Emitted::Mark(mark)) = events.next().await else {
                panic!("the mark comes second");
            };
            assert!(!mark.is_abandoned());
            mark.delivered();
        };
        let (delivered, ()) = tokio::join!(sink.delivered(SOON), reading);
        assert_eq!(delivered, Ok(()));
    }

    #[tokio::test]
    async fn an_agent_does_not_wait_longer_than_it_said() {
        let (sink, mut events) = EventSink::new(4);
        let short = Duration::from_millis(5);
        assert_eq!(sink.delivered(short).await, Err(NotDelivered::Late(short)));
        let Some(Emitted::Mark(mark)) = events.next().await else {
            panic!("the mark was sent");
        };
        assert!(mark.is_abandoned());
    }

    #[tokio::test]
    async fn nobody_to_ask_is_told_as_such() {
        let (sink, mut events) = EventSink::new(4);
        let dropping = async { drop(events.next().await) };
        let (delivered, ()) = tokio::join!(sink.delivered(SOON), dropping);
        assert_eq!(delivered, Err(NotDelivered::Closed));
        drop(events);
        assert_eq!(sink.delivered(SOON).await, Err(NotDelivered::Closed));
    }
}
