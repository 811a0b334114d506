//! The repository: cloned, or as an earlier turn left it.

use std::path::PathBuf;

use super::{Folders, Preparer, StepCx, StepError};
use crate::{ErrorClass, Turn, environment::ToolVariables};

/// What comes of a checkout.
#[derive(Debug)]
pub(super) struct Checkout {
    /// Where the agent works: the checkout, or the task's folder if there is no repository.
    pub(super) cwd: PathBuf,
    /// What tools need of it in their environment: `GIT_URL`, where credentials come from, …
    pub(super) variables: ToolVariables,
}

/// Makes the turn's repository the working folder.
pub(super) async fn checkout(
    _cx: StepCx,
    _preparer: &Preparer,
    turn: &Turn,
    folders: &Folders,
) -> Result<Checkout, StepError> {
    if turn.git.is_some() {
        let message = "git_url: this executor can't clone repositories yet, so the turn was not run without one";
        return Err(StepError::new(ErrorClass::WorkspaceUnsupported, message));
    }
    Ok(Checkout {
        cwd: folders.cwd.clone(),
        variables: ToolVariables::new(),
    })
}
