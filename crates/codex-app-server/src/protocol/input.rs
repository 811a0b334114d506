//! What a user puts into a turn.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One piece of a turn's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum UserInput {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image by its address.
    Image {
        /// A `data:` address; codex 0.169 refuses others.
        #[serde(default)]
        url: String,
        /// How closely the model should look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<ImageDetail>,
    },
    /// An image in a file. If the file is missing the model is told so; the turn doesn't fail.
    LocalImage {
        /// The file.
        path: PathBuf,
        /// How closely the model should look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<ImageDetail>,
    },
    /// A skill, whose instructions are put into the conversation at once.
    Skill {
        /// Its name.
        name: String,
        /// Its `SKILL.md`.
        path: PathBuf,
    },
    /// A file, an app or a connector that is mentioned.
    Mention {
        /// Its name.
        name: String,
        /// Its path or address.
        path: String,
    },
    /// An input of a kind that this version doesn't know. Only read, never sent.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl UserInput {
    /// Text as input.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

open_enum! {
    /// How closely the model should look at an image.
    pub enum ImageDetail {
        /// The model decides.
        Auto = "auto",
        /// Coarsely, cheaply.
        Low = "low",
        /// Closely.
        High = "high",
        /// At the original size.
        Original = "original",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_are_tagged_by_type() {
        let image = UserInput::Image {
            url: "data:image/png;base64,AA==".into(),
            detail: Some(ImageDetail::Low),
        };
        for (input, expected) in [
            (UserInput::text("hi"), json!({"type": "text", "text": "hi"})),
            (
                image,
                json!({"type": "image", "url": "data:image/png;base64,AA==", "detail": "low"}),
            ),
            (
                UserInput::LocalImage {
                    path: "/tmp/a.png".into(),
                    detail: None,
                },
                json!({"type": "localImage", "path": "/tmp/a.png"}),
            ),
            (
                UserInput::Skill {
                    name: "s".into(),
                    path: "/s/SKILL.md".into(),
                },
                json!({"type": "skill", "name": "s", "path": "/s/SKILL.md"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&input).unwrap(), expected);
        }
    }

    #[test]
    fn an_unknown_input_does_not_break_its_message() {
        assert_eq!(
            serde_json::from_value::<UserInput>(json!({"type": "smell", "x": 1})).unwrap(),
            UserInput::Unknown
        );
    }
}
