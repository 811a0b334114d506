//! What the person attached: to disk, and into the prompt.

use futures::FutureExt;

use super::{Preparer, StepCx, StepError, access};
use crate::{
    Attachment, ErrorClass, Prompt, Turn,
    attachments::{Limits, fetch, into_prompt},
};

/// Fetches the turn's attachments and gives `prompt` with their names and images put in. A file that can't be had is told of in the
/// prompt; it is no reason not to run the turn.
pub(super) async fn deliver(
    cx: StepCx,
    preparer: &Preparer,
    turn: &Turn,
    prompt: Prompt,
) -> Result<Prompt, StepError> {
    let (task, agent) = (turn.key.task, turn.agent);
    let folder = preparer.layout.task_folder(task);
    // What an answer's prompt repeats is read by nobody: the files came with the turn that asked.
    let wanted: &[Attachment] = match turn.answer {
        Some(_) => &[],
        None => &turn.attachments,
    };
    if !wanted.is_empty() {
        cx.say(format!("{} files", wanted.len()));
    }
    let access = access(turn);
    let deliveries = fetch(
        wanted,
        task,
        &folder,
        preparer.downloads.as_ref(),
        access.as_ref(),
        Limits::default(),
    )
    .boxed()
    .await;
    // Images are scaled: that is work for a thread of its own.
    let rewrite = move || into_prompt(&prompt, agent, task, &deliveries);
    tokio::task::spawn_blocking(rewrite).await.map_err(|error| {
        StepError::new(ErrorClass::Internal, "the prompt can't be put together").because(error)
    })
}
