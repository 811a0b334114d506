//! The part of a Responses API request that scripts look at.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// A request's body.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    tools: Vec<ToolSpec>,
    /// Codex puts the thread's id here.
    #[serde(default)]
    pub(super) prompt_cache_key: Option<String>,
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

/// A tool that the request offers.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// Takes free text instead of JSON.
    pub(super) freeform: bool,
    /// Its declaration mentions the older word for escalated permissions.
    pub(super) old_escalation: bool,
}

impl Tool {
    /// Namespace and name, as a person reads them.
    pub(super) fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What Codex puts before the person's own words, as user messages of their own.
const INJECTED: [&str; 5] = [
    "<environment_context>",
    "<turn_aborted>",
    "# AGENTS.md",
    "<user_instructions>",
    "<skill>",
];

impl Request {
    fn items(&self) -> &[Item] {
        match &self.input {
            Input::Text(_) => &[],
            Input::Items(items) => items,
        }
    }

    /// Every text of the user, without what the CLI puts in on its own.
    pub(super) fn user_texts(&self) -> Vec<String> {
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

    /// The last text of the user; empty if there is none.
    pub(super) fn last_user_text(&self) -> String {
        self.user_texts().pop().unwrap_or_default()
    }

    /// The output of the tool that was called last, if nothing was said after it.
    pub(super) fn tool_output(&self) -> Option<String> {
        for item in self.items().iter().rev() {
            if item.kind.ends_with("_output") {
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

    /// Every tool offered, namespaces taken apart.
    pub(super) fn tools(&self) -> Vec<Tool> {
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

    /// The first of `names` that is offered.
    pub(super) fn find_tool(&self, names: &[&str]) -> Option<Tool> {
        let tools = self.tools();
        names
            .iter()
            .find_map(|name| tools.iter().find(|tool| tool.name == *name).cloned())
    }

    /// What stays the same when the CLI repeats a request, and differs in every other.
    pub(super) fn turn_key(&self) -> String {
        let mut key = self.prompt_cache_key.clone().unwrap_or_default();
        // Writing to a string can't fail.
        let _ = write!(key, "#{}", self.user_texts().len());
        key
    }
}

impl Item {
    fn message() -> String {
        "message".to_owned()
    }

    fn is_user_message(&self) -> bool {
        self.kind == "message" && self.role.as_deref() == Some("user")
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
        serde_json::from_value(body).unwrap()
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
        assert_eq!(
            request(json!({"input": [call]})).tool_output().as_deref(),
            Some("out")
        );
        let later = json!({"input": [call, {"role": "user", "content": "more"}]});
        assert_eq!(request(later).tool_output(), None);
    }

    #[test]
    fn tools_of_a_namespace_carry_its_name() {
        let request = request(json!({"tools": [
            {"type": "namespace", "name": "mcp__demo", "tools": [{"type": "function", "name": "echo"}]},
            {"type": "web_search"},
        ]}));
        let labels: Vec<String> = request.tools().iter().map(Tool::label).collect();
        assert_eq!(labels, ["mcp__demo/echo", "web_search"]);
    }
}
