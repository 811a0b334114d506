//! What the person said, as Claude Code takes it.

use agent_core::{PromptPart, Turn};
use serde_json::{Value, json};

use crate::answer;

/// The prompt as the Messages API takes it.
pub(crate) fn content(turn: &Turn) -> Value {
    if let Some(answer) = &turn.answer {
        return answer::content(answer);
    }
    let parts = turn.prompt.0.as_slice();
    if let [PromptPart::Text(text)] = parts {
        return json!(text);
    }
    let blocks = parts.iter().map(|part| match part {
        PromptPart::Text(text) => json!({ "type": "text", "text": text }),
        PromptPart::Image { url } => json!({ "type": "image", "source": image(url) }),
        // The preparation has made a `data:` URL of what Claude can be shown; the rest it can read itself.
        PromptPart::LocalImage { path } => {
            json!({ "type": "text", "text": format!("[Image: {}]", path.display()) })
        }
    });
    Value::Array(blocks.collect())
}

fn image(url: &str) -> Value {
    let data = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"));
    match data {
        Some((media_type, data)) => {
            json!({ "type": "base64", "media_type": media_type, "data": data })
        }
        None => json!({ "type": "url", "url": url }),
    }
}
