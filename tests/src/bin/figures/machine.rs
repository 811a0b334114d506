//! What the figures were measured on.

use std::{fs, thread};

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

/// A process's resident memory in MiB.
pub(crate) fn resident(pid: i32) -> String {
    let kib = line(&format!("/proc/{pid}/status"), "VmRSS");
    let kib = kib.and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or_else(
        || "unknown".to_owned(),
        |kib| format!("{:.1} MiB", kib / 1024.0),
    )
}

/// The value of the first line of a file that begins with `name` and a colon.
fn line(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
