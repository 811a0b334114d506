//! Skills: into the folder where the agent looks for them.

use futures::FutureExt;

use super::{Preparer, StepCx, StepError, access};
use crate::{
    ErrorClass, SkillsFolder, Turn,
    skills::{Failure, deploy},
};

/// Puts the turn's skills into `folder` and says whether anything in it is other than before. One that is required and
/// can't be had fails the turn; an optional one is left out, and the person is told.
pub(super) async fn provide(
    cx: StepCx,
    preparer: &Preparer,
    turn: &Turn,
    folder: &SkillsFolder,
) -> Result<bool, StepError> {
    let skills = &turn.skills;
    if !skills.offered.is_empty() {
        cx.say(format!("{} skills", skills.offered.len()));
    }
    let access = access(turn);
    let downloads = preparer.downloads.as_ref();
    let limits = preparer.skills;
    let report = deploy(skills, folder, downloads, access.as_ref(), limits)
        .boxed()
        .await;
    if let Err(missing) = report.check_required(skills) {
        return Err(StepError::new(ErrorClass::Workspace, missing.to_string()));
    }
    if !report.failed.is_empty() {
        cx.warn(left_out(&report.failed)).await?;
    }
    Ok(report.changed)
}

/// What the person reads of skills that can be done without.
fn left_out(failed: &[Failure]) -> String {
    let each = failed
        .iter()
        .map(|Failure { name, reason }| format!("`{name}` ({reason})"));
    let each: Vec<String> = each.collect();
    format!("Skills missing in this turn: {}.", each.join(", "))
}
