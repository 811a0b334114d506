//! The courier of a turn: reads its journal, folds it into messages, posts them until the last one is taken.
//!
//! One request is in flight at a time. The first event leaves at once; what is recorded while a request is under way is
//! merged into the next one by the encoder. A network that is slow or away costs nothing but the delay: the records are
//! on disk. Before each request the cursor notes how far it reaches; after a restart exactly that range is encoded again,
//! so the repeated request has the same bytes and the same key.

mod deliver;
mod pace;
mod retry;
mod transport;

pub use deliver::{Courier, Delivery, Terms};
pub use retry::{Backoff, RetryPolicy};
pub use transport::{
    EVENT_SEQUENCE, HttpTransport, IDEMPOTENCY_KEY, Label, NoTransport, Posted, Transport,
};

#[cfg(test)]
mod hardship_tests;
