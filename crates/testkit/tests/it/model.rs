//! The scripted model over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    http::client::{self, Answer},
    model::{Ending, ModelServer, Options, Said, Script},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn quick() -> Options {
    Options {
        slow_delay: Duration::from_millis(1),
        slow_count: 5,
        huge_bytes: 64 * 1024,
        ..Options::default()
    }
}

async fn ask(model: &ModelServer, body: &Value) -> Answer {
    let url = format!("{}/responses", model.base_url());
    let headers = [("authorization", "Bearer sk-test-model")];
    client::request(
        "POST",
        &url,
        &headers,
        body.to_string().as_bytes(),
        PATIENCE,
    )
    .await
    .unwrap()
}

fn prompt(text: &str) -> Value {
    json!({
        "model": "mock-model",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}],
        "tools": [
            {"type": "function", "name": "exec_command"},
            {"type": "custom", "name": "apply_patch"},
            {"type": "namespace", "name": "mcp__demo", "tools": [{"type": "function", "name": "echo"}]},
        ],
    })
}

/// The events of a stream, each with the JSON of its data, or `null` where the data is none.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value =
                serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap_or_default();
            if !data.is_null() {
                assert_eq!(data["type"], name.strip_prefix("event: ").unwrap());
            }
            data
        })
        .collect()
}

