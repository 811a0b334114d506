//! Where a turn runs and where its agent keeps state.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{TaskId, environment::ToolVariables};

/// The prepared place in which a turn runs.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The folder the agent works in. Exists.
    pub cwd: PathBuf,
    /// The task's state folder (0700): conversation ids, rollouts. Exists.
    pub state: PathBuf,
    /// What the agent's tools find in their environment beside the image's own variables: what the platform promises
    /// them, and where the repository came from.
    pub variables: ToolVariables,
    /// Whether the agent's skills are other than before: a process that runs already has to look again.
    pub skills_changed: bool,
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
