//! Who runs on behalf of a run, by a look at `/proc` of the suite's own.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A process that belongs to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: i32,
    /// Its start in clock ticks since the machine's: with the id, it names one process.
    started: u64,
    pub(super) command: String,
}

/// What makes a process one of a run's: something of it names the run's folder, or its sleeper.
#[derive(Clone, Debug)]
pub(super) struct Belonging {
    root: PathBuf,
    sleeper: String,
}

impl Belonging {
    pub(super) fn new(root: &Path, sleeper: String) -> Self {
        Self {
            root: root.to_owned(),
            sleeper,
        }
    }

    /// Every process that belongs to the run, but this one and `executor`.
    pub(super) fn all(&self, executor: Option<i32>) -> Vec<Found> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != own && Some(*pid) != executor)
            .filter_map(|pid| self.look(pid))
            .collect()
    }

    /// The strays among them.
    pub(super) fn strays(&self) -> Vec<Found> {
        let mut found = self.all(None);
        found.retain(|found| found.command.contains(&self.sleeper));
        found
    }

    fn look(&self, pid: i32) -> Option<Found> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let read = |name| fs::read(folder.join(name)).unwrap_or_default();
        let command = read("cmdline");
        let root = self.root.as_os_str().as_bytes();
        let works_there =
            fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.root));
        let ours = works_there
            || holds(&command, root)
            || holds(&read("environ"), root)
            || holds(&command.replace_nul(), self.sleeper.as_bytes());
        if !ours {
            return None;
        }
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The name in parentheses may hold blanks: count from its end.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then(|| Found {
            pid,
            started,
            command: OsStr::from_bytes(&command.replace_nul())
                .to_string_lossy()
                .into_owned(),
        })
    }
}

trait ReplaceNul {
    fn replace_nul(&self) -> Vec<u8>;
}

impl ReplaceNul for Vec<u8> {
    /// Arguments as a person would write them.
    fn replace_nul(&self) -> Vec<u8> {
        self.iter()
            .map(|byte| if *byte == 0 { b' ' } else { *byte })
            .collect()
    }
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Waits until `look` finds nothing; gives what is left after `patience`.
pub(super) async fn gone(patience: Duration, look: impl Fn() -> Vec<Found>) -> Vec<Found> {
    let limit = Instant::now() + patience;
    loop {
        let left = look();
        if left.is_empty() || Instant::now() >= limit {
            return left;
        }
        // The kernel tells nobody but the parent.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
