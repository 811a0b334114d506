//! What the model said, for comparison with what a person was shown.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Script, SeenRequest};

/// One thing the model said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Said {
    /// A message.
    Text {
        /// The message item's id.
        id: String,
        /// `commentary`, `final_answer`, or nothing.
        phase: Option<String>,
        /// What was sent of it.
        text: String,
        /// Whether it was sent to its end.
        complete: bool,
    },
    /// A reasoning item.
    Reasoning {
        /// Its summary parts.
        parts: Vec<String>,
    },
    /// A tool call.
    Tool(ToolCall),
}

/// A tool call that the model made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The call's id.
    pub call: String,
    /// The tool's name, as the request offered it.
    pub name: String,
    /// The tool's namespace, if it has one.
    pub namespace: Option<String>,
    /// The arguments, as sent: JSON, or free text.
    pub arguments: String,
}

/// Everything that the model said, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken(pub Vec<Said>);

impl Spoken {
    /// What was said in answer to `requests`, the CLI's own errands left out.
    pub fn in_requests<'a>(requests: impl IntoIterator<Item = &'a SeenRequest>) -> Self {
        Self(
            requests
                .into_iter()
                .filter(|request| !request.side)
                .flat_map(|request| request.said.iter().cloned())
                .collect(),
        )
    }

    /// The last message that was sent to its end.
    pub fn final_text(&self) -> Option<&str> {
        self.complete_texts().last()
    }

    /// Every message that was sent to its end.
    pub fn complete_texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|said| match said {
            Said::Text {
                text,
                complete: true,
                ..
            } => Some(text.as_str()),
            _ => None,
        })
    }

    /// The complete messages as one text: two messages without a tool call between them are parted by a blank
    /// line. That is what a person is shown of a turn in which no stream broke.
    pub fn text(&self) -> String {
        let mut joined = String::new();
        let mut parted = true;
        for said in &self.0 {
            match said {
                Said::Text {
                    text,
                    complete: true,
                    ..
                } if !text.is_empty() => {
                    if !parted {
                        let missing = 2usize.saturating_sub(
                            joined.chars().rev().take_while(|c| *c == '\n').count(),
                        );
                        joined.push_str(&"\n".repeat(missing));
                    }
                    joined.push_str(text);
                    parted = false;
                }
                Said::Tool(_) => parted = true,
                Said::Text { .. } | Said::Reasoning { .. } => {}
            }
        }
        joined
    }

    /// Every tool call.
    pub fn tools(&self) -> impl Iterator<Item = &ToolCall> {
        self.0.iter().filter_map(|said| match said {
            Said::Tool(call) => Some(call),
            _ => None,
        })
    }

    /// How often each tool was called.
    pub fn tool_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in self.tools() {
            *counts.entry(call.name.as_str()).or_default() += 1;
        }
        counts
    }

    /// Every part of every reasoning item.
    pub fn reasoning(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|said| match said {
                Said::Reasoning { parts } => parts.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }
}

impl SeenRequest {
    /// Whether a script answered, and which.
    pub fn script(&self) -> Option<Script> {
        self.script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, complete: bool) -> Said {
        Said::Text {
            id: "m".into(),
            phase: None,
            text: text.into(),
            complete,
        }
    }

    fn tool() -> Said {
        Said::Tool(ToolCall {
            call: "c".into(),
            name: "shell".into(),
            namespace: None,
            arguments: "{}".into(),
        })
    }

    #[test]
    fn messages_are_parted_by_a_blank_line_unless_a_tool_stands_between() {
        let spoken = Spoken(vec![
            text("a\n", true),
            text("b", true),
            text("cut", false),
            tool(),
            text("c", true),
        ]);
        assert_eq!(spoken.text(), "a\n\nbc");
        assert_eq!(spoken.final_text(), Some("c"));
        assert_eq!(spoken.tool_counts(), BTreeMap::from([("shell", 1)]));
    }
}
