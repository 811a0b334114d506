//! What messages are made of: text, reasoning, calls of tools and their results.

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;

/// A tool's result in its own form, as far as it is read: a sub-agent's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ToolUseResult {
    /// `completed`, or `async_launched` for a sub-agent that goes on in the background.
    pub(crate) status: Option<String>,
    /// What the sub-agent reported, without the CLI's remarks to the model.
    #[serde(deserialize_with = "blocks")]
    pub(crate) content: Vec<Block>,
}

/// A content block.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// Reasoning.
    Thinking {
        /// The text; empty when the provider keeps it to itself.
        #[serde(default)]
        thinking: String,
    },
    /// A tool call.
    ToolUse {
        /// Its id.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments; opaque.
        #[serde(default)]
        input: Value,
    },
    /// A tool's result.
    ToolResult(ResultBlock),
    /// An image.
    Image,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A tool's result.
#[derive(Debug, Deserialize)]
pub(crate) struct ResultBlock {
    /// The call.
    pub(crate) tool_use_id: String,
    /// What came of it.
    #[serde(default)]
    pub(crate) content: ToolOutput,
    /// Whether it failed.
    #[serde(default)]
    pub(crate) is_error: Option<bool>,
}

/// A tool's output: text, or blocks.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ToolOutput {
    /// Text.
    Text(String),
    /// Blocks.
    Blocks(Vec<Block>),
    /// Something else.
    Other(IgnoredAny),
}

impl Default for ToolOutput {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl ToolOutput {
    /// The output as text; what isn't text is named.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Blocks(blocks) => text_of(blocks),
            Self::Other(_) => String::new(),
        }
    }
}

/// The text of blocks; an image leaves a word.
pub(crate) fn text_of(blocks: Vec<Block>) -> String {
    let texts: Vec<String> = blocks
        .into_iter()
        .filter_map(|block| match block {
            Block::Text { text } => Some(text),
            Block::Image => Some("[image]".to_owned()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}

/// Blocks, or a bare text, or something that this version can't read: then none.
pub(super) fn blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Block>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Blocks(Vec<OneBlock>),
        Other(IgnoredAny),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneBlock {
        Known(Block),
        Odd(IgnoredAny),
    }
    Ok(match Content::deserialize(deserializer)? {
        Content::Text(text) => vec![Block::Text { text }],
        Content::Blocks(blocks) => blocks
            .into_iter()
            .map(|block| match block {
                OneBlock::Known(block) => block,
                OneBlock::Odd(_) => Block::Other,
            })
            .collect(),
        Content::Other(_) => Vec::new(),
    })
}

/// The value if it has the form that is read here.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lenient<T> {
        Known(T),
        Odd(IgnoredAny),
    }
    Ok(match Lenient::deserialize(deserializer)? {
        Lenient::Known(value) => Some(value),
        Lenient::Odd(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    #[test]
    fn a_results_blocks_become_text() {
        let line = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"one"},{"type":"image","source":{}},{"type":"text","text":"two"}]}]}}"#;
        let Ok(Message::User(user)) = Message::parse(line.as_bytes()) else {
            panic!("no user line");
        };
        let Some(Block::ToolResult(result)) = user.message.content.into_iter().next() else {
            panic!("no result");
        };
        assert_eq!(result.content.text(), "one\n[image]\ntwo");
    }
}
