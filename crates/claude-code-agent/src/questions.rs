//! What Claude Code's own tools ask, as questions to the person.

use agent_core::{Choice, Field, Form, Permission, Question, ToolCallId};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Approval, Standing};

/// The tool that asks the person.
pub(crate) const ASK_USER: &str = "AskUserQuestion";
/// The tool that asks for a plan's approval.
pub(crate) const EXIT_PLAN: &str = "ExitPlanMode";
/// How much of a call's arguments a permission's question shows, in characters.
const MAX_SHOWN: usize = 2000;
/// How much of a plan is shown, in characters.
const MAX_PLAN: usize = 20_000;

/// Whether a tool does nothing but ask. Its question is shown as a form, never as a tool.
pub(crate) fn is_question(tool: &str) -> bool {
    matches!(tool, ASK_USER | EXIT_PLAN)
}

/// What [`ASK_USER`] asks; `None` if it asks nothing that can be shown.
pub(crate) fn of_asking(input: &Value, call: &str) -> Option<Question> {
    Some(asked(format!("{}{call}", Standing::ASKED), fields(input)?))
}

/// Whether a plan is to be carried out.
pub(crate) fn of_plan(plan: String, call: &str) -> Question {
    let plan: String = plan.chars().take(MAX_PLAN).collect();
    let asked_for = format!("Claude has a plan:\n\n{plan}");
    asked(
        format!("{}{call}", Standing::PLAN),
        Approval::fields(asked_for),
    )
}

/// The plan in the arguments of [`EXIT_PLAN`], if they have one.
pub(crate) fn plan_of(input: &Value) -> Option<String> {
    let plan = input["plan"]
        .as_str()
        .filter(|plan| !plan.trim().is_empty());
    plan.map(str::to_owned)
}

/// Whether a tool may be used.
pub(crate) fn of_permission(tool: &str, input: &Value, call: &str) -> Question {
    let field = Permission::field(wanted(tool, input), true);
    asked(
        format!("{}{tool}-{call}", Standing::PERMISSION),
        vec![field],
    )
}

fn asked(id: String, fields: Vec<Field>) -> Question {
    Question {
        call: ToolCallId::new(id).expect("it has a prefix"),
        form: Form::Fields(fields),
    }
}

fn wanted(tool: &str, input: &Value) -> String {
    let telling = ["command", "file_path", "url", "query"];
    let telling = telling.iter().find_map(|key| input[*key].as_str());
    let shown = telling.map_or_else(|| format!("{input:#}"), str::to_owned);
    let shown: String = shown.chars().take(MAX_SHOWN).collect();
    format!("Claude wants to use {tool}:\n\n{shown}")
}

#[derive(Deserialize)]
struct Asking {
    questions: Vec<OneQuestion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneQuestion {
    question: String,
    #[serde(default)]
    multi_select: bool,
    #[serde(default)]
    options: Vec<OneOption>,
}

#[derive(Deserialize)]
struct OneOption {
    label: String,
    #[serde(default)]
    description: String,
}

/// The questions of [`ASK_USER`]; each is known by its own text, so that the answer can be read without it.
fn fields(input: &Value) -> Option<Vec<Field>> {
    let asking = Asking::deserialize(input).ok()?;
    let field = |asked: OneQuestion| {
        let choices = asked.options.into_iter().map(|option| Choice {
            value: option.label.clone(),
            label: match option.description.trim() {
                "" => option.label,
                description => format!("{}: {description}", option.label),
            },
        });
        Field {
            several: asked.multi_select,
            ..Field::choice(asked.question.clone(), asked.question, choices)
        }
    };
    let fields: Vec<Field> = asking.questions.into_iter().map(field).collect();
    let askable = |field: &Field| !field.text.trim().is_empty();
    (!fields.is_empty() && fields.iter().all(askable)).then_some(fields)
}
