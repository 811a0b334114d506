//! Questions to the person, and their answers.
//!
//! Nobody can say how long a person takes to answer, so no turn waits for it. An agent that asks emits
//! [`AgentEvent::Question`](crate::AgentEvent::Question) and ends its turn with
//! [`Outcome::WaitingForUser`](crate::Outcome::WaitingForUser). The answer comes with a later turn as
//! [`Turn::answer`](crate::Turn::answer) and names the call that asked. In between the executor may be restarted: what is
//! needed to understand an answer is in the answer and in the agent's own conversation. A later turn without an answer
//! is a word of the person's as ever, and means that there will be none.
//!
//! A permission is a question like any other ([`Permission`]). Whatever isn't a clear yes is a no.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{SubtaskId, TaskId, ToolCallId};

/// What the name of the platform's own tool for forms contains. An MCP server of the platform offers it to agents.
pub const FORM_TOOL: &str = "interactive_form_question";

/// How long the block of a call of [`FORM_TOOL`] may take to arrive before the call is made: the platform's server
/// attaches the form to that block. After that it is made all the same, as what the platform is told afterwards makes
/// the form, too.
pub const FORM_DELIVERY_LIMIT: Duration = Duration::from_secs(30);

/// Whether a text in the result of a [`FORM_TOOL`] call says that the person sees the form now, and that the answer comes
/// later.
pub fn form_is_shown(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Waiting {
        #[serde(rename = "__deferred_user_input__")]
        deferred: bool,
        #[serde(default)]
        success: bool,
        #[serde(default)]
        status: String,
    }
    let waiting: Result<Waiting, _> = serde_json::from_str(text);
    waiting.is_ok_and(|waiting| {
        waiting.deferred && waiting.success && waiting.status == "waiting_for_user_response"
    })
}

/// What an agent asks, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The call that asks; the answer names it.
    pub call: ToolCallId,
    /// What is asked.
    pub form: Form,
}

/// The form that the person fills in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The agent's own questions.
    Fields(Vec<Field>),
    /// The agent called a tool of the platform that shows a form; the platform knows how to read its arguments.
    Tool {
        /// The tool's full name, as the person saw it when the call began.
        name: String,
        /// Its arguments; opaque.
        input: Value,
    },
}

/// One question of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// By which the answer is found; unique within the form.
    pub id: String,
    /// What the person reads.
    pub text: String,
    /// What can be chosen; without choices any text is an answer.
    pub choices: Vec<Choice>,
    /// Whether more than one choice may be taken.
    pub several: bool,
    /// Whether the form can't be sent without it.
    pub required: bool,
}

/// One possible answer to a [`Field`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What the person reads.
    pub label: String,
    /// What the answer says if it was taken.
    pub value: String,
}

impl Field {
    /// A question that must be answered in the person's own words.
    pub fn text(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            choices: Vec::new(),
            several: false,
            required: true,
        }
    }

    /// A question that must be answered with one of `choices`.
    pub fn choice(
        id: impl Into<String>,
        text: impl Into<String>,
        choices: impl IntoIterator<Item = Choice>,
    ) -> Self {
        Self {
            choices: choices.into_iter().collect(),
            ..Self::text(id, text)
        }
    }

    /// Every string of it that is shown or repeated.
    pub(crate) fn strings_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let choices = self.choices.iter_mut();
        let choices = choices.flat_map(|choice| [&mut choice.label, &mut choice.value]);
        [&mut self.id, &mut self.text].into_iter().chain(choices)
    }
}

impl Choice {
    /// A choice whose answer is its label.
    pub fn new(label: impl Into<String>) -> Self {
        let label = label.into();
        Self {
            value: label.clone(),
            label,
        }
    }
}

/// Whether an agent may do what it asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// This once.
    Once,
    /// Whenever it asks the same in this conversation.
    Session,
    /// No.
    Denied,
}

impl Permission {
    /// The id of the field that asks for it.
    pub const FIELD: &str = "permission";

    /// The question whether `what` may be done. `session` offers to answer for the rest of the conversation.
    pub fn field(what: impl Into<String>, session: bool) -> Field {
        let offered = [
            (Self::Once, "Allow"),
            (Self::Session, "Allow for this conversation"),
            (Self::Denied, "Deny"),
        ];
        let offered = offered
            .into_iter()
            .filter(|(permission, _)| session || *permission != Self::Session);
        let choice = |(permission, label): (Self, &str)| Choice {
            label: label.to_owned(),
            value: permission.word().to_owned(),
        };
        Field::choice(Self::FIELD, what, offered.map(choice))
    }

    /// What an answer says. Anything but a clear yes is a no.
    pub fn of(answer: &FormAnswer) -> Self {
        match answer.chosen(Self::FIELD) {
            [given] if given == Self::Once.word() => Self::Once,
            [given] if given == Self::Session.word() => Self::Session,
            _ => Self::Denied,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Once => "allow",
            Self::Session => "allow_session",
            Self::Denied => "deny",
        }
    }
}

