//! The Codex home of a task: container-local, for its owner only, with the rollouts elsewhere.
//!
//! Codex keeps SQLite databases, helper links and caches in its home; those want a local disk and mean
//! nothing to anyone else. The rollouts are what a conversation can be resumed from: they belong to the
//! task's state folder, which travels with the workspace. So `sessions` in the home is a link to there.
//!
//! A spare app-server has a home before it has a task. The home can't be moved under a running process, so it stays where
//! it is and the task's home is a link to it. What a home may come to weigh is the matter of `upkeep`.

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use agent_core::{AgentError, SessionStore, TaskId, workspace::create_private};

use crate::upkeep;

/// What every home starts with: no update check, no telemetry, no plugin marketplace, and no shell
/// snapshots, which would write the environment to disk (codex 0.169).
pub(crate) const CONFIG: &str = "\
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
plugins = false
shell_snapshot = false
";

/// Where Codex homes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HomePolicy {
    /// A home per task, `<folder>/<task id>`.
    PerTask(PathBuf),
    /// One home for all tasks, which must trust each other. Its rollouts stay in it.
    Shared(PathBuf),
}

impl HomePolicy {
    /// The home of a task, made ready.
    ///
    /// # Errors
    /// [`AgentError::Workspace`] naming the folder that can't be made.
    pub fn prepare(&self, task: TaskId, state: &Path) -> Result<PathBuf, AgentError> {
        let home = self.path(task);
        let done = create_private(&home).and_then(|()| {
            write_config(&home)?;
            match self {
                Self::PerTask(folder) => {
                    upkeep::clear(&home, folder);
                    let sessions = sessions(state);
                    upkeep::clear_rollouts(&sessions, &SessionStore::new(state).ids());
                    link_sessions(&home, &sessions)
                }
                Self::Shared(_) => Ok(()),
            }
        });
        done.map_err(|source| unprepared(&home, source))?;
        Ok(home)
    }

    /// A home for a server that has no task yet. What earlier ones of `owner` have left is removed, so no other process of
    /// that owner may be alive.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub(crate) fn prepare_spare(&self, owner: &str) -> Result<PathBuf, AgentError> {
        let home = match self {
            Self::Shared(home) => home.clone(),
            Self::PerTask(folder) => {
                upkeep::remove_spares(folder, &spare_prefix(owner));
                folder.join(format!("{}{:x}", spare_prefix(owner), std::process::id()))
            }
        };
        create_private(&home)
            .and_then(|()| write_config(&home))
            .map_err(|source| unprepared(&home, source))?;
        Ok(home)
    }

    /// Makes a spare's home the task's. False if the task has a home already.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub(crate) fn adopt(
        &self,
        task: TaskId,
        state: &Path,
        spare: &Path,
    ) -> Result<bool, AgentError> {
        if matches!(self, Self::Shared(_)) {
            return Ok(true);
        }
        match symlink(spare, self.path(task)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            linked => linked.and_then(|()| link_sessions(spare, &sessions(state))),
        }
        .map_err(|source| unprepared(spare, source))?;
        Ok(true)
    }

    /// Whether the task has a home of its own here.
    pub(crate) fn exists(&self, task: TaskId) -> bool {
        matches!(self, Self::PerTask(_)) && self.path(task).exists()
    }

    /// Whether a home that is ours has grown larger than one should be.
    pub(crate) fn is_overgrown(&self, home: &Path) -> bool {
        matches!(self, Self::PerTask(_)) && upkeep::is_overgrown(home)
    }

    /// Where the home of a task lies.
    pub fn path(&self, task: TaskId) -> PathBuf {
        match self {
            Self::PerTask(folder) => folder.join(task.to_string()),
            Self::Shared(home) => home.clone(),
        }
    }
}

/// Where a home has its skills.
pub(crate) fn skills(home: &Path) -> PathBuf {
    home.join("skills")
}

/// Where the rollouts of a task lie.
pub(crate) fn sessions(state: &Path) -> PathBuf {
    state.join("codex").join("sessions")
}

fn spare_prefix(owner: &str) -> String {
    format!("spare-{owner}-")
}

fn unprepared(home: &Path, source: io::Error) -> AgentError {
    AgentError::Workspace {
        message: format!("codex home `{}` can't be prepared", home.display()),
        source: Some(source),
    }
}

/// Writes our settings, unless a configuration is there already: Codex itself adds to the file, and a
/// shared home's is its owner's.
fn write_config(home: &Path) -> io::Result<()> {
    use io::Write;
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(home.join("config.toml"));
    match file {
        Ok(mut file) => file.write_all(CONFIG.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes `<home>/sessions` a link to `target`, which is created. A link to elsewhere (the workspace has
/// moved) is replaced; a real folder with rollouts in it is left alone and is an error.
pub(crate) fn link_sessions(home: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        create_private(parent)?;
    }
    create_private(target)?;
    let link = home.join("sessions");
    match fs::read_link(&link) {
        Ok(current) if current == target => return Ok(()),
        Ok(_) => fs::remove_file(&link)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Not a link: only an empty folder may give way.
        Err(_) => fs::remove_dir(&link)?,
    }
    symlink(target, &link)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_home_is_private_and_its_rollouts_lie_in_the_state_folder() {
        let root = tempfile::tempdir().unwrap();
        let policy = HomePolicy::PerTask(root.path().join("homes"));
        let state = root.path().join("state");
        let home = policy.prepare(TaskId(7), &state).unwrap();
        fs::write(home.join("sessions/rollout"), "x").unwrap();
        assert!(state.join("codex/sessions/rollout").exists());
        assert_eq!(
            fs::metadata(&home).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            fs::metadata(home.join("config.toml"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        // Again, with what Codex wrote meanwhile kept; and for a workspace that moved.
        fs::write(home.join("config.toml"), "kept = true").unwrap();
        policy.prepare(TaskId(7), &state).unwrap();
        assert_eq!(
            fs::read_to_string(home.join("config.toml")).unwrap(),
            "kept = true"
        );
        let moved = root.path().join("moved");
        policy.prepare(TaskId(7), &moved).unwrap();
        assert_eq!(
            fs::read_link(home.join("sessions")).unwrap(),
            moved.join("codex/sessions")
        );
    }

    #[test]
    fn rollouts_that_lie_in_the_home_are_not_lost() {
        let root = tempfile::tempdir().unwrap();
        let policy = HomePolicy::PerTask(root.path().to_path_buf());
        fs::create_dir_all(root.path().join("7/sessions/2026")).unwrap();
        assert!(
            policy
                .prepare(TaskId(7), &root.path().join("state"))
                .is_err()
        );
        assert!(root.path().join("7/sessions/2026").exists());
    }
}
