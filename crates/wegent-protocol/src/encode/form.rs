//! Wegent's interactive forms.
//!
//! The backend makes a form of the arguments of a finished call whose name contains [`FORM_TOOL`](agent_core::FORM_TOOL), and the interface shows no
//! form but those. The names of a question's fields are those of Wegent's own form tool.

use agent_core::{Field, ToolCallId};
use serde_json::{Value, json};

use super::wire::Item;

/// The tool's result once its form is shown.
const SHOWN: &str =
    r#"{"__deferred_user_input__":true,"success":true,"status":"waiting_for_user_response"}"#;

/// The arguments with which the tool would have been called for these questions.
pub(super) fn input(fields: &[Field]) -> Value {
    let question = |field: &Field| {
        let options = field
            .choices
            .iter()
            .map(|choice| json!({"label": choice.label, "value": choice.value}));
        let input_type = if field.choices.is_empty() {
            "text"
        } else {
            "choice"
        };
        json!({
            "id": field.id,
            "question": field.text,
            "input_type": input_type,
            "options": options.collect::<Vec<_>>(),
            "multi_select": field.several,
            "required": field.required,
        })
    };
    json!({"questions": fields.iter().map(question).collect::<Vec<_>>()})
}

/// The finished call that makes the backend show the form.
pub(super) fn item(call: &ToolCallId, name: &str, input: &Value) -> Item {
    Item {
        kind: "function_call",
        id: call.to_string(),
        call_id: call.to_string(),
        name: name.to_owned(),
        arguments: input.to_string(),
        status: "completed",
        output: SHOWN.to_owned(),
    }
}
