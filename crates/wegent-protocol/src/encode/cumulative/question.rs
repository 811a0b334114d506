//! A question as text: this protocol has no forms. It ends the turn, and the answer is the next message.

use agent_core::{Field, Form, Question};
use serde_json::Value;

/// The question with what can be chosen, as a paragraph for each of its parts.
pub(super) fn text(question: &Question) -> String {
    let parts: Vec<String> = match &question.form {
        Form::Fields(fields) => fields.iter().map(field).collect(),
        Form::Tool { input, .. } => {
            let questions = input["questions"].as_array();
            questions.into_iter().flatten().map(of_tool).collect()
        }
    };
    if parts.is_empty() {
        return "The agent asks for your input.".to_owned();
    }
    parts.join("\n\n")
}

fn field(field: &Field) -> String {
    let choices = field.choices.iter().map(|choice| choice.label.as_str());
    part(&field.text, choices)
}

/// A question in the arguments of the platform's own tool.
fn of_tool(question: &Value) -> String {
    let options = question["options"].as_array().into_iter().flatten();
    let labels = options.filter_map(|option| option["label"].as_str().or(option.as_str()));
    part(question["question"].as_str().unwrap_or_default(), labels)
}

fn part<'a>(text: &str, choices: impl Iterator<Item = &'a str>) -> String {
    choices.fold(text.to_owned(), |text, choice| {
        format!("{text}\n- {choice}")
    })
}

#[cfg(test)]
mod tests {
    use agent_core::{Choice, ToolCallId};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_readable_whatever_its_form() {
        let asked = |form| {
            text(&Question {
                call: ToolCallId::new("c").unwrap(),
                form,
            })
        };
        let colours = ["Red", "Blue"].map(Choice::new);
        let fields = vec![
            Field::text("a", "Who?"),
            Field::choice("b", "Which?", colours),
        ];
        assert_eq!(asked(Form::Fields(fields)), "Who?\n\nWhich?\n- Red\n- Blue");
        let input = json!({"questions": [{"question": "Why?", "options": [{"label": "So"}]}]});
        let name = "mcp__x__interactive_form_question".to_owned();
        assert_eq!(asked(Form::Tool { name, input }), "Why?\n- So");
    }
}
