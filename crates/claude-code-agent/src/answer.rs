//! The turn that brings the person's answer, or comes instead of one.

use agent_core::{FormAnswer, Permission, Turn};
use serde_json::{Value, json};

use crate::{cli::may_ask, protocol::tool_result};

/// What holds for a turn because of what an earlier one asked.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Whether the person is asked for permissions.
    pub(crate) asks: bool,
    /// What the person allowed, and which tool.
    pub(crate) permission: Option<(String, Permission)>,
    /// What the model reads where a CLI takes up a form's call that an earlier process put off.
    pub(crate) replayed: String,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            asks: false,
            permission: None,
            replayed:
                "The user did not fill in the form. The next message is what they say instead."
                    .to_owned(),
        }
    }
}

/// What was asked, by the call that the answer names.
enum Kind<'a> {
    /// A form of the platform's tool.
    Form,
    /// The CLI's own questions.
    Asked,
    /// A permission for this tool.
    Permission(&'a str),
}

impl Standing {
    /// Begins the id of a question that the CLI's own tool asked.
    pub(crate) const ASKED: &str = "ask-";
    /// Begins the id of a permission's question; the tool and its call follow.
    pub(crate) const PERMISSION: &str = "permission-";

    /// What holds for this turn.
    pub(crate) fn of(turn: &Turn) -> Self {
        let mut standing = Self {
            asks: may_ask(turn),
            ..Self::default()
        };
        if let Some(answer) = &turn.answer {
            standing.replayed = format!(
                "The user has answered the form. This is the result of the call and no error:\n{}",
                answer.to_text()
            );
            if let Kind::Permission(tool) = kind(answer) {
                standing.permission = Some((tool.to_owned(), Permission::of(answer)));
            }
        }
        standing
    }
}

fn kind(answer: &FormAnswer) -> Kind<'_> {
    let call = answer.call.as_str();
    if call.starts_with(Standing::ASKED) {
        return Kind::Asked;
    }
    match call
        .strip_prefix(Standing::PERMISSION)
        .and_then(|rest| rest.rsplit_once('-'))
    {
        Some((tool, _)) => Kind::Permission(tool),
        None => Kind::Form,
    }
}

/// The answer as the Messages API takes it.
pub(crate) fn content(answer: &FormAnswer) -> Value {
    match kind(answer) {
        Kind::Form => tool_result(&answer.call, answer.to_text(), false),
        Kind::Asked => json!(format!(
            "The user's answer to what you asked with AskUserQuestion:\n{}",
            answer.to_text()
        )),
        Kind::Permission(tool) => {
            let said = match Permission::of(answer) {
                Permission::Once => format!(
                    "The user allows the call of {tool} that you asked for. Make it again, and go on."
                ),
                Permission::Session => {
                    format!("The user allows calls of {tool} in this conversation. Go on.")
                }
                Permission::Denied => {
                    format!("The user does not allow the call of {tool}. Go on without it.")
                }
            };
            json!(match &answer.message {
                Some(message) => format!("{said}\nThe user says: {message}"),
                None => said,
            })
        }
    }
}
