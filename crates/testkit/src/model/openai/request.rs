//! Requests of the Responses API.

use serde::Deserialize;
use serde_json::Value;

use crate::model::request::{Request, Tool, Wire};

/// A request's body.
#[derive(Clone, Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    tools: Vec<ToolSpec>,
    /// Codex puts the thread's id here.
    #[serde(default)]
    prompt_cache_key: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Item>),
}

impl Default for Input {
    fn default() -> Self {
        Self::Items(Vec::new())
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Item {
    #[serde(rename = "type", default = "Item::message")]
    kind: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    /// A tool's output; opaque.
    #[serde(default)]
    output: Option<Value>,
    /// Tools that newer models get as an input item.
    #[serde(default)]
    tools: Vec<ToolSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Clone, Debug, Deserialize)]
struct ToolSpec {
    #[serde(rename = "type", default = "ToolSpec::function")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tools: Vec<ToolSpec>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

/// What Codex puts before the person's own words, as user messages of their own.
const INJECTED: [&str; 6] = [
    "<environment_context>",
    "<turn_aborted>",
    "# AGENTS.md",
    "<user_instructions>",
    "<skill>",
    "<subagent_notification>",
];

pub(in crate::model) fn read(body: &Value) -> Result<Request, serde_json::Error> {
    let body = Body::deserialize(body)?;
    Ok(Request {
        wire: Wire::OpenAi,
        streams: true,
        user_texts: body.user_texts(),
        tool_output: body.tool_output(),
        rounds: body.rounds(),
        tools: body.tools(),
        deferred: Vec::new(),
        searched: false,
        folder: None,
        side: false,
        model: body.model,
        session: body.prompt_cache_key,
    })
}

impl Body {
    fn items(&self) -> &[Item] {
        match &self.input {
            Input::Text(_) => &[],
            Input::Items(items) => items,
        }
    }

    fn user_texts(&self) -> Vec<String> {
        if let Input::Text(text) = &self.input {
            return vec![text.clone()];
        }
        self.items()
            .iter()
            .filter(|item| item.is_user_message())
            .map(Item::text)
            .filter(|text| {
                !INJECTED
                    .iter()
                    .any(|start| text.trim_start().starts_with(start))
            })
            .collect()
    }

    fn tool_output(&self) -> Option<String> {
        for item in self.items().iter().rev() {
            if item.is_output() {
                return Some(match &item.output {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => String::new(),
                });
            }
            if item.is_user_message() {
                let text = item.text();
                if text.trim_start().starts_with('<') && text.trim_end().ends_with('>') {
                    continue;
                }
                return None;
            }
        }
        None
    }

    fn rounds(&self) -> usize {
        let since = self.items().rsplit(Item::is_user_message).next();
        let outputs = since
            .unwrap_or_default()
            .chunk_by(|a, b| a.is_output() == b.is_output());
        outputs.filter(|run| run[0].is_output()).count()
    }

    fn tools(&self) -> Vec<Tool> {
        let late = self
            .items()
            .iter()
            .filter(|item| item.kind == "additional_tools")
            .flat_map(|item| &item.tools);
        let mut tools = Vec::new();
        for spec in self.tools.iter().chain(late) {
            if spec.kind == "namespace" {
                tools.extend(spec.tools.iter().map(|inner| inner.tool(spec.name.clone())));
            } else {
                tools.push(spec.tool(None));
            }
        }
        tools
    }
}

impl Item {
    fn message() -> String {
        "message".to_owned()
    }

    fn is_user_message(&self) -> bool {
        self.kind == "message" && self.role.as_deref() == Some("user")
    }

    fn is_output(&self) -> bool {
        self.kind.ends_with("_output")
    }

    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().map(|part| part.text.as_str()).collect(),
        }
    }
}

impl ToolSpec {
    fn function() -> String {
        "function".to_owned()
    }

    fn tool(&self, namespace: Option<String>) -> Tool {
        Tool {
            name: self.name.clone().unwrap_or_else(|| self.kind.clone()),
            namespace,
            freeform: self.kind == "custom",
            old_escalation: Value::Object(self.rest.clone())
                .to_string()
                .contains("with_escalated_permissions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(body: Value) -> Request {
        read(&body).unwrap()
    }

    #[test]
    fn the_last_user_text_is_the_persons_own() {
        let request = request(json!({"input": [
            {"role": "user", "content": "hello"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>x"}]},
        ]}));
        assert_eq!(request.last_user_text(), "hello");
    }

    #[test]
    fn a_tools_output_counts_until_the_person_speaks_again() {
        let call = json!({"type": "function_call_output", "output": "out"});
        let called = request(json!({"input": [{"role": "user", "content": "go"}, call]}));
        assert_eq!(
            (called.tool_output.as_deref(), called.rounds),
            (Some("out"), 1)
        );
        let later = request(json!({"input": [call, {"role": "user", "content": "more"}]}));
        assert_eq!((later.tool_output, later.rounds), (None, 0));
    }

    #[test]
    fn tools_of_a_namespace_carry_its_name() {
        let request = request(json!({"tools": [
            {"type": "namespace", "name": "mcp__demo", "tools": [{"type": "function", "name": "echo"}]},
            {"type": "web_search"},
        ]}));
        let labels: Vec<String> = request.tools.iter().map(Tool::label).collect();
        assert_eq!(labels, ["mcp__demo/echo", "web_search"]);
    }
}
