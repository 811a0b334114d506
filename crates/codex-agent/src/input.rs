//! What a turn says, as Codex takes it.

use std::path::Path;

use agent_core::{AgentError, ErrorClass, FormAnswer, PromptPart, Turn};
use codex_app_server::protocol::UserInput;

use crate::{home, questions::is_ours};

/// The prompt, with the skills that the person picked; or the answer to a question that can't be answered any more where
/// it was asked. Nothing in a request becomes a `mention`: what it mentions (an attachment, a knowledge base) stands in the
/// prompt.
///
/// # Errors
/// [`AgentError::Request`] for an image that Codex would have to fetch.
pub(crate) fn input(turn: &Turn, home: &Path) -> Result<Vec<UserInput>, AgentError> {
    if let Some(answer) = &turn.answer {
        return Ok(vec![UserInput::text(told(answer))]);
    }
    let prompt = turn.prompt.0.iter().map(part);
    prompt.chain(picked_skills(turn, home).map(Ok)).collect()
}

fn part(part: &PromptPart) -> Result<UserInput, AgentError> {
    Ok(match part {
        PromptPart::Text(text) => UserInput::text(text.clone()),
        // Codex 0.169 refuses any other.
        PromptPart::Image { url } if url.starts_with("data:") => UserInput::Image {
            url: url.clone(),
            detail: None,
        },
        PromptPart::Image { .. } => {
            return Err(AgentError::Request {
                class: ErrorClass::InvalidRequest,
                message: "input: Codex fetches no images; `image_url` has to be a `data:` URL"
                    .to_owned(),
            });
        }
        PromptPart::LocalImage { path } => UserInput::LocalImage {
            path: path.clone(),
            detail: None,
        },
    })
}

/// Their instructions are in the conversation at once, instead of being looked up by the model. One that could not be
/// had is left to what the prompt says of it.
fn picked_skills(turn: &Turn, home: &Path) -> impl Iterator<Item = UserInput> {
    let skills = home::skills(home);
    let picked = turn.skills.selected.iter();
    let picked = picked.filter(|name| turn.skills.offered.contains(*name));
    picked.filter_map(move |name| {
        let path = skills.join(name).join("SKILL.md");
        path.is_file().then(|| UserInput::Skill {
            name: name.clone(),
            path,
        })
    })
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
