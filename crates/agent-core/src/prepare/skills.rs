//! Skills: into the folder where the agent looks for them.

use std::path::Path;

use super::{Preparer, StepCx, StepError};
use crate::{ErrorClass, Turn};

/// Puts the turn's skills into `folder` (see [`Agent::skills_folder`](crate::Agent::skills_folder)). One that is
/// required and can't be had fails the turn; an optional one is left out.
pub(super) async fn deploy(
    _cx: StepCx,
    _preparer: &Preparer,
    turn: &Turn,
    _folder: &Path,
) -> Result<(), StepError> {
    if !turn.skills.required.is_empty() {
        let names = turn.skills.required.join(", ");
        let message = format!(
            "preload_skills: this executor can't deploy skills yet, and the turn requires {names}"
        );
        return Err(StepError::new(ErrorClass::WorkspaceUnsupported, message));
    }
    if !turn.skills.offered.is_empty() {
        tracing::warn!(skills = ?turn.skills.offered, "optional skills are left out: not supported yet");
    }
    Ok(())
}
