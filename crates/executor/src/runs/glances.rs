//! What a turn has changed in its repository, looked at while it runs.

use std::{convert::Infallible, time::Duration};

use agent_core::{FileChanges, git::TurnChanges};
use tokio::{sync::watch, time::Instant};

/// The least time between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// A look may take this share of the time, so in a large repository they are rarer.
const SHARE: u32 = 20;
/// What has been found is recorded whole each time, so with every so many files looks are rarer, too.
const FILES: usize = 100;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks from time to time, if anybody wants to know.
pub(super) struct Glances(Option<watch::Sender<FileChanges>>);

/// What was seen last.
pub(super) struct Seen(watch::Receiver<FileChanges>);

impl Glances {
    /// `wanted`: whether anybody wants to know.
    pub(super) fn new(wanted: bool) -> (Self, Seen) {
        let (sender, receiver) = watch::channel(FileChanges::default());
        (Self(wanted.then_some(sender)), Seen(receiver))
    }

    /// Drives `running` to its end, looking meanwhile.
    pub(super) async fn beside<T>(
        self,
        running: impl Future<Output = T>,
        changes: &TurnChanges,
    ) -> T {
        let Some(sender) = self.0 else {
            return running.await;
        };
        tokio::select! {
            done = running => done,
            never = look(changes, &sender) => match never {},
        }
    }
}

impl Seen {
    /// What a look has found; `None` when there are no more looks.
    pub(super) async fn next(&mut self) -> Option<FileChanges> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}

async fn look(changes: &TurnChanges, seen: &watch::Sender<FileChanges>) -> Infallible {
    loop {
        let begin = Instant::now();
        let Some(found) = changes.meanwhile(PATIENCE).await else {
            // There is no repository, or looking costs too much: the end will tell.
            return std::future::pending().await;
        };
        let many = u32::try_from(found.files.len() / FILES).unwrap_or(u32::MAX);
        let rest = (begin.elapsed() * SHARE).max(EVERY.saturating_mul(many.saturating_add(1)));
        seen.send_if_modified(|last| {
            let news = *last != found;
            *last = found;
            news
        });
        tokio::time::sleep(rest).await;
    }
}
