//! The scripted model in the form of Anthropic's Messages API.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    http::client::{self, Answer},
    model::{Ending, ModelServer, Options, Said, Script},
};

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "sk-ant-test-model";

async fn server() -> ModelServer {
    let options = Options {
        slow_delay: Duration::from_millis(1),
        slow_count: 5,
        huge_bytes: 64 * 1024,
        ..Options::default()
    };
    ModelServer::start(options).await.unwrap()
}

async fn post(model: &ModelServer, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", model.anthropic_url());
    let headers = [("x-api-key", KEY), ("anthropic-version", "2023-06-01")];
    let body = body.to_string();
    client::request("POST", &url, &headers, body.as_bytes(), PATIENCE)
        .await
        .unwrap()
}

async fn ask(model: &ModelServer, body: &Value) -> Answer {
    post(model, "/v1/messages?beta=true", body).await
}

fn prompt(text: &str) -> Value {
    let names = [
        "Bash",
        "Read",
        "Write",
        "Edit",
        "Agent",
        "TodoWrite",
        "AskUserQuestion",
        "mcp__demo__echo",
    ];
    let tools = names.map(|name| json!({"name": name, "input_schema": {"type": "object"}}));
    json!({
        "model": "mock-model", "stream": true, "max_tokens": 1000,
        "system": [{"type": "text", "text": "Primary working directory: /work\n"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
        "tools": tools,
    })
}

/// The same turn after the model's tool call was carried out.
fn after_call(mut body: Value, model: &ModelServer, output: &str) -> Value {
    let call = model.spoken().tools().last().unwrap().clone();
    let input: Value = serde_json::from_str(&call.arguments).unwrap();
    let calling = json!({"type": "tool_use", "id": call.call, "name": call.name, "input": input});
    let result = json!({"type": "tool_result", "tool_use_id": call.call, "content": output});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": [calling]}));
    messages.push(json!({"role": "user", "content": [result]}));
    body
}

fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let events = text
        .split("\n\n")
        .filter(|event| !event.is_empty() && !event.starts_with(':'));
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name.strip_prefix("event: ").unwrap());
            data
        })
        .collect()
}

/// The content blocks of a stream, put together, and the reason to stop.
fn blocks(events: &[Value]) -> (Vec<Value>, Value) {
    let (mut blocks, mut json, mut stop) = (Vec::<Value>::new(), String::new(), Value::Null);
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(event["index"], blocks.len());
                blocks.push(event["content_block"].clone());
                json.clear();
            }
            "content_block_delta" => {
                let (delta, block) = (&event["delta"], blocks.last_mut().unwrap());
                for field in ["text", "thinking", "signature"] {
                    if let Some(more) = delta[field].as_str() {
                        block[field] = json!(block[field].as_str().unwrap().to_owned() + more);
                    }
                }
                json += delta["partial_json"].as_str().unwrap_or_default();
            }
            "content_block_stop" => {
                assert_eq!(event["index"], blocks.len() - 1);
                let block = blocks.last_mut().unwrap();
                if block["type"] == "tool_use" {
                    block["input"] = serde_json::from_str(&json).unwrap_or_default();
                }
            }
            "message_delta" => stop = event["delta"]["stop_reason"].clone(),
            _ => {}
        }
    }
    (blocks, stop)
}

/// Scripts whose answer is no whole stream.
const BROKEN: [&str; 9] = [
    "disconnect",
    "disconnect_once",
    "disconnect_equal_once",
    "disconnect_differ_once",
    "reset",
    "truncated",
    "hang",
    "silent",
    "failed",
];

fn ends_well(script: Script) -> bool {
    let name = script.name();
    let refusing = ["quota", "usage_limit", "flaky", "context_full"];
    !BROKEN.contains(&name) && !name.starts_with("err") && !refusing.contains(&name)
}

