//! Which conversation a bot of a task continues: a small file per bot in the task's state folder.
//!
//! The file is written as soon as the conversation can be resumed, not only after a success, by
//! writing a temporary file and renaming it: after a crash it is either the old or the new one.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{AgentKind, SessionId, SessionRef, Turn};

/// The stored conversations of one task.
#[derive(Clone, Debug)]
pub struct SessionStore {
    folder: PathBuf,
}

/// What one file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    agent: AgentKind,
    id: SessionId,
}

/// A conversation's record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("session record `{}` can't be {verb}", path.display())]
pub struct SessionStoreError {
    path: PathBuf,
    verb: &'static str,
    #[source]
    source: io::Error,
}

/// A conversation to continue, and whether it is this task's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The conversation that this task's bot had before: the stored one, or the one that the platform names.
    Own(SessionId),
    /// One that another task left behind for this one.
    Inherited(SessionId),
}

impl Resume {
    /// The agent's id of the conversation.
    pub fn id(&self) -> &SessionId {
        match self {
            Self::Own(id) | Self::Inherited(id) => id,
        }
    }
}

impl SessionStore {
    /// The store in a task's state folder.
    pub fn new(state: &Path) -> Self {
        Self {
            folder: state.join("sessions"),
        }
    }

    /// What the turn should continue: nothing if it asks for a new session (what is stored is then
    /// forgotten), else the one that the platform names, else the bot's own conversation, else an inherited one.
    ///
    /// # Errors
    /// [`SessionStoreError`] if the record exists but can't be read or removed.
    pub fn resume_for(&self, turn: &Turn) -> Result<Option<Resume>, SessionStoreError> {
        let bot = turn.bot().id.as_deref();
        if turn.new_session {
            self.forget(turn.agent, bot)?;
            return Ok(None);
        }
        if let Some(named) = &turn.resume_session {
            return Ok(Some(Resume::Own(named.clone())));
        }
        if let Some(session) = self.load(turn.agent, bot)? {
            return Ok(Some(Resume::Own(session.id)));
        }
        let inherited = turn.inherited_sessions.iter().find(|session| {
            session.agent == turn.agent && (session.bot.is_none() || session.bot.as_deref() == bot)
        });
        Ok(inherited.map(|session| Resume::Inherited(session.session.clone())))
    }

    /// The stored conversation of a bot. A file that holds something else counts as none and is logged.
    ///
    /// # Errors
    /// [`SessionStoreError`] if the file exists but can't be read.
    pub fn load(
        &self,
        agent: AgentKind,
        bot: Option<&str>,
    ) -> Result<Option<SessionRef>, SessionStoreError> {
        let path = self.path(agent, bot);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(SessionStoreError {
                    path,
                    verb: "read",
                    source,
                });
            }
        };
        match serde_json::from_slice::<Stored>(&text) {
            Ok(stored) => Ok(Some(SessionRef {
                agent: stored.agent,
                id: stored.id,
            })),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "session record is damaged, starting afresh");
                Ok(None)
            }
        }
    }

    /// The ids of all stored conversations, of every bot and agent. What can't be read is left out.
    pub fn ids(&self) -> Vec<SessionId> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        entries
            .flatten()
            .filter_map(|entry| fs::read(entry.path()).ok())
            .filter_map(|text| serde_json::from_slice::<Stored>(&text).ok())
            .map(|stored| stored.id)
            .collect()
    }

    /// Stores the conversation of a bot.
    ///
    /// # Errors
    /// [`SessionStoreError`] if the file can't be written; the old one is then still in place.
    pub fn save(&self, bot: Option<&str>, session: &SessionRef) -> Result<(), SessionStoreError> {
        let path = self.path(session.agent, bot);
        let stored = Stored {
            agent: session.agent,
            id: session.id.clone(),
        };
        let text = serde_json::to_vec(&stored).expect("a session record is plain JSON");
        self.write(&path, &text)
            .map_err(|source| SessionStoreError {
                path,
                verb: "written",
                source,
            })
    }

    /// Forgets the conversation of a bot.
    ///
    /// # Errors
    /// [`SessionStoreError`] if the file exists but can't be removed.
    pub fn forget(&self, agent: AgentKind, bot: Option<&str>) -> Result<(), SessionStoreError> {
        let path = self.path(agent, bot);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SessionStoreError {
                path,
                verb: "removed",
                source: error,
            }),
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        crate::workspace::create_private(&self.folder)?;
        let temporary = path.with_extension("json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    }

    fn path(&self, agent: AgentKind, bot: Option<&str>) -> PathBuf {
        let agent = agent.shell_type().to_ascii_lowercase();
        self.folder.join(format!(
            "{agent}-{}.json",
            file_name_part(bot.unwrap_or("default"))
        ))
    }
}

/// `text` with everything but ASCII letters, digits and `_` written as its code in hexadecimal, so
/// that different bot ids never share a file and none leaves the folder.
fn file_name_part(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("-{byte:02x}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(id: &str) -> SessionRef {
        SessionRef {
            agent: AgentKind::Codex,
            id: SessionId::new(id).unwrap(),
        }
    }

    #[test]
    fn a_stored_session_is_read_back_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::new(folder.path());
        assert_eq!(store.load(AgentKind::Codex, Some("44")).unwrap(), None);
        store.save(Some("44"), &reference("t-1")).unwrap();
        store.save(Some("44"), &reference("t-2")).unwrap();
        assert_eq!(
            store.load(AgentKind::Codex, Some("44")).unwrap(),
            Some(reference("t-2"))
        );
        assert_eq!(store.load(AgentKind::ClaudeCode, Some("44")).unwrap(), None);
        assert_eq!(store.load(AgentKind::Codex, None).unwrap(), None);
        store.forget(AgentKind::Codex, Some("44")).unwrap();
        assert_eq!(store.load(AgentKind::Codex, Some("44")).unwrap(), None);
    }

    #[test]
    fn strange_bot_ids_stay_in_the_folder_and_apart() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::new(folder.path());
        for (bot, id) in [("../../etc", "a"), ("..-2f..-2fetc", "b"), ("", "c")] {
            store.save(Some(bot), &reference(id)).unwrap();
        }
        for (bot, id) in [("../../etc", "a"), ("..-2f..-2fetc", "b"), ("", "c")] {
            assert_eq!(
                store.load(AgentKind::Codex, Some(bot)).unwrap(),
                Some(reference(id))
            );
        }
        assert_eq!(
            fs::read_dir(folder.path().join("sessions"))
                .unwrap()
                .count(),
            3
        );
    }

    #[test]
    fn a_damaged_record_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::new(folder.path());
        store.save(None, &reference("a")).unwrap();
        fs::write(folder.path().join("sessions/codex-default.json"), b"{").unwrap();
        assert_eq!(store.load(AgentKind::Codex, None).unwrap(), None);
    }
}
