//! What runs on behalf of a world, as `/proc` shows it.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use testkit::procs::{self, Proc};

use crate::{PATIENCE, World};

/// The variable by which a session's processes are known.
const MARK: &str = "WEGENT_EXECUTOR_SESSION";

/// A `sleep` that no other test starts, so that its processes can be told from everybody else's. Shown, it is the
/// command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleeper(String);

impl Sleeper {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "every new one differs")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Long enough to outlive the test; the fraction tells test processes and sleepers apart.
        Self(format!(
            "sleep 9000.{}{:04}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// What sleeps so, and the shells that were told to.
    pub fn running(&self) -> Vec<Proc> {
        let mut found = procs::with_command(&self.0);
        found.retain(|proc| !proc.is_zombie());
        found
    }

    /// Waits until at least `count` of its very processes are there, shells not counted.
    ///
    /// # Panics
    /// If they don't appear.
    pub async fn appear(&self, count: usize) {
        let asleep = || {
            self.running()
                .into_iter()
                .filter(|proc| proc.command == self.0)
                .count()
        };
        until(&format!("`{self}` starts"), || asleep() >= count).await;
    }
}

impl fmt::Display for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Waits for something that nobody tells us of: a process, a file.
///
/// # Panics
/// If it doesn't come about.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < limit, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl World {
    /// Every process that carries a mark of this world's executor. The executor itself carries none.
    pub fn marked(&self) -> Vec<Proc> {
        let prefix = format!("{}.", self.executor.name());
        let mut found = procs::all();
        found.retain(|proc| {
            !proc.is_zombie()
                && proc
                    .variable(MARK)
                    .is_some_and(|mark| mark.starts_with(&prefix))
        });
        found
    }

    /// The Codex processes: app-servers without their guards.
    pub fn app_servers(&self) -> Vec<Proc> {
        let mut found = self.marked();
        found.retain(|proc| proc.command.contains("app-server") && !is_guard(proc));
        found
    }

    /// The Claude Code processes, without their guards.
    pub fn claudes(&self) -> Vec<Proc> {
        let mut found = self.marked();
        found.retain(|proc| is_claude(proc) && !is_guard(proc));
        found
    }

    /// The guards.
    pub fn guards(&self) -> Vec<Proc> {
        let mut found = self.marked();
        found.retain(is_guard);
        found
    }

    /// What tools have started: everything marked that is neither guard nor agent.
    pub fn tools(&self) -> Vec<Proc> {
        let mut found = self.marked();
        found.retain(|proc| {
            !is_guard(proc) && !proc.command.contains("app-server") && !is_claude(proc)
        });
        found
    }

    /// Waits until `which` finds nothing, and says how long that took from `since`.
    ///
    /// # Panics
    /// If something is left `limit` after `since`.
    pub async fn gone(
        &self,
        since: Instant,
        limit: Duration,
        which: impl Fn() -> Vec<Proc>,
    ) -> Duration {
        let left = procs::wait_until_gone(which, limit.saturating_sub(since.elapsed())).await;
        if let Err(left) = left {
            panic!(
                "left after {limit:?}: {left:#?}\nlog:\n{}",
                self.executor.log()
            );
        }
        since.elapsed()
    }
}

fn is_guard(proc: &Proc) -> bool {
    proc.command.starts_with("wegent-guard")
}

/// Nothing else is started with this argument; tools are shells.
fn is_claude(proc: &Proc) -> bool {
    proc.command.contains("--input-format=stream-json")
}
