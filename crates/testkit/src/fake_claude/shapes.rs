//! Lines in the form of Claude Code 2.1.329.
//!
//! The large ones are taken from a recording, so that a host that reads all of their fields is satisfied.

use serde_json::{Value, json};

use crate::transcript::Transcript;

/// The first line of a kind in a recorded conversation of two turns.
fn recorded(kind: &str) -> Value {
    let text = include_str!("../../transcripts/claude-code/2.1.329/text.jsonl");
    let pattern = Transcript::parse("text", text).expect("the recording is part of the sources");
    pattern
        .received()
        .find(|message| message.kind() == kind)
        .map(|message| message.0.clone())
        .unwrap_or_default()
}

/// What a success of `initialize` carries.
pub(super) fn initialized(mode: &str) -> Value {
    let mut answer = recorded("control_response/success")["response"]["response"].take();
    answer["pid"] = json!(std::process::id());
    answer["current_permission_mode"] = json!(mode);
    answer
}

/// The line at the beginning of a turn.
pub(super) fn begin(model: &str, mode: &str, folder: &str) -> Value {
    let mut line = recorded("system/init");
    line["cwd"] = json!(folder);
    line["model"] = json!(model);
    line["permissionMode"] = json!(mode);
    line
}

/// The figures of a number of requests to the model, as `usage` has them.
pub(super) fn usage(requests: u64) -> Value {
    json!({
        "input_tokens": 100 * requests, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 40 * requests, "output_tokens": 20 * requests,
    })
}

/// What a number of requests costs, in US dollars.
pub(super) fn cost(requests: u64) -> f64 {
    0.0005 * requests as f64
}

/// The same figures by model, with their cost.
pub(super) fn model_usage(model: &str, requests: u64) -> Value {
    json!({model: {
        "inputTokens": 100 * requests, "outputTokens": 20 * requests, "cacheReadInputTokens": 40 * requests,
        "cacheCreationInputTokens": 0, "webSearchRequests": 0, "costUSD": cost(requests),
        "contextWindow": 200_000, "maxOutputTokens": 64_000,
    }})
}

/// A message of the model with one finished block.
pub(super) fn assistant(id: &str, model: &str, block: &Value, parent: Option<&str>) -> Value {
    json!({
        "type": "assistant", "parent_tool_use_id": parent, "message": {
            "id": id, "type": "message", "role": "assistant", "model": model, "content": [block],
            "stop_reason": null, "stop_sequence": null, "usage": usage(1),
        },
    })
}

/// Text that stands in the user's name, but is the CLI's own.
pub(super) fn user_text(text: &str, parent: Option<&str>) -> Value {
    let content = json!([{"type": "text", "text": text}]);
    json!({"type": "user", "parent_tool_use_id": parent, "message": {"role": "user", "content": content}})
}

/// What a tool said.
pub(super) fn tool_result(call: &str, output: &str, failed: bool, parent: Option<&str>) -> Value {
    let content = json!([{
        "type": "tool_result", "tool_use_id": call, "content": output, "is_error": failed,
    }]);
    let result = if failed {
        json!(format!("Error: {output}"))
    } else {
        json!({"stdout": output, "stderr": "", "interrupted": false, "isImage": false})
    };
    json!({
        "type": "user", "parent_tool_use_id": parent, "message": {"role": "user", "content": content},
        "tool_use_result": result,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_has_every_pattern() {
        assert!(initialized("plan")["commands"].is_array());
        let line = begin("m", "plan", "/w");
        assert_eq!(
            (&line["type"], &line["cwd"]),
            (&json!("system"), &json!("/w"))
        );
        assert!(line["tools"].is_array());
    }
}
