//! The operator's script that runs in the prepared workspace before the agent does.

use super::{Preparer, StepCx, StepError};
use crate::{
    ErrorClass, Turn, Workspace,
    hook::{Scene, execute},
};

/// Runs the script, if there is one.
pub(super) async fn run(
    cx: StepCx,
    preparer: &Preparer,
    turn: &Turn,
    workspace: &Workspace,
) -> Result<(), StepError> {
    let Some(hook) = &preparer.pre_execute else {
        return Ok(());
    };
    let scene = Scene {
        image: &preparer.image,
        owner: &preparer.owner,
        turn,
        workspace,
    };
    let arguments = vec![hook.script.clone().into(), workspace.cwd.clone().into()];
    let ran = execute(scene, arguments, b"", hook.time_limit, |said| cx.say(said)).await;
    let Err(failure) = ran else {
        return Ok(());
    };
    let (why, output) = (&failure.why, failure.quoted());
    tracing::warn!(script = %hook.script.display(), why, "the pre-execute hook failed");
    if hook.required {
        return Err(StepError::new(
            ErrorClass::Workspace,
            format!("{why}{output}"),
        ));
    }
    cx.warn(format!(
        "The pre-execute hook failed ({why}); the turn goes on without it.{output}"
    ))
    .await
}
