//! One deployment at a time in one folder.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

type Gate = tokio::sync::Mutex<()>;

static GATES: LazyLock<Mutex<HashMap<PathBuf, Weak<Gate>>>> = LazyLock::new(Mutex::default);

/// Waits until nobody else works on `folder`, and keeps others waiting until it is dropped.
pub(super) async fn alone(folder: &Path) -> OwnedMutexGuard<()> {
    let gate = {
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| gate.strong_count() > 0);
        match gates.get(folder).and_then(Weak::upgrade) {
            Some(gate) => gate,
            None => {
                let gate = Arc::new(Gate::default());
                gates.insert(folder.to_owned(), Arc::downgrade(&gate));
                gate
            }
        }
    };
    gate.lock_owned().await
}