#[tokio::test]
async fn every_script_that_ends_well_says_the_same_in_a_stream_and_as_one_object() {
    let model = server().await;
    for script in Script::ALL
        .iter()
        .copied()
        .filter(|script| ends_well(*script))
    {
        let mut body = prompt(&format!("#script:{script}\n#cmd:a.txt|old|new"));
        let answer = ask(&model, &body).await;
        assert_eq!((answer.status, answer.whole), (200, true), "{script}");
        let events = events(&answer);
        assert_eq!(events[0]["type"], "message_start", "{script}");
        assert_eq!(events.last().unwrap()["type"], "message_stop", "{script}");
        let streamed = blocks(&events);
        body["stream"] = json!(false);
        let whole = ask(&model, &body).await.json();
        let mut content = whole["content"].as_array().unwrap().clone();
        for (streamed, whole) in streamed.0.iter().zip(&mut content) {
            // Ids are of the request.
            if whole["type"] == "tool_use" {
                whole["id"] = streamed["id"].clone();
            }
        }
        assert_eq!(
            (content, whole["stop_reason"].clone()),
            streamed,
            "{script}"
        );
    }
}

#[tokio::test]
async fn what_was_said_is_what_was_streamed() {
    let model = server().await;
    for script in [
        Script::Text,
        Script::Unicode,
        Script::Huge,
        Script::OneBig,
        Script::Slow,
    ] {
        model.forget();
        let (blocks, stop) = blocks(&events(
            &ask(&model, &prompt(&format!("#script:{script}"))).await,
        ));
        assert_eq!(stop, "end_turn");
        assert_eq!(
            model.spoken().final_text(),
            blocks[0]["text"].as_str(),
            "{script}"
        );
    }
    model.forget();
    let answer = ask(&model, &prompt("#script:mixed")).await;
    let (blocks, stop) = blocks(&events(&answer));
    let kinds: Vec<&Value> = blocks.iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["text", "thinking", "tool_use"]);
    assert_eq!(
        (stop.as_str(), &blocks[2]["input"]["command"]),
        (Some("tool_use"), &json!("echo mixed"))
    );
    let spoken = model.spoken();
    assert_eq!(spoken.reasoning().next(), blocks[1]["thinking"].as_str());
    assert_eq!(spoken.tools().next().unwrap().call, blocks[2]["id"]);
}

#[tokio::test]
async fn a_file_is_read_before_it_is_edited() {
    let model = server().await;
    let mut body = prompt("#script:edit\n#cmd:a.txt|old|new");
    for output in ["1\told", "done", "-"] {
        ask(&model, &body).await;
        body = after_call(body, &model, output);
    }
    let spoken = model.spoken();
    let calls: Vec<(&str, Value)> = spoken
        .tools()
        .map(|call| {
            (
                call.name.as_str(),
                serde_json::from_str(&call.arguments).unwrap(),
            )
        })
        .collect();
    let edit = json!({"file_path": "/work/a.txt", "old_string": "old", "new_string": "new"});
    assert_eq!(
        calls,
        [
            ("Read", json!({"file_path": "/work/a.txt"})),
            ("Edit", edit)
        ]
    );
    assert_eq!(spoken.text(), "I will change a.txt.The file is changed.");
}

