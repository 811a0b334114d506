//! What a turn says, as Codex takes it.

use agent_core::{FormAnswer, PromptPart, Turn};
use codex_app_server::protocol::UserInput;

use crate::questions::is_ours;

/// The prompt; or the answer to a question that can't be answered any more where it was asked.
pub(crate) fn input(turn: &Turn) -> Vec<UserInput> {
    if let Some(answer) = &turn.answer {
        return vec![UserInput::text(told(answer))];
    }
    let part = |part: &PromptPart| match part {
        PromptPart::Text(text) => UserInput::text(text.clone()),
        PromptPart::Image { url } => UserInput::Image {
            url: url.clone(),
            detail: None,
        },
        PromptPart::LocalImage { path } => UserInput::LocalImage {
            path: path.clone(),
            detail: None,
        },
    };
    turn.prompt.0.iter().map(part).collect()
}

fn told(answer: &FormAnswer) -> String {
    let what = if is_ours(&answer.call) {
        "This is the answer to what you asked before. The request itself has lapsed in the meantime, so ask again or \
         repeat the step if it still matters."
    } else {
        "The user has answered the form that you asked for. This is its result, so go on with it."
    };
    format!("{what}\n\n{}", answer.to_text())
}