/// What the person answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormAnswer {
    /// The kind of form, in the platform's words.
    pub kind: String,
    /// The call that asked.
    pub call: ToolCallId,
    /// The task in which it was asked, if the answer says it.
    pub task: Option<TaskId>,
    /// The turn in which it was asked, if the answer says it.
    pub subtask: Option<SubtaskId>,
    /// Whether there is an answer.
    pub status: AnswerStatus,
    /// The answers by the id of their field. Fields that were left empty may be missing.
    pub answers: BTreeMap<String, AnswerValue>,
    /// What the person said beside it, such as why there is no answer.
    pub message: Option<String>,
}

/// Whether a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStatus {
    /// It was.
    Answered,
    /// The person doesn't want to.
    Cancelled,
}

/// The answer to one [`Field`]: a text or a choice, or several choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AnswerValue {
    /// One.
    One(String),
    /// As many as there are.
    Several(Vec<String>),
}

impl AnswerValue {
    /// What was chosen or said; empty if nothing was.
    pub fn chosen(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

impl FormAnswer {
    /// What was chosen or said for a field: nothing if the person didn't answer.
    pub fn chosen(&self, field: &str) -> &[String] {
        match self.status {
            AnswerStatus::Answered => self.answers.get(field).map_or(&[], AnswerValue::chosen),
            AnswerStatus::Cancelled => &[],
        }
    }

    /// The answer as a model reads it: readable JSON, in the order of the keys.
    pub fn to_text(&self) -> String {
        let (success, status) = match self.status {
            AnswerStatus::Answered => (true, "answered"),
            AnswerStatus::Cancelled => (false, "cancelled"),
        };
        let mut text = Map::new();
        text.insert("type".into(), json!(self.kind));
        text.insert("tool_use_id".into(), json!(self.call));
        text.insert("answers".into(), json!(self.answers));
        text.insert("success".into(), json!(success));
        text.insert("status".into(), json!(status));
        if let Some(message) = &self.message {
            text.insert("message".into(), json!(message));
        }
        format!("{:#}", Value::Object(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: AnswerStatus, values: &[(&str, AnswerValue)]) -> FormAnswer {
        let own = |(id, value): &(&str, AnswerValue)| ((*id).to_owned(), value.clone());
        FormAnswer {
            kind: "form".into(),
            call: ToolCallId::new("toolu_1").unwrap(),
            task: None,
            subtask: None,
            status,
            answers: values.iter().map(own).collect(),
            message: None,
        }
    }

    #[test]
    fn only_a_clear_yes_is_a_permission() {
        let of = |status, value| Permission::of(&answer(status, &[(Permission::FIELD, value)]));
        let one = |word: &str| AnswerValue::One(word.into());
        let answered = AnswerStatus::Answered;
        assert_eq!(of(answered, one("allow")), Permission::Once);
        assert_eq!(of(answered, one("allow_session")), Permission::Session);
        assert_eq!(of(answered, one("deny")), Permission::Denied);
        assert_eq!(of(answered, one("Allow!")), Permission::Denied);
        let several = |words: &[&str]| {
            AnswerValue::Several(words.iter().map(|word| (*word).to_owned()).collect())
        };
        assert_eq!(of(answered, several(&["allow"])), Permission::Once);
        let both = several(&["allow", "deny"]);
        assert_eq!(of(answered, both), Permission::Denied);
        assert_eq!(
            of(AnswerStatus::Cancelled, one("allow")),
            Permission::Denied
        );
        assert_eq!(Permission::of(&answer(answered, &[])), Permission::Denied);
    }

    #[test]
    fn every_permission_that_is_offered_is_understood() {
        for (session, understood) in [
            (false, vec![Permission::Once, Permission::Denied]),
            (
                true,
                vec![Permission::Once, Permission::Session, Permission::Denied],
            ),
        ] {
            let field = Permission::field("Run `ls`?", session);
            let choices = field.choices.into_iter().map(|choice| {
                let value = AnswerValue::One(choice.value);
                Permission::of(&answer(
                    AnswerStatus::Answered,
                    &[(Permission::FIELD, value)],
                ))
            });
            assert_eq!(choices.collect::<Vec<_>>(), understood);
        }
    }

    #[test]
    fn a_form_is_shown_only_if_the_server_says_so() {
        assert!(form_is_shown(
            r#"{"__deferred_user_input__": true, "success": true, "status": "waiting_for_user_response"}"#
        ));
        for text in [
            r#"{"__deferred_user_input__": true, "success": false}"#,
            "{}",
            "Error: questions",
        ] {
            assert!(!form_is_shown(text), "{text}");
        }
    }

    #[test]
    fn a_model_reads_what_was_answered() {
        let values = [
            ("name", AnswerValue::One("Ada".into())),
            (
                "langs",
                AnswerValue::Several(vec!["en".into(), "fr".into()]),
            ),
        ];
        let text = answer(AnswerStatus::Answered, &values).to_text();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read,
            json!({"type": "form", "tool_use_id": "toolu_1", "success": true, "status": "answered",
                "answers": {"name": "Ada", "langs": ["en", "fr"]}})
        );
        let cancelled = FormAnswer {
            message: Some("never mind".into()),
            ..answer(AnswerStatus::Cancelled, &[])
        };
        let read: Value = serde_json::from_str(&cancelled.to_text()).unwrap();
        assert_eq!(
            (&read["status"], &read["success"], &read["message"]),
            (&json!("cancelled"), &json!(false), &json!("never mind"))
        );
    }
}
