//! The CLI's configuration folder: one per task, in the task's state folder, for its owner only.
//!
//! It holds the conversations, so it travels with the workspace. Conversations are found by their file's name, whatever
//! folder they were held in: the CLI files them by working folder, and a task that has moved would not find its own.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use agent_core::{AgentError, ErrorClass, SessionId, workspace::create_private};
use serde_json::json;

/// A task's configuration folder, held by us alone.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock ends with us, too, when we die.
    lock: Option<File>,
}

/// Where it lies in a task's state folder.
pub(crate) fn path(state: &Path) -> PathBuf {
    state.join("claude")
}

impl Drop for Folder {
    fn drop(&mut self) {
        // To close it is not enough: a process that is just being started holds a copy until it executes.
        if let Some(Err(error)) = self.lock.as_ref().map(File::unlock) {
            tracing::warn!(%error, "a task's folder can't be unlocked");
        }
    }
}

impl Folder {
    /// The folder in a task's state folder, made ready.
    ///
    /// # Errors
    /// [`AgentError::Request`] if another executor uses it, [`AgentError::Workspace`] if it can't be made.
    pub(crate) fn open(state: &Path) -> Result<Self, AgentError> {
        let path = path(state);
        let cannot = |source| AgentError::Workspace {
            message: format!("claude's folder `{}` can't be prepared", path.display()),
            source: Some(source),
        };
        create_private(&path).map_err(cannot)?;
        let lock = lock(&path).map_err(|error| match error {
            LockError::Taken => AgentError::Request {
                class: ErrorClass::Workspace,
                message: "the conversations of this task are in use by another executor".to_owned(),
            },
            LockError::Io(source) => cannot(source),
        })?;
        write_if_absent(&path.join("settings.json"), &settings()).map_err(cannot)?;
        write_if_absent(&path.join(".claude.json"), &onboarding()).map_err(cannot)?;
        Ok(Self { path, lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The transcript of a conversation; `None` if there is none that could be resumed.
    pub(crate) fn transcript(&self, id: &SessionId) -> Option<PathBuf> {
        // The id may come from a request: only what can be one of the CLI's is made a file's name.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !id.as_str().bytes().all(plain) {
            return None;
        }
        let name = format!("{id}.jsonl");
        let folders = fs::read_dir(self.path.join("projects")).ok()?;
        folders
            .filter_map(|folder| Some(folder.ok()?.path().join(&name)))
            .find(|file| fs::metadata(file).is_ok_and(|file| file.is_file() && file.len() > 0))
    }

    /// How the conversation is named to a CLI that works in `cwd`: by its id, or by its file if it was held elsewhere.
    pub(crate) fn resume(&self, id: &SessionId, cwd: &Path) -> Option<OsString> {
        let file = self.transcript(id)?;
        let held_here = file.parent().and_then(Path::file_name) == Some(filed_under(cwd).as_ref());
        Some(if held_here {
            id.as_str().into()
        } else {
            file.into_os_string()
        })
    }
}

/// The name of the folder in which the CLI keeps the conversations of a working folder.
fn filed_under(cwd: &Path) -> String {
    let real = fs::canonicalize(cwd).unwrap_or_else(|_| cwd.to_path_buf());
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() {
            character
        } else {
            '-'
        }
    };
    real.to_string_lossy().chars().map(plain).collect()
}

enum LockError {
    Taken,
    Io(io::Error),
}

/// Takes the folder's lock. On a disk that knows no locks there is none.
fn lock(folder: &Path) -> Result<Option<File>, LockError> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(".wegent-lock"))
        .map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "this disk knows no locks; that nobody else uses the conversations can't be checked");
            Ok(None)
        }
    }
}

/// Settings that a person may change later, so they are written once.
fn settings() -> serde_json::Value {
    json!({
        "includeCoAuthoredBy": true,
        // Transcripts are removed after this time; a task may be taken up again much later than the default month.
        "cleanupPeriodDays": 3650,
    })
}

/// What the terminal interface would ask at first, should anybody start it here.
fn onboarding() -> serde_json::Value {
    json!({ "hasCompletedOnboarding": true, "bypassPermissionsModeAccepted": true })
}

fn write_if_absent(path: &Path, content: &serde_json::Value) -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match file {
        Ok(mut file) => file.write_all(content.to_string().as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_private_and_keeps_what_is_there() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::open(state.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        let settings = folder.path().join("settings.json");
        assert_eq!(mode(&settings), 0o600);
        fs::write(&settings, "{}").unwrap();
        drop(folder);
        Folder::open(state.path()).unwrap();
        assert_eq!(fs::read_to_string(settings).unwrap(), "{}");
    }

    #[test]
    fn a_second_owner_is_refused_until_the_first_has_gone() {
        let state = tempfile::tempdir().unwrap();
        let first = Folder::open(state.path()).unwrap();
        let refused = Folder::open(state.path()).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Workspace);
        assert!(
            refused.to_string().contains("another executor"),
            "{refused}"
        );
        drop(first);
        Folder::open(state.path()).unwrap();
    }

    #[test]
    fn a_conversation_is_found_whatever_folder_it_was_held_in() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::open(state.path()).unwrap();
        let id = SessionId::new("0b5e38b1-98f3").unwrap();
        assert_eq!(folder.transcript(&id), None);
        let file = folder
            .path()
            .join("projects/-old-place/0b5e38b1-98f3.jsonl");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        assert_eq!(
            folder.transcript(&id),
            None,
            "an empty one can't be resumed"
        );
        fs::write(&file, "{}\n").unwrap();
        assert_eq!(folder.transcript(&id), Some(file.clone()));
        let resume = |cwd: &str| folder.resume(&id, Path::new(cwd)).unwrap();
        assert_eq!(resume("/old/place"), id.as_str());
        assert_eq!(resume("/new/place"), file.as_os_str());
        let odd = SessionId::new("../../settings").unwrap();
        assert_eq!(folder.transcript(&odd), None);
    }
}
