//! What `${{path}}` in an MCP server's configuration can name.

use agent_core::Variables;
use serde_json::{Map, Value};

/// A request as placeholders see it: the fields of `metadata` at the top, with the rest of the request under the names
/// that it has in the platform's flat form, and two aliases. Paths that the platform's own executors know work here too.
pub(super) fn of_request(request: Value) -> Variables {
    let Value::Object(mut request) = request else {
        return Variables::default();
    };
    let mut all = match request.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        // The flat form has everything at its top.
        None => std::mem::take(&mut request),
        Some(_) => Map::new(),
    };
    // A single bot may stand there without an array; paths count it all the same.
    if let Some(bot @ Value::Object(_)) = all.get_mut("bot") {
        *bot = Value::Array(vec![bot.take()]);
    }
    let flat = [
        ("prompt", request.remove("input")),
        ("system_prompt", request.remove("instructions")),
        ("mcp_servers", request.remove("tools")),
        ("model_config", request.remove("model_config")),
        ("model", request.remove("model")),
        ("task_token", all.get("auth_token").cloned()),
    ];
    for (name, value) in flat {
        if let Some(value) = value {
            all.entry(name).or_insert(value);
        }
    }
    for id in ["task_id", "subtask_id"] {
        if let Some(Value::Number(number)) = all.get(id) {
            all.insert(id.to_owned(), Value::String(number.to_string()));
        }
    }
    Variables(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_seen_flat() {
        let request = json!({
            "model": "m", "input": "hi", "instructions": "be brief", "tools": [{"server_label": "x"}],
            "metadata": {
                "task_id": 7, "subtask_id": "9", "type": "online", "auth_token": "t", "bot": {"name": "b"},
                "user": {"name": "alice"},
            },
            "model_config": {"model_id": "m"},
        });
        let Variables(seen) = of_request(request);
        assert_eq!(
            seen,
            json!({
                "task_id": "7", "subtask_id": "9", "type": "online", "auth_token": "t", "task_token": "t",
                "bot": [{"name": "b"}], "user": {"name": "alice"}, "prompt": "hi", "system_prompt": "be brief",
                "mcp_servers": [{"server_label": "x"}], "model_config": {"model_id": "m"}, "model": "m",
            })
        );
    }

    #[test]
    fn a_flat_request_is_seen_as_it_is() {
        let request =
            json!({"task_id": 7, "prompt": "hi", "bot": [{"name": "b"}], "auth_token": "t"});
        let Variables(seen) = of_request(request);
        let expected = json!({"task_id": "7", "prompt": "hi", "bot": [{"name": "b"}], "auth_token": "t", "task_token": "t"});
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_no_object_has_no_variables() {
        assert_eq!(of_request(json!([1])).0, Value::Null);
        assert_eq!(
            of_request(json!({"metadata": 3, "input": "x"})).0,
            json!({"prompt": "x"})
        );
    }
}
