//! Long work on files, on a blocking thread, that ends when nobody waits for it any more.

use crate::Stop;

/// Runs `work`, which looks at what it is given now and then. `None` if it panicked. Dropping the future tells it to stop.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce(Stop) -> T + Send + 'static,
) -> Option<T> {
    let stop = Stop::default();
    let _dropped = StopWhenDropped(stop.clone());
    let worked = tokio::task::spawn_blocking(move || work(stop)).await;
    worked
        .inspect_err(|error| tracing::error!(%error, "work on files broke off"))
        .ok()
}

struct StopWhenDropped(Stop);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.now();
    }
}