#[tokio::test]
async fn tools_are_called_as_claude_code_offers_them() {
    let model = server().await;
    for script in ["patch", "mcp", "plan", "ask", "subagent", "background"] {
        ask(&model, &prompt(&format!("#script:{script}"))).await;
    }
    let spoken = model.spoken();
    let calls: Vec<&str> = spoken.tools().map(|call| call.name.as_str()).collect();
    assert_eq!(
        calls,
        [
            "Write",
            "mcp__demo__echo",
            "TodoWrite",
            "AskUserQuestion",
            "Agent",
            "Bash"
        ]
    );
    assert!(
        spoken
            .tools()
            .last()
            .unwrap()
            .arguments
            .contains(r#""run_in_background":true"#)
    );
}

#[tokio::test]
async fn a_deferred_tool_is_searched_for_and_then_called() {
    let model = server().await;
    let mut body = prompt("#script:mcp");
    body["tools"] =
        json!([{"name": "ToolSearch"}, {"name": "mcp__late__echo", "defer_loading": true}]);
    ask(&model, &body).await;
    body = after_call(body, &model, "found");
    body["tools"] = json!([{"name": "ToolSearch"}, {"name": "mcp__late__echo"}]);
    ask(&model, &body).await;
    body = after_call(body, &model, "pong");
    ask(&model, &body).await;
    let spoken = model.spoken();
    let calls: Vec<&str> = spoken.tools().map(|call| call.name.as_str()).collect();
    assert_eq!(calls, ["ToolSearch", "mcp__late__echo"]);
    assert_eq!(spoken.final_text(), Some("The MCP tool said: pong"));
}

#[tokio::test]
async fn faults_in_a_stream_leave_what_was_said_unfinished_and_pass_when_told_so() {
    let model = server().await;
    for (script, whole, last) in [
        ("disconnect", false, "content_block_delta"),
        ("truncated", true, "content_block_delta"),
        ("failed", true, "error"),
    ] {
        model.forget();
        let body = prompt(&format!("#script:{script}\n#cmd:times=1"));
        let cut = ask(&model, &body).await;
        assert_eq!(cut.whole, whole, "{script}");
        assert_eq!(events(&cut).last().unwrap()["type"], last, "{script}");
        let said = &model.requests()[0].said[0];
        assert!(
            matches!(
                said,
                Said::Text {
                    complete: false,
                    ..
                }
            ),
            "{script}"
        );
        ask(&model, &body).await;
        assert_eq!(
            model.spoken().text(),
            "Recovered after a fault.",
            "{script}"
        );
    }
    let (_, stop) = blocks(&events(&ask(&model, &prompt("#script:incomplete")).await));
    assert_eq!(stop, "max_tokens");
    let (_, stop) = blocks(&events(&ask(&model, &prompt("#script:refusal")).await));
    assert_eq!(stop, "refusal");
}

#[tokio::test]
async fn refusals_have_their_status_and_type() {
    let model = server().await;
    let cases = [
        ("err400", 400, "invalid_request_error"),
        ("err401", 401, "authentication_error"),
        ("err403", 403, "permission_error"),
        ("err404", 404, "not_found_error"),
        ("err413", 413, "request_too_large"),
        ("err429", 429, "rate_limit_error"),
        ("err500", 500, "api_error"),
        ("err529", 529, "overloaded_error"),
        ("context_full", 400, "invalid_request_error"),
        ("no_such_script", 400, "invalid_request_error"),
    ];
    for (script, status, kind) in cases {
        let answer = ask(&model, &prompt(&format!("#script:{script}"))).await;
        let body = answer.json();
        assert_eq!(
            (
                answer.status,
                body["type"].as_str(),
                body["error"]["type"].as_str()
            ),
            (status, Some("error"), Some(kind)),
            "{script}"
        );
        assert_eq!(answer.header("retry-after").is_some(), script == "err429");
    }
}

#[tokio::test]
async fn an_errand_of_the_cli_is_not_part_of_what_was_said() {
    let model = server().await;
    model.set_script(Script::Shell);
    let mut errand = prompt("Summarize this.");
    errand["tools"] = json!([]);
    let (blocks, _) = blocks(&events(&ask(&model, &errand).await));
    assert_eq!(blocks[0]["type"], "text");
    assert!(model.requests()[0].side);
    assert_eq!(model.spoken().0, []);
    model.set_script(Script::Err500);
    assert_eq!(ask(&model, &errand).await.status, 500);
}

#[tokio::test]
async fn tokens_are_counted_models_listed_and_keys_hidden() {
    let model = server().await;
    let counted = post(&model, "/v1/messages/count_tokens", &prompt("hello")).await;
    assert!(counted.json()["input_tokens"].as_u64().unwrap() > 10);
    let url = format!("{}/v1/models", model.anthropic_url());
    let version = [("anthropic-version", "2023-06-01")];
    let models = client::request("GET", &url, &version, b"", PATIENCE)
        .await
        .unwrap();
    assert_eq!(models.json()["data"][0]["type"], "model");
    let requests = model.requests();
    assert_eq!(requests[0].api_key(), Some(KEY));
    assert!(!format!("{requests:?}").contains(KEY));
    assert_eq!(requests[0].ending, Ending::Finished);
}
