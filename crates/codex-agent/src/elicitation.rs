//! What an MCP server asks the person: a flat form by JSON schema, or a page to open (MCP's elicitation).

use agent_core::{AnswerStatus, Choice, Field, FormAnswer};
use codex_app_server::protocol::{Elicitation, ElicitationAction, ElicitationAnswer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The id of the field that says whether the person agrees, where there is nothing to fill in.
const AGREED: &str = "agreed";

/// The schema of a form: an object of plain values.
#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    required: Vec<String>,
}

/// The questions of an elicitation; `None` if it asks in a way that has no form.
pub(crate) fn fields(asked: &Elicitation) -> Option<Vec<Field>> {
    let server = &asked.server_name;
    let message = format!("The MCP server `{server}` asks: {}", asked.message);
    if let Some(url) = &asked.url {
        let text = format!("{message}\n\n{url}");
        return Some(vec![agreement(text)]);
    }
    let Schema {
        properties,
        required,
    } = asked.requested_schema.as_ref()?.parse().ok()?;
    if properties.is_empty() {
        return Some(vec![agreement(message)]);
    }
    let mut fields: Vec<Field> = properties
        .iter()
        .map(|(name, schema)| field(name, schema, required.contains(name)))
        .collect();
    if let Some(first) = fields.first_mut() {
        first.text = format!("{message}\n\n{}", first.text);
    }
    Some(fields)
}

/// The person's answer as the server takes it.
pub(crate) fn answer(asked: &Elicitation, answer: &FormAnswer) -> ElicitationAnswer {
    if answer.status == AnswerStatus::Cancelled {
        return ElicitationAnswer::plain(ElicitationAction::Decline);
    }
    let schema = asked.requested_schema.as_ref();
    let properties = schema
        .and_then(|schema| schema.parse::<Schema>().ok())
        .map(|schema| schema.properties)
        .unwrap_or_default();
    if asked.url.is_some() || properties.is_empty() {
        let agreed = answer.chosen(AGREED) == ["yes"];
        return ElicitationAnswer::plain(if agreed {
            ElicitationAction::Accept
        } else {
            ElicitationAction::Decline
        });
    }
    let content: Map<String, Value> = properties
        .iter()
        .filter_map(|(name, schema)| Some((name.clone(), value(schema, answer.chosen(name))?)))
        .collect();
    ElicitationAnswer {
        action: ElicitationAction::Accept,
        content: Value::Object(content).into(),
    }
}

fn agreement(text: String) -> Field {
    let choice = |label: &str, value: &str| Choice {
        label: label.to_owned(),
        value: value.to_owned(),
    };
    Field::choice(AGREED, text, [choice("Yes", "yes"), choice("No", "no")])
}

fn field(name: &str, schema: &Value, required: bool) -> Field {
    let title = schema["title"].as_str().unwrap_or(name);
    let text = match schema["description"].as_str() {
        Some(description) => format!("{title}: {description}"),
        None => title.to_owned(),
    };
    let several = schema["type"] == "array";
    let choices = choices(if several { &schema["items"] } else { schema });
    Field {
        id: name.to_owned(),
        text,
        choices,
        several,
        required,
    }
}

/// What can be chosen; nothing if any text is an answer.
fn choices(schema: &Value) -> Vec<Choice> {
    if schema["type"] == "boolean" {
        return ["true", "false"].map(Choice::new).into();
    }
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let titled = [&schema["oneOf"], &schema["anyOf"]]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|one| {
            let value = one["const"].as_str()?.to_owned();
            let label = one["title"].as_str().unwrap_or(&value).to_owned();
            Some(Choice { label, value })
        });
    let names = texts(&schema["enumNames"]);
    let plain = texts(&schema["enum"]).into_iter().enumerate();
    plain
        .map(|(index, value)| Choice {
            label: names.get(index).unwrap_or(&value).clone(),
            value,
        })
        .chain(titled)
        .collect()
}

/// What was said, in the type that the schema names; `None` if nothing was, or nothing of that type.
fn value(schema: &Value, said: &[String]) -> Option<Value> {
    if schema["type"] == "array" {
        return Some(json!(said));
    }
    let said = said.first()?;
    match schema["type"].as_str() {
        Some("boolean") => said.parse::<bool>().ok().map(Value::from),
        Some("integer") => said.trim().parse::<i64>().ok().map(Value::from),
        Some("number") => said.trim().parse::<f64>().ok().map(Value::from),
        _ => Some(json!(said)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use agent_core::{AnswerValue, ToolCallId};

    use super::*;

    fn asked() -> Elicitation {
        serde_json::from_value(json!({
            "threadId": "t", "turnId": "u", "serverName": "demo", "mode": "form", "message": "Who are you?",
            "requestedSchema": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "title": "Name", "description": "as in your passport"},
                "age": {"type": "integer"},
                "color": {"type": "string", "enum": ["r", "b"], "enumNames": ["Red", "Blue"]},
                "news": {"type": "boolean"},
            }},
        }))
        .unwrap()
    }

    fn answered(status: AnswerStatus, values: &[(&str, &str)]) -> FormAnswer {
        let one = |(id, text): &(&str, &str)| ((*id).to_owned(), AnswerValue::One((*text).into()));
        FormAnswer {
            kind: "form".into(),
            call: ToolCallId::new("ask").unwrap(),
            task: None,
            subtask: None,
            status,
            answers: values.iter().map(one).collect::<BTreeMap<_, _>>(),
            message: None,
        }
    }

    #[test]
    fn a_schema_is_a_form() {
        let fields = fields(&asked()).unwrap();
        let shown: Vec<_> = fields
            .iter()
            .map(|field| (field.id.as_str(), field.required, field.choices.len()))
            .collect();
        assert_eq!(
            shown,
            [
                ("age", false, 0),
                ("color", false, 2),
                ("name", true, 0),
                ("news", false, 2)
            ]
        );
        assert!(fields[0].text.contains("Who are you?"), "{fields:?}");
        assert_eq!(fields[1].choices[1].label, "Blue");
        assert_eq!(fields[2].text, "Name: as in your passport");
    }

    #[test]
    fn what_is_filled_in_has_the_types_of_the_schema() {
        let said = [
            ("name", "Ada"),
            ("age", "36"),
            ("color", "b"),
            ("news", "true"),
        ];
        let ElicitationAnswer { action, content } =
            answer(&asked(), &answered(AnswerStatus::Answered, &said));
        assert_eq!(action, ElicitationAction::Accept);
        assert_eq!(
            content.parse::<Value>().unwrap(),
            json!({"name": "Ada", "age": 36, "color": "b", "news": true})
        );
        let no = answer(&asked(), &answered(AnswerStatus::Cancelled, &said));
        assert_eq!(no.action, ElicitationAction::Decline);
    }

    #[test]
    fn a_page_to_open_needs_a_clear_yes() {
        let asked: Elicitation = serde_json::from_value(json!({
            "threadId": "t", "serverName": "demo", "mode": "url", "message": "Log in", "url": "https://demo.example"
        }))
        .unwrap();
        assert!(
            fields(&asked).unwrap()[0]
                .text
                .contains("https://demo.example")
        );
        let action =
            |said: &[(&str, &str)]| answer(&asked, &answered(AnswerStatus::Answered, said)).action;
        assert_eq!(action(&[(AGREED, "yes")]), ElicitationAction::Accept);
        assert_eq!(action(&[(AGREED, "no")]), ElicitationAction::Decline);
        assert_eq!(action(&[]), ElicitationAction::Decline);
    }
}
