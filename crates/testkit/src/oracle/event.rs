//! The callback events that Wegent's backend acts on.

use serde::Deserialize;
use serde_json::{Map, Value};

/// An event's `data`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Event {
    #[serde(rename = "response.created")]
    Created {},
    #[serde(rename = "response.output_text.delta")]
    Text {
        delta: String,
        #[serde(default)]
        offset: Option<u64>,
    },
    #[serde(rename = "response.reasoning_summary_text.delta")]
    Reasoning { delta: String },
    #[serde(rename = "response.reasoning_summary_part.added")]
    ReasoningPart { part: Part },
    #[serde(rename = "response.block.created")]
    BlockCreated { block: Map<String, Value> },
    #[serde(rename = "response.block.updated")]
    BlockUpdated {
        block_id: String,
        updates: Map<String, Value>,
    },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { item: Item },
    #[serde(rename = "response.output_item.done")]
    ItemDone { item: Item },
    #[serde(rename = "response.completed")]
    Completed { response: Map<String, Value> },
    #[serde(rename = "error")]
    Failed { code: String, message: String },
    #[serde(rename = "response.incomplete")]
    Incomplete {
        #[serde(default)]
        response: Cancelled,
    },
    /// Accepted, without an effect on what is computed here.
    #[serde(
        rename = "response.in_progress",
        alias = "response.content_part.added",
        alias = "response.content_part.done",
        alias = "response.output_text.done",
        alias = "response.status.updated",
        alias = "response.function_call_arguments.delta",
        alias = "response.function_call_arguments.done",
        alias = "response.mcp_call.in_progress",
        alias = "response.mcp_call.completed",
        alias = "response.mcp_call.failed",
        alias = "response.mcp_call_arguments.delta",
        alias = "response.mcp_call_arguments.done"
    )]
    WithoutEffect {},
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    pub(super) text: String,
}

/// A tool call in the Responses API's own form.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Item {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) call_id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<String>,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) output: Option<Value>,
}

impl Item {
    /// The call's id: `call_id`, else `id`.
    pub(super) fn call(&self) -> &str {
        self.call_id
            .as_deref()
            .or(self.id.as_deref())
            .unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Cancelled {
    #[serde(default)]
    pub(super) error: Option<CancelledError>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CancelledError {
    #[serde(default)]
    pub(super) message: String,
}

/// The final text of a `response` object: its `output_text` and `text` parts, joined.
pub(super) fn final_text(response: &Map<String, Value>) -> String {
    let parts = |item: &Value| {
        item.get("content")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let output = response
        .get("output")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    output
        .iter()
        .flat_map(parts)
        .filter(|part| {
            matches!(
                part.get("type").and_then(Value::as_str),
                Some("output_text" | "text")
            )
        })
        .filter_map(|part| part.get("text").and_then(Value::as_str).map(str::to_owned))
        .collect()
}
