//! Killing by mark: the second net, for what has lost its guard.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Pid, SESSION_MARK, SessionMark, SweepReport,
    mark::owner_prefix,
    proc::{Table, environment_has},
};

/// How long killing goes on.
const BOUND: Duration = Duration::from_secs(3);
/// How long a guard that is still there may go on ending its session. It knows descendants without a mark; we don't.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(3);

/// Ends every process that carries a mark of `owner`, and what descends from one.
///
/// For the start of an executor that holds its owner's lock, so that every such process is stale. Guards among them are
/// given time to end their sessions by themselves: their executor is dead, so they're at it, and they know more.
pub async fn end_stale_sessions(owner: &str) -> SweepReport {
    let prefix = format!("{SESSION_MARK}={}", owner_prefix(owner)).into_bytes();
    on_a_thread(move || end_marked(|entry| entry.starts_with(&prefix), PATIENCE)).await
}

/// Ends every process whose environment has the variable `name` with exactly that value, and what descends from one. For
/// what one of several users of a CLI started, where a guard only knows them all together.
pub async fn end_with_variable(name: &str, value: &str) -> SweepReport {
    let wanted = format!("{name}={value}").into_bytes();
    on_a_thread(move || end_marked(|entry| entry == wanted, Duration::ZERO)).await
}

/// Ends what carries the mark of one session, its guard included. For a session whose guard is dead or doesn't answer.
pub(crate) async fn end_session(mark: &SessionMark) -> SweepReport {
    let wanted = mark.entry();
    on_a_thread(move || end_marked(|entry| entry == wanted, Duration::ZERO)).await
}

/// What `/proc` shows of a session, its guard included. For tests and health.
///
/// A process that dropped its environment isn't shown: only the guard knows it.
pub fn session_processes(mark: &SessionMark) -> Vec<Pid> {
    let wanted = mark.entry();
    Table::read()
        .alive()
        .filter(|pid| environment_has(*pid, |entry| entry == wanted))
        .collect()
}

/// What earlier executors, of whatever owner, left behind: processes with a mark that no guard has below it. None should
/// ever be seen: a guard ends its session when its executor dies.
pub fn stray_processes() -> Vec<Pid> {
    let prefix = format!("{SESSION_MARK}=").into_bytes();
    let table = Table::read();
    let marked = table
        .alive()
        .filter(|pid| environment_has(*pid, |entry| entry.starts_with(&prefix)));
    marked.filter(|pid| !table.is_guarded(*pid)).collect()
}

/// Reading all of `/proc` blocks, and so does waiting between two looks.
async fn on_a_thread(end: impl FnOnce() -> SweepReport + Send + 'static) -> SweepReport {
    match tokio::task::spawn_blocking(end).await {
        Ok(report) => report,
        Err(error) => {
            tracing::error!(error = %error, "killing by mark didn't finish");
            SweepReport::default()
        }
    }
}

fn end_marked(is_mark: impl Fn(&[u8]) -> bool, patience: Duration) -> SweepReport {
    let since = Instant::now();
    let own = Pid::own();
    let mut met = BTreeMap::new();
    let mut empty_looks = 0;
    let mut killed = false;
    loop {
        let table = Table::read();
        let marked = table.alive().filter(|pid| environment_has(*pid, &is_mark));
        let mut targets = table.closure(marked, own);
        let survivors: Vec<Pid> = targets.iter().copied().collect();
        empty_looks = if survivors.is_empty() {
            empty_looks + 1
        } else {
            0
        };
        if empty_looks == 2 || since.elapsed() >= BOUND {
            let left = u32::try_from(survivors.len()).unwrap_or(u32::MAX);
            let ended = u32::try_from(met.len())
                .unwrap_or(u32::MAX)
                .saturating_sub(left);
            return SweepReport {
                ended,
                survivors,
                killed,
            };
        }
        met.extend(
            targets
                .iter()
                .filter_map(|pid| Some(((*pid, table.get(*pid)?.started), ()))),
        );
        if since.elapsed() < patience {
            targets.retain(|pid| !table.get(*pid).is_some_and(|entry| entry.guard));
        }
        killed |= !targets.is_empty();
        table.kill(&targets);
        if !survivors.is_empty() {
            std::thread::sleep(LOOK);
        }
    }
}
