//! The sessions as they lie on disk: one small file, replaced as a whole.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use codex_app_server::protocol::ThreadId;
use serde::{Deserialize, Serialize};

use crate::{
    paths::{self, Durable, PathError},
    protocol::{AskId, Outcome, SessionName, Settings, TurnView},
};

/// How many of a session's questions are remembered.
const TURNS: usize = 32;
/// The longest last answer that is kept, in bytes.
const LAST: usize = 256 << 10;

/// What is kept of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: SessionName,
    pub(crate) cwd: PathBuf,
    /// Codex's conversation, once it has one that can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<ThreadId>,
    /// The file Codex keeps it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<PathBuf>,
    #[serde(default)]
    pub(crate) settings: Settings,
    #[serde(default)]
    pub(crate) turns: VecDeque<TurnView>,
    /// How the last question ended, for a client that comes back for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<(AskId, Outcome)>,
    #[serde(default)]
    pub(crate) used: u64,
}

const RUNNING: &str = "running";
const LOST: &str = "lost";

impl Record {
    pub(crate) fn new(name: SessionName, cwd: PathBuf) -> Self {
        Self {
            name,
            cwd,
            thread: None,
            rollout: None,
            settings: Settings::default(),
            turns: VecDeque::new(),
            last: None,
            used: super::now(),
        }
    }

    /// A question begins.
    pub(crate) fn begin(&mut self, ask: &AskId) {
        self.turns.retain(|turn| turn.ask != *ask);
        self.turns.push_back(TurnView {
            ask: ask.clone(),
            state: RUNNING.to_owned(),
        });
        while self.turns.len() > TURNS {
            self.turns.pop_front();
        }
        self.used = super::now();
    }

    /// It ended.
    pub(crate) fn end(&mut self, ask: &AskId, outcome: &Outcome) {
        let state = match outcome {
            Outcome::Completed { .. } => "completed",
            Outcome::Failed { .. } => "failed",
            Outcome::Interrupted => "interrupted",
            Outcome::Lost { .. } => LOST,
        };
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.ask == *ask) {
            state.clone_into(&mut turn.state);
        }
        self.used = super::now();
        self.last = (outcome.text().len() <= LAST).then(|| (ask.clone(), outcome.clone()));
    }

    /// Whether a question was being answered when an earlier daemon ended.
    pub(crate) fn was_lost(&self, ask: &AskId) -> bool {
        self.turns
            .iter()
            .any(|turn| turn.ask == *ask && turn.state == LOST)
    }

    /// Whether the question has been asked before.
    pub(crate) fn knows(&self, ask: &AskId) -> bool {
        self.turns.iter().any(|turn| turn.ask == *ask)
    }
}

/// The file can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("the file of the sessions is {0}")]
    Content(String),
    #[error("the sessions can't be kept in `{path}`")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    sessions: Vec<Record>,
}

/// The file of all sessions.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
}

impl Table {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("sessions.json"),
        }
    }

    /// What an earlier daemon kept. Its running questions are lost. A file that can't be understood is put aside.
    pub(crate) fn load(&self) -> Result<Vec<Record>, TableError> {
        let mut sessions = match self.read() {
            Ok(sessions) => sessions,
            Err(TableError::Content(why)) => self.put_aside(&why)?,
            Err(error) => return Err(error),
        };
        for turn in sessions.iter_mut().flat_map(|record| &mut record.turns) {
            if turn.state == RUNNING {
                LOST.clone_into(&mut turn.state);
            }
        }
        Ok(sessions)
    }

    /// What is kept, as it is.
    pub(crate) fn read(&self) -> Result<Vec<Record>, TableError> {
        paths::check_file(&self.path)?;
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(PathError::io(&self.path)(error).into()),
        };
        match serde_json::from_slice(&text) {
            Ok(Content {
                version: 1,
                sessions,
            }) => Ok(sessions),
            Ok(Content { version, .. }) => {
                Err(TableError::Content(format!("of version {version}")))
            }
            Err(error) => {
                let why = format!("damaged at column {}", error.column());
                Err(TableError::Content(why))
            }
        }
    }

    fn put_aside(&self, why: &str) -> Result<Vec<Record>, TableError> {
        let aside = self.path.with_extension("json.damaged");
        tracing::warn!(file = %self.path.display(), why, "the sessions can't be read and are put aside");
        fs::rename(&self.path, aside).map_err(PathError::io(&self.path))?;
        Ok(Vec::new())
    }

    /// Keeps all sessions.
    pub(crate) fn save(&self, sessions: Vec<Record>, durable: Durable) -> Result<(), TableError> {
        let content = Content {
            version: 1,
            sessions,
        };
        let written = serde_json::to_vec(&content)
            .map_err(io::Error::from)
            .and_then(|text| paths::replace_file(&self.path, &text, durable));
        written.map_err(|source| TableError::Write {
            path: self.path.display().to_string(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let name = SessionName::try_from("work".to_owned()).unwrap();
        Record::new(name, "/w".into())
    }

    #[test]
    fn what_was_running_is_lost_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::in_folder(folder.path());
        assert_eq!(table.load().unwrap(), []);
        let mut kept = record();
        let (done, running) = (AskId::from("1"), AskId::from("2"));
        kept.begin(&done);
        kept.end(&done, &Outcome::Completed { text: "yes".into() });
        kept.begin(&running);
        table.save(vec![kept], Durable::No).unwrap();
        let read = table.load().unwrap().remove(0);
        assert!(!read.was_lost(&done) && read.was_lost(&running));
        assert_eq!(read.last.unwrap().1.text(), "yes");
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::in_folder(folder.path());
        table.save(vec![record()], Durable::No).unwrap();
        let text = fs::read(&table.path).unwrap();
        paths::replace_file(&table.path, &text[..text.len() / 2], Durable::No).unwrap();
        assert_eq!(table.load().unwrap(), []);
        assert!(folder.path().join("sessions.json.damaged").exists());
    }

    #[test]
    fn few_turns_are_remembered() {
        let mut record = record();
        for number in 0..100 {
            record.begin(&AskId::from(number.to_string().as_str()));
        }
        assert_eq!(record.turns.len(), TURNS);
        assert!(record.knows(&AskId::from("99")) && !record.knows(&AskId::from("1")));
    }
}
