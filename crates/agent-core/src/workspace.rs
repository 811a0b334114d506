//! Where a turn runs and where its agent keeps state.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{AgentError, ErrorClass, TaskId, Turn};

/// The prepared place in which a turn runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The folder the agent works in. Exists.
    pub cwd: PathBuf,
    /// The task's state folder (0700): conversation ids, rollouts. Exists.
    pub state: PathBuf,
}

/// Where workspaces and state folders lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The root of all tasks' workspaces; a task works in `<root>/<task id>` unless told otherwise.
    pub workspace_root: PathBuf,
    /// Where state folders lie; see [`StateHome`].
    pub state: StateHome,
}

/// Where a task's state folder lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateHome {
    /// In the task's workspace, `<workspace root>/<task id>/.wegent-executor`: it travels with the workspace.
    InWorkspace,
    /// Under this folder, `<folder>/<task id>`: the working folder is a person's own and stays clean.
    Under(PathBuf),
}

impl Layout {
    /// The task's state folder.
    pub fn state_folder(&self, task: TaskId) -> PathBuf {
        match &self.state {
            StateHome::InWorkspace => self.task_folder(task).join(".wegent-executor"),
            StateHome::Under(folder) => folder.join(task.to_string()),
        }
    }

    /// The task's own workspace folder.
    pub fn task_folder(&self, task: TaskId) -> PathBuf {
        self.workspace_root.join(task.to_string())
    }
}

/// Makes the place in which the turn runs, or says what stands against it.
///
/// The order of what a request may name: the bot's own folder (which must exist), else the task's folder
/// (which is created).
///
/// # Errors
/// [`AgentError::Request`] for what this executor can't prepare, naming the field;
/// [`AgentError::Workspace`] for folders that are missing or can't be made.
pub fn prepare(turn: &Turn, layout: &Layout) -> Result<Workspace, AgentError> {
    refuse_what_is_missing(turn)?;
    announce_what_is_left_out(turn);
    let cwd = match &turn.bot().cwd {
        Some(given) => existing_folder(given)?,
        None => {
            let folder = layout.task_folder(turn.key.task);
            fs::create_dir_all(&folder).map_err(|source| cannot_make(&folder, source))?;
            folder
        }
    };
    let state = layout.state_folder(turn.key.task);
    create_private(&state).map_err(|source| cannot_make(&state, source))?;
    Ok(Workspace { cwd, state })
}

fn refuse_what_is_missing(turn: &Turn) -> Result<(), AgentError> {
    let refused = |message: String| {
        Err(AgentError::Request {
            class: ErrorClass::WorkspaceUnsupported,
            message,
        })
    };
    if turn.git.is_some() {
        return refused("git_url: this executor can't clone repositories yet, so the turn was not run without one".to_owned());
    }
    if !turn.skills.required.is_empty() {
        let names = turn.skills.required.join(", ");
        return refused(format!(
            "preload_skills: this executor can't deploy skills yet, and the turn requires {names}"
        ));
    }
    Ok(())
}

fn announce_what_is_left_out(turn: &Turn) {
    if !turn.skills.offered.is_empty() {
        tracing::warn!(skills = ?turn.skills.offered, "optional skills are left out: not supported yet");
    }
    if !turn.attachments.is_empty() {
        let names: Vec<&str> = turn
            .attachments
            .iter()
            .map(|file| file.filename.as_str())
            .collect();
        tracing::warn!(attachments = ?names, "attachments are left out: not supported yet");
    }
}

fn existing_folder(folder: &Path) -> Result<PathBuf, AgentError> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(folder.to_path_buf()),
        Ok(_) => Err(AgentError::Workspace {
            message: format!("bot.cwd: `{}` is not a folder", folder.display()),
            source: None,
        }),
        Err(source) => Err(AgentError::Workspace {
            message: format!("bot.cwd: folder `{}` can't be used", folder.display()),
            source: Some(source),
        }),
    }
}

fn cannot_make(folder: &Path, source: io::Error) -> AgentError {
    AgentError::Workspace {
        message: format!("folder `{}` can't be made", folder.display()),
        source: Some(source),
    }
}

/// Creates `folder` with its parents; the folder itself is for its owner only (0700), also if it was there.
///
/// # Errors
/// What the system says.
pub fn create_private(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        }
        other => other,
    }
}
