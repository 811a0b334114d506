//! The turn that brings the person's answer, or comes instead of one.

use agent_core::{AnswerStatus, Choice, Field, FormAnswer, Permission, Turn};
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
    /// The approval of a plan.
    Plan,
    /// A permission for this tool.
    Permission(&'a str),
}

/// What the person says to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// It is to be carried out.
    Approved,
    /// It is not, or not yet.
    Refused,
}

impl Approval {
    const FIELD: &str = "plan";
    const REMARKS: &str = "remarks";
    const YES: &str = "approve";

    /// The form that asks for it.
    pub(crate) fn fields(asked_for: String) -> Vec<Field> {
        let choices = [
            ("Carry it out", Self::YES),
            ("Keep planning", "keep_planning"),
        ];
        let choices = choices.map(|(label, value)| Choice {
            label: label.to_owned(),
            value: value.to_owned(),
        });
        let remarks = Field {
            required: false,
            ..Field::text(Self::REMARKS, "What should be different?")
        };
        vec![Field::choice(Self::FIELD, asked_for, choices), remarks]
    }

    /// What the turn's answer says to a plan, if it is one to a plan. Anything but a clear yes is a no.
    pub(crate) fn of(turn: &Turn) -> Option<Self> {
        let answer = turn.answer.as_ref()?;
        matches!(kind(answer), Kind::Plan).then(|| Self::in_answer(answer))
    }

    fn in_answer(answer: &FormAnswer) -> Self {
        match answer.chosen(Self::FIELD) {
            [given] if given == Self::YES && answer.status == AnswerStatus::Answered => {
                Self::Approved
            }
            _ => Self::Refused,
        }
    }
}

impl Standing {
    /// Begins the id of a question that the CLI's own tool asked.
    pub(crate) const ASKED: &str = "ask-";
    /// Begins the id of a plan's question.
    pub(crate) const PLAN: &str = "plan-";
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
    if call.starts_with(Standing::PLAN) {
        return Kind::Plan;
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
        Kind::Plan => json!(of_plan(answer)),
        Kind::Permission(tool) => json!(of_permission(answer, tool)),
    }
}

fn of_plan(answer: &FormAnswer) -> String {
    let said = match Approval::in_answer(answer) {
        Approval::Approved => {
            "The user approves the plan. Plan mode is over: carry the plan out now."
        }
        Approval::Refused => {
            "The user does not approve the plan yet. Change it as the user wishes, and ask again."
        }
    };
    let remarks = answer.chosen(Approval::REMARKS).join("\n");
    with_remarks(said, [Some(remarks.as_str()), answer.message.as_deref()])
}

fn of_permission(answer: &FormAnswer, tool: &str) -> String {
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
    with_remarks(&said, [answer.message.as_deref()])
}

fn with_remarks<'a>(said: &str, remarks: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let remarks = remarks.into_iter().flatten();
    let remarks = remarks.filter(|remark| !remark.trim().is_empty());
    remarks.fold(said.to_owned(), |said, remark| {
        format!("{said}\nThe user says: {remark}")
    })
}
