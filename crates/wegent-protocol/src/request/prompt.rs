//! What the person said, from the three forms of `input`.

use agent_core::{Prompt, PromptPart};

use super::{
    DecodeError,
    lenient::TextOr,
    wire::{Input, Item},
};

/// A string and content blocks are the prompt; of messages the last one of the user is. The messages
/// before it are left out: an agent keeps its own conversation.
pub(super) fn prompt(input: Input) -> Result<Prompt, DecodeError> {
    match input {
        Input::Text(text) => Ok(Prompt::text(text)),
        Input::Items(items) if items.first().is_some_and(|item| item.role.is_some()) => {
            of_messages(items)
        }
        Input::Items(items) => blocks("input", items),
    }
}

fn of_messages(items: Vec<Item>) -> Result<Prompt, DecodeError> {
    let last = items
        .into_iter()
        .enumerate()
        .rfind(|(_, item)| item.role.as_deref() == Some("user"))
        .ok_or_else(|| DecodeError::field("input", "has no message with the role `user`"))?;
    let path = format!("input[{}].content", last.0);
    match last.1.content {
        Some(Input::Text(text)) => Ok(Prompt::text(text)),
        Some(Input::Items(items)) => blocks(&path, items),
        None => Err(DecodeError::field(path, "missing")),
    }
}

fn blocks(path: &str, items: Vec<Item>) -> Result<Prompt, DecodeError> {
    if items.is_empty() {
        return Err(DecodeError::field(path, "empty"));
    }
    let parts = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| part(&format!("{path}[{index}]"), item));
    parts.collect::<Result<_, _>>().map(Prompt)
}

fn part(path: &str, item: Item) -> Result<PromptPart, DecodeError> {
    match item.kind.as_deref() {
        Some("input_text" | "text") => match item.text {
            Some(text) => Ok(PromptPart::Text(text)),
            None => Err(DecodeError::field(format!("{path}.text"), "missing")),
        },
        Some("input_image" | "image_url") => {
            let url = match item.image_url {
                Some(TextOr::Text(url)) => Some(url),
                Some(TextOr::Object(image)) => image.url,
                None => item.url,
            };
            match url {
                Some(url) => Ok(PromptPart::Image { url }),
                None => Err(DecodeError::field(format!("{path}.image_url"), "missing")),
            }
        }
        // To run a turn without a part of what the person said would be worse than to refuse it.
        Some(other) => Err(DecodeError::field(
            format!("{path}.type"),
            format!("expected `input_text` or `input_image`, got {other:?}"),
        )),
        None => Err(DecodeError::field(format!("{path}.type"), "missing")),
    }
}
