//! Sessions on disk, as far as resuming needs them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::json;

/// Where sessions are kept: `projects/FOLDER/SESSION.jsonl` of the configuration folder.
#[derive(Clone, Debug)]
pub(super) struct Store {
    projects: Option<PathBuf>,
    own: String,
}

impl Store {
    /// The store of the sessions of a working folder; nowhere without a configuration folder.
    pub(super) fn new(config: Option<&Path>, folder: &Path) -> Self {
        let folder = folder.display().to_string();
        let plain = |character: char| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => character,
            _ => '-',
        };
        Self {
            projects: config.map(|config| config.join("projects")),
            own: folder.chars().map(plain).collect(),
        }
    }

    /// Where a session of this folder is written.
    pub(super) fn file(&self, session: &str) -> Option<PathBuf> {
        // A session's id comes from the host and must not become a path.
        let plain = session
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let projects = self.projects.as_ref().filter(|_| plain)?;
        Some(projects.join(&self.own).join(format!("{session}.jsonl")))
    }

    /// The prompts of a session that has had a turn. Those of other folders are found too, as 2.1.329 does.
    pub(super) fn load(&self, session: &str) -> Option<Vec<String>> {
        let name = self.file(session)?.file_name()?.to_owned();
        let folders = fs::read_dir(self.projects.as_ref()?).ok()?;
        let text = folders
            .filter_map(|folder| fs::read_to_string(folder.ok()?.path().join(&name)).ok())
            .next()?;
        let lines = text.lines();
        Some(
            lines
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
        )
    }

    pub(super) fn append(&self, session: &str, prompt: &str) -> io::Result<()> {
        let Some(file) = self.file(session) else {
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)?;
        writeln!(file, "{}", json!(prompt))
    }
}