fn text_of(events: &[Value]) -> String {
    let deltas = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta");
    deltas
        .map(|event| event["delta"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn every_script_that_ends_well_streams_a_well_formed_answer() {
    let model = ModelServer::start(quick()).await.unwrap();
    let broken = [
        "disconnect",
        "disconnect_once",
        "disconnect_equal_once",
        "disconnect_differ_once",
        "reset",
        "truncated",
        "hang",
        "silent",
    ];
    let refusing = |script: &Script| {
        let name = script.name();
        name.starts_with("err") || ["quota", "usage_limit", "flaky"].contains(&name)
    };
    let streaming = Script::ALL
        .iter()
        .filter(|script| !broken.contains(&script.name()) && !refusing(script));
    for script in streaming {
        let answer = ask(&model, &prompt(&format!("#script:{script}"))).await;
        assert_eq!((answer.status, answer.whole), (200, true), "{script}");
        let mut events = events(&answer);
        assert_eq!(
            events.iter().filter(|event| event.is_null()).count(),
            usize::from(*script == Script::Garbage),
            "{script}"
        );
        events.retain(|event| !event.is_null());
        let numbers: Vec<u64> = events
            .iter()
            .map(|event| event["sequence_number"].as_u64().unwrap())
            .collect();
        assert_eq!(
            numbers,
            (0..events.len() as u64).collect::<Vec<_>>(),
            "{script}"
        );
        assert_eq!(events[0]["type"], "response.created", "{script}");
        let last = events.last().unwrap()["type"].as_str().unwrap();
        let ends = [
            "response.completed",
            "response.failed",
            "response.incomplete",
        ];
        assert!(ends.contains(&last), "{script}: {last}");
    }
}

#[tokio::test]
async fn what_was_said_is_what_was_streamed() {
    let model = ModelServer::start(quick()).await.unwrap();
    for script in [
        Script::Text,
        Script::Unicode,
        Script::Huge,
        Script::OneBig,
        Script::Slow,
    ] {
        model.forget();
        let streamed = text_of(&events(
            &ask(&model, &prompt(&format!("#script:{script}"))).await,
        ));
        assert!(!streamed.is_empty());
        assert_eq!(
            model.spoken().final_text(),
            Some(streamed.as_str()),
            "{script}"
        );
    }
}

#[tokio::test]
async fn a_tool_is_called_once_and_its_output_quoted() {
    let model = ModelServer::start(quick()).await.unwrap();
    let mut body = prompt("#script:shell\n#cmd:echo hi");
    ask(&model, &body).await;
    let call = model.spoken().tools().next().unwrap().clone();
    assert_eq!(
        (call.name.as_str(), call.arguments.as_str()),
        ("exec_command", r#"{"cmd":"echo hi"}"#)
    );
    let output = json!({"type": "function_call_output", "call_id": call.call, "output": "hi"});
    body["input"].as_array_mut().unwrap().push(output);
    ask(&model, &body).await;
    assert_eq!(model.spoken().final_text(), Some("The command said: hi"));
    assert_eq!(
        model.spoken().text(),
        "I will run a command.The command said: hi"
    );
    assert_eq!(model.spoken().tools().count(), 1);
}

#[tokio::test]
async fn tools_are_called_as_the_request_offers_them() {
    let model = ModelServer::start(quick()).await.unwrap();
    for script in ["edit\n#cmd:a.txt|old|new", "mcp", "plan"] {
        ask(&model, &prompt(&format!("#script:{script}"))).await;
    }
    let spoken = model.spoken();
    let calls: Vec<(&str, Option<&str>)> = spoken
        .tools()
        .map(|call| (call.name.as_str(), call.namespace.as_deref()))
        .collect();
    assert_eq!(
        calls,
        [
            ("apply_patch", None),
            ("echo", Some("mcp__demo")),
            ("update_plan", None)
        ]
    );
    assert!(
        spoken
            .tools()
            .next()
            .unwrap()
            .arguments
            .contains("*** Update File: a.txt")
    );
}

#[tokio::test]
async fn a_disconnect_comes_after_the_deltas_and_only_once_where_the_name_says_so() {
    let model = ModelServer::start(quick()).await.unwrap();
    let cases = [
        (
            "disconnect_equal_once",
            "The quick brown fox ",
            "The quick brown fox jumps over the lazy dog.",
        ),
        (
            "disconnect_differ_once",
            "The answer is blue, as far as I can see",
            "The answer is red, beyond doubt.",
        ),
    ];
    for (script, before, after) in cases {
        let body = prompt(&format!("#script:{script}"));
        let cut = ask(&model, &body).await;
        assert!(!cut.whole, "{script}");
        assert_eq!(text_of(&events(&cut)), before);
        let whole = ask(&model, &body).await;
        assert!(whole.whole, "{script}");
        assert_eq!(text_of(&events(&whole)), after);
    }
    let endings: Vec<Ending> = model
        .requests()
        .iter()
        .map(|request| request.ending)
        .collect();
    assert_eq!(
        endings,
        [
            Ending::Broken,
            Ending::Finished,
            Ending::Broken,
            Ending::Finished
        ]
    );
    assert!(matches!(
        &model.requests()[0].said[0],
        Said::Text {
            complete: false,
            ..
        }
    ));
}

#[tokio::test]
async fn a_reset_connection_is_not_whole() {
    let model = ModelServer::start(quick()).await.unwrap();
    let url = format!("{}/responses", model.base_url());
    let body = prompt("#script:reset");
    // Whether the data before a reset can still be read is the kernel's choice.
    match client::post(&url, &body, PATIENCE).await {
        Ok(answer) => assert!(!answer.whole),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn refusals_have_their_status_and_code() {
    let model = ModelServer::start(quick()).await.unwrap();
    let cases = [
        ("err400", 400, "invalid_value"),
        ("err401", 401, "invalid_api_key"),
        ("err404", 404, "model_not_found"),
        ("err429", 429, "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota"),
        ("err503", 503, "server_is_overloaded"),
    ];
    for (script, status, code) in cases {
        let answer = ask(&model, &prompt(&format!("#script:{script}"))).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (status, Some(code)),
            "{script}"
        );
        assert_eq!(answer.header("retry-after").is_some(), script == "err429");
    }
    let flaky: Vec<u16> = {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(ask(&model, &prompt("#script:flaky")).await.status);
        }
        statuses
    };
    assert_eq!(flaky, [500, 500, 200]);
}

#[tokio::test]
async fn a_client_that_leaves_a_hanging_answer_is_noticed() {
    let model = ModelServer::start(quick()).await.unwrap();
    let url = format!("{}/responses", model.base_url());
    let body = prompt("#script:hang");
    let left = client::post(&url, &body, Duration::from_millis(200)).await;
    assert_eq!(left.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(
        model
            .wait_for(PATIENCE, |seen| seen
                .iter()
                .any(|request| request.ending == Ending::ClientGone))
            .await
    );
}

#[tokio::test]
async fn keys_are_kept_for_tests_but_not_shown() {
    let model = ModelServer::start(quick()).await.unwrap();
    ask(&model, &prompt("#script:remember hello")).await;
    let request = &model.requests()[0];
    assert_eq!(request.bearer(), Some("sk-test-model"));
    assert!(!format!("{request:?}").contains("sk-test-model"));
    let control = model.base_url().replace("/v1", "/__model/requests");
    let shown = client::get(&control, PATIENCE).await.unwrap().text();
    assert!(shown.contains("<hidden>") && !shown.contains("sk-test-model"));
}

#[tokio::test]
async fn a_compressed_body_and_an_unknown_script_are_refused_in_words() {
    let model = ModelServer::start(quick()).await.unwrap();
    let url = format!("{}/responses", model.base_url());
    let zstd = client::request(
        "POST",
        &url,
        &[("content-encoding", "zstd")],
        b"\x28\xb5",
        PATIENCE,
    )
    .await
    .unwrap();
    assert_eq!(zstd.status, 400);
    assert!(zstd.text().contains("compression"));
    let unknown = ask(&model, &prompt("#script:no_such")).await;
    assert_eq!(
        (unknown.status, unknown.text().contains("no_such")),
        (400, true)
    );
}
