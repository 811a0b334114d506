//! Threads on disk, as far as resuming needs them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use serde_json::json;

/// Where threads are kept; nowhere without a home.
#[derive(Clone, Debug)]
pub(super) struct Store(pub(super) Option<PathBuf>);

impl Store {
    fn folder(&self) -> Option<PathBuf> {
        self.0.as_ref().map(|home| home.join("sessions"))
    }

    fn file(&self, thread: &str) -> Option<PathBuf> {
        // A thread's id comes from the client and must not become a path.
        let plain = thread
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        self.folder()
            .filter(|_| plain)
            .map(|folder| folder.join(format!("rollout-fake-{thread}.jsonl")))
    }

    /// The prompts of a thread that has had a turn.
    pub(super) fn load(&self, thread: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.file(thread)?).ok()?;
        Some(
            text.lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
        )
    }

    pub(super) fn append(&self, thread: &str, prompt: &str) -> io::Result<()> {
        let (Some(folder), Some(file)) = (self.folder(), self.file(thread)) else {
            return Ok(());
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)?;
        writeln!(file, "{}", json!(prompt))
    }
}
