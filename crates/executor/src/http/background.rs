//! Work that a request begins and the server owns.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Owns tasks that outlive the request that began them. Cheap to clone; clones are the same owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Background {
    /// Begins work that goes on when nobody waits for it any more.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Waits for all work, `grace` at most, then drops what is left of it.
    pub(super) async fn finish(&self, grace: Duration) {
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
