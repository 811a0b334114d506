//! Ending work on a blocking thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Tells work to end soon. Clones are the same; work that holds one looks at it now and then.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
