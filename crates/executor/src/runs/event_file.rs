//! What Codex did, in a file that an operator reads: `CODEX_PERSIST_EVENT_STREAM`.
//!
//! A line for each event, in the form of `codex exec --json`, after everything that must not be shown has been taken out.
//! A turn adds about 1 MB at most ([`CodexEvents`]); a file that has grown long makes room for a new one, and one old one is
//! kept. It lies in the task's state folder, which is its owner's alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use agent_core::{AgentEvent, Usage, workspace::create_private};
use wegent_protocol::{CodexEvents, EndKind};

/// How long a file may be before the next turn begins a new one, in bytes.
const FULL: u64 = 16 << 20;

/// The file of one turn. What can't be written is told in the log once, and harms nobody.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    events: CodexEvents,
    /// Open from the first event on.
    file: Option<File>,
    broken: bool,
}

impl EventFile {
    /// The file `name` in a task's state folder.
    pub(super) fn new(state_folder: &Path, name: &str) -> Self {
        Self {
            path: state_folder.join(name),
            events: CodexEvents::new(true),
            file: None,
            broken: false,
        }
    }

    /// Writes what an event amounts to.
    pub(super) fn event(&mut self, event: &AgentEvent) {
        self.events.take_in(event);
        self.write();
    }

    /// Writes what the turn's end amounts to.
    pub(super) fn end(mut self, kind: &EndKind, usage: Option<&Usage>) {
        self.events.end(kind, usage);
        self.write();
    }

    fn write(&mut self) {
        let mut lines = Vec::new();
        for event in self.events.take_new() {
            lines.extend_from_slice(event.get().as_bytes());
            lines.push(b'\n');
        }
        if lines.is_empty() || self.broken {
            return;
        }
        if let Err(error) = self.append(&lines) {
            self.broken = true;
            tracing::warn!(path = %self.path.display(), %error, "codex's events can't be kept");
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path)?),
        };
        file.write_all(lines)
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        create_private(folder)?;
    }
    if fs::metadata(path).is_ok_and(|file| file.len() >= FULL) {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, old)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use agent_core::{AgentKind, SessionId, SessionRef};

    use super::*;

    fn a_turn(folder: &Path) {
        let mut file = EventFile::new(folder, "events.jsonl");
        file.event(&AgentEvent::Session(SessionRef {
            agent: AgentKind::Codex,
            id: SessionId::new("thread").unwrap(),
        }));
        let kind = EndKind::Failed {
            class: agent_core::ErrorClass::Agent,
            message: "no".to_owned(),
            code: None,
        };
        file.end(&kind, None);
    }

    #[test]
    fn turns_are_appended_and_a_long_file_makes_room() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("7/.wegent-executor");
        a_turn(&folder);
        a_turn(&folder);
        let path = folder.join("events.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let kinds: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].to_string()
            })
            .collect();
        let turn = [
            r#""thread.started""#,
            r#""turn.started""#,
            r#""turn.failed""#,
        ];
        assert_eq!(kinds, [turn, turn].concat());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(FULL)
            .unwrap();
        a_turn(&folder);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        let before = path.with_file_name("events.jsonl.1");
        assert_eq!(fs::metadata(before).unwrap().len(), FULL);
    }
}
