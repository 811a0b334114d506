//! The machine that is measured on, and what a process has used of it.

use std::{fmt, fs, thread};

/// The build, the machine and the CLI in one line.
pub(crate) fn describe() -> String {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let cores =
        thread::available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
    let cpu = line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = line("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "wegent-executor {} ({build} build), {cores} cores ({cpu}), {memory}, Linux {}",
        env!("CARGO_PKG_VERSION"),
        kernel.trim()
    )
}

/// How busy the machine was in the last minute, in runnable processes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// A process's resident memory in MiB; 0 if it can't be had.
pub(crate) fn resident(pid: i32) -> f64 {
    mebibytes(&pid.to_string(), "VmRSS")
}

/// From here on the largest resident memory of a process is counted anew.
pub(crate) fn reset_peak(pid: i32) {
    if let Err(error) = fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        eprintln!("figures: the peak of {pid} includes what was before: {error}");
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Seconds of processor time, its children not counted.
    pub(crate) cpu: f64,
    /// The largest resident memory in MiB.
    pub(crate) peak: f64,
}

/// The kernel's unit of processor time (`USER_HZ`), which is the same on every Linux that Rust knows.
const TICKS_PER_SECOND: f64 = 100.0;

impl Used {
    /// Of the process `/proc/<process>`.
    pub(crate) fn of(process: &str) -> Self {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name in parentheses may hold blanks.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
        Self {
            cpu: ticks / TICKS_PER_SECOND,
            peak: mebibytes(process, "VmHWM"),
        }
    }

    /// Of a process by its id.
    pub(crate) fn by(pid: i32) -> Self {
        Self::of(&pid.to_string())
    }

    /// What [`Display`](fmt::Display) wrote.
    pub(crate) fn parse(text: &str) -> Self {
        let mut numbers = text
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0.0));
        Self {
            cpu: numbers.next().unwrap_or(0.0),
            peak: numbers.next().unwrap_or(0.0),
        }
    }

    /// Adds what another process used at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.peak += other.peak;
    }

    /// What was used since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu - earlier.cpu,
            peak: self.peak,
        }
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cpu, self.peak)
    }
}

fn mebibytes(process: &str, name: &str) -> f64 {
    let kib = line(&format!("/proc/{process}/status"), name);
    let kib = kib.and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// The value of the first line of a file that begins with `name` and a colon.
fn line(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
