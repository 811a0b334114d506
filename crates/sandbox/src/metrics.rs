//! `GET /metrics`: how busy the container is.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use serde::Serialize;

use crate::Sandbox;

/// Remembers the processors' figures from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Option<Ticks>>);

/// What the processors have done since they were started.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    busy: u64,
    all: u64,
}

/// Memory and disk in bytes.
#[derive(Serialize)]
pub(crate) struct Metrics {
    ts: u64,
    cpu_count: usize,
    cpu_used_pct: f64,
    mem_total: u64,
    mem_used: u64,
    disk_used: u64,
    disk_total: u64,
}

pub(crate) async fn metrics(State(sandbox): State<Sandbox>) -> Json<Metrics> {
    let (mem_used, mem_total) = memory();
    let (disk_used, disk_total) = disk(&sandbox.folder());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Json(Metrics {
        ts: since.unwrap_or_default().as_secs(),
        cpu_count: std::thread::available_parallelism().map_or(1, usize::from),
        cpu_used_pct: sandbox.0.meter.percent(),
        mem_total,
        mem_used,
        disk_used,
        disk_total,
    })
}

impl Meter {
    /// How busy the processors were since the last call; since their start at the first.
    fn percent(&self) -> f64 {
        let now = fs::read_to_string("/proc/stat").ok();
        let now = now.and_then(|stat| ticks(&stat)).unwrap_or_default();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(now).unwrap_or_default();
        let all = now.all.saturating_sub(before.all);
        let busy = now.busy.saturating_sub(before.busy);
        let percent = 100.0 * busy as f64 / (all.max(1)) as f64;
        (percent * 100.0).round() / 100.0
    }
}

/// `cpu  user nice system idle iowait irq softirq steal …`
fn ticks(stat: &str) -> Option<Ticks> {
    let numbers = stat.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .take(8)
        .map_while(|number| number.parse().ok())
        .collect();
    let all: u64 = numbers.iter().sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some(Ticks {
        busy: all - idle,
        all,
    })
}

/// What is used and what there is: the container's own limit if it has one, else the machine's.
fn memory() -> (u64, u64) {
    let number = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current");
    if let (Some(used), Some(limit)) = (used, limit) {
        return (used, limit);
    }
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = kib(&info, "MemTotal:") << 10;
    let free = kib(&info, "MemAvailable:") << 10;
    (total.saturating_sub(free), total)
}

fn kib(info: &str, name: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn disk(folder: &Path) -> (u64, u64) {
    let Ok(disk) = nix::sys::statvfs::statvfs(folder) else {
        return (0, 0);
    };
    let size = disk.fragment_size();
    let total = disk.blocks() * size;
    (total.saturating_sub(disk.blocks_free() * size), total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_kernel_are_read() {
        let ticks = ticks("cpu  10 0 20 60 10 0 0 0 5 5\ncpu0 1 2\n").unwrap();
        assert_eq!((ticks.busy, ticks.all), (30, 100));
        assert_eq!(
            kib(
                "MemTotal:       16 kB\nMemAvailable:  4 kB\n",
                "MemAvailable:"
            ),
            4
        );
        assert!(super::ticks("").is_none());
    }
}
