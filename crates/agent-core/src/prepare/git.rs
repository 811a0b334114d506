//! The repository: cloned, or as an earlier turn left it.

use std::path::PathBuf;

use super::{Folders, Preparer, StepCx, StepError};
use crate::{ErrorClass, Turn, environment::ToolVariables, git::GitError};

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
    cx: StepCx,
    preparer: &Preparer,
    turn: &Turn,
    folders: &Folders,
) -> Result<Checkout, StepError> {
    let checked = preparer.git.check_out(
        turn.key.task,
        turn.git.as_ref(),
        &turn.identity.git,
        &folders.task,
        &cx.secrets,
        |note| cx.say(note),
    );
    // Most turns find their checkout there; their futures need not have the room for a clone.
    let checkout = Box::pin(checked).await.map_err(failed)?;
    for warning in checkout.warnings {
        cx.warn(warning).await?;
    }
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    // A bot's own folder goes before everything.
    let mut places = [&folders.given, &checkout.folder, &turn.lasting_folder].into_iter();
    let cwd = places.find_map(Clone::clone);
    Ok(Checkout {
        cwd: cwd.unwrap_or_else(|| folders.task.clone()),
        variables: checkout
            .variables
            .into_iter()
            .map(|(name, value)| (text(name), text(value).into()))
            .collect(),
    })
}

fn failed(error: GitError) -> StepError {
    let class = match &error {
        GitError::Url { .. } | GitError::Branch { .. } | GitError::Credential { .. } => {
            ErrorClass::InvalidRequest
        }
        GitError::TimedOut { .. } => ErrorClass::Timeout,
        _ => ErrorClass::Workspace,
    };
    StepError::new(class, crate::error_chain(&error))
}
