//! Routes, bodies and answers.

use std::{fs, io, path::Path};

use agent_core::PromptPart;
use executor::{
    config::{HeartbeatBinding, ServerConfig},
    heartbeat::{Bound, HeartbeatId, HeartbeatKind},
    runs::{RunStatus, SubmitError},
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::fake::{answer, ask, config, sent, soon, start, start_with};

fn body(task: i64, subtask: i64) -> Vec<u8> {
    let bot = json!({"name": "b", "shell_type": "Codex"});
    let metadata = json!({"task_id": task, "subtask_id": subtask, "bot": [bot]});
    let request = json!({"model": "m", "input": "hi", "background": true, "metadata": metadata});
    serde_json::to_vec(&request).unwrap()
}

#[tokio::test]
async fn each_route_answers_exactly_as_the_contract_says() {
    let running = start().await;
    running.turns.stopped.notify_one();
    let cases: [(&str, &str, Vec<u8>, u16, &str); 6] = [
        (
            "GET",
            "/",
            vec![],
            200,
            r#"{"status":"healthy","service":"task_executor"}"#,
        ),
        (
            "GET",
            "/ready",
            vec![],
            200,
            r#"{"status":"ready","service":"task_executor"}"#,
        ),
        ("GET", "/health", vec![], 204, ""),
        (
            "POST",
            "/v1/responses",
            body(1, 2),
            200,
            r#"{"id":"resp_2","status":"queued","message":"Task execution status: RUNNING"}"#,
        ),
        (
            "POST",
            "/api/tasks/cancel?task_id=1&subtask_id=2",
            vec![],
            200,
            r#"{"status":"success","task_id":"1","subtask_id":"2"}"#,
        ),
        (
            "POST",
            "/api/tasks/cancel?task_id=4711",
            vec![],
            404,
            r#"{"detail":"task 4711 is not running"}"#,
        ),
    ];
    for (method, target, request, status, expected) in cases {
        let answer = ask(running.address, method, target, &request).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(String::from_utf8_lossy(&answer.body), expected, "{target}");
        let is_json = answer.head.contains("\r\ncontent-type: application/json");
        assert_eq!(is_json, !expected.is_empty(), "{target}: {}", answer.head);
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_with_a_detail() {
    let running = start().await;
    for (method, target) in [
        ("GET", "/nothing"),
        ("POST", "/v1/responses/1"),
        ("GET", "//"),
    ] {
        let answer = ask(running.address, method, target, b"").await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (404, "Not Found"),
            "{target}"
        );
    }
    for (method, target, allowed) in [
        ("POST", "/", "get"),
        ("GET", "/v1/responses", "post"),
        ("DELETE", "/api/tasks/cancel?task_id=1", "post"),
    ] {
        let answer = ask(running.address, method, target, b"").await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (405, "Method Not Allowed"),
            "{target}"
        );
        assert!(
            answer.head.contains(&format!("\r\nallow: {allowed}")),
            "{}",
            answer.head
        );
    }
}

#[tokio::test]
async fn whole_requests_of_a_running_wegent_are_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wegent-protocol/fixtures/requests");
    let running = start().await;
    let mut taken = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let request = fs::read(&path).unwrap();
        let parsed: Value = serde_json::from_slice(&request).unwrap();
        let answer = ask(running.address, "POST", "/v1/responses", &request).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", path.display());
        let metadata = &parsed["metadata"];
        assert_eq!(
            answer.json()["id"],
            format!("resp_{}", metadata["subtask_id"])
        );
        let key = running.turns.submitted.lock().unwrap().last().unwrap().key;
        assert_eq!(
            (json!(key.task), json!(key.subtask)),
            (metadata["task_id"].clone(), metadata["subtask_id"].clone())
        );
        taken += 1;
    }
    assert!(taken >= 3, "only {taken} requests found");
}

#[tokio::test]
async fn a_foreground_request_is_answered_with_the_turns_state() {
    let running = start().await;
    let mut request: Value = serde_json::from_slice(&body(1, 2)).unwrap();
    request["background"] = json!(false);
    let request = serde_json::to_vec(&request).unwrap();
    for (status, word) in [
        (RunStatus::Queued, "PENDING"),
        (RunStatus::Running, "RUNNING"),
        (RunStatus::Completed, "COMPLETED"),
        (RunStatus::Failed, "FAILED"),
        (RunStatus::Cancelled, "CANCELLED"),
    ] {
        *running.turns.submit.lock().unwrap() = Box::new(move || Ok(status));
        let answer = ask(running.address, "POST", "/v1/responses", &request)
            .await
            .json();
        let message = format!("Task execution status: {word}");
        assert_eq!(
            answer,
            json!({"id": "resp_2", "status": word, "message": message})
        );
    }
}

#[tokio::test]
async fn a_body_of_64_mib_is_taken_whole() {
    let running = start().await;
    let image = format!("data:image/png;base64,{}", "A".repeat(64 << 20));
    let mut request: Value = serde_json::from_slice(&body(1, 2)).unwrap();
    request["input"] = json!([
        {"type": "input_text", "text": "what is this"},
        {"type": "input_image", "image_url": image},
    ]);
    let request = serde_json::to_vec(&request).unwrap();
    let answer = ask(running.address, "POST", "/v1/responses", &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let submitted = running.turns.submitted.lock().unwrap();
    let parts = &submitted[0].turn().unwrap().prompt.0;
    assert!(
        parts
            .iter()
            .any(|part| matches!(part, PromptPart::Image { url } if *url == image)),
        "the image is not what was sent"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_client_can_read_why() {
    let config = ServerConfig {
        max_body: 1 << 20,
        ..config()
    };
    let running = start_with(config, HeartbeatBinding::None).await;
    let big = vec![b' '; 8 << 20];
    let answer_ = ask(running.address, "POST", "/v1/responses", &big).await;
    assert_eq!(answer_.status, 413);
    assert_eq!(answer_.detail(), "request body: larger than 1 MiB");

    // Without a length in the head it is noticed on the way.
    let mut stream = sent(running.address, "GET", "/health", b"").await;
    drop(stream);
    stream = tokio::net::TcpStream::connect(running.address)
        .await
        .unwrap();
    let head = "POST /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        stream.write_all(b"100000\r\n").await.unwrap();
        stream.write_all(&big[..1 << 20]).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(answer(stream).await.status, 413);

    let at_once = "POST /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 8388608\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(running.address)
        .await
        .unwrap();
    stream.write_all(at_once.as_bytes()).await.unwrap();
    assert_eq!(answer(stream).await.status, 413);
    assert!(running.turns.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_bad_body_is_refused_naming_the_field() {
    let running = start().await;
    let with = |change: fn(&mut Value)| {
        let mut request: Value = serde_json::from_slice(&body(1, 2)).unwrap();
        change(&mut request);
        serde_json::to_vec(&request).unwrap()
    };
    let cases: [(Vec<u8>, &str); 6] = [
        (b"".to_vec(), ""),
        (b"{".to_vec(), ""),
        (b"[]".to_vec(), "object"),
        (
            with(|r| r["metadata"]["task_id"] = json!("abc")),
            "metadata.task_id",
        ),
        (
            with(|r| r["metadata"]["subtask_id"] = Value::Null),
            "subtask_id",
        ),
        (with(|r| r["metadata"]["bot"] = json!([])), "bot"),
    ];
    for (request, named) in cases {
        let answer = ask(running.address, "POST", "/v1/responses", &request).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(
            answer.detail().contains(named),
            "{named}: {}",
            answer.detail()
        );
        assert!(!answer.detail().is_empty());
    }
    assert!(running.turns.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_turn_that_is_not_taken_is_refused_with_its_reason() {
    let running = start().await;
    type Case = (fn() -> SubmitError, u16, &'static str);
    let cases: [Case; 3] = [
        (
            || SubmitError::QueueFull { limit: 16 },
            429,
            "the task has 16 turns waiting already",
        ),
        (
            || SubmitError::Journal(Box::new(io::Error::other("disk"))),
            503,
            "the journal can't be written",
        ),
        (
            || SubmitError::ShuttingDown,
            503,
            "the executor is shutting down",
        ),
    ];
    for (error, status, detail) in cases {
        *running.turns.submit.lock().unwrap() = Box::new(move || Err(error()));
        let answer = ask(running.address, "POST", "/v1/responses", &body(1, 2)).await;
        assert_eq!((answer.status, answer.detail().as_str()), (status, detail));
    }
}

#[tokio::test]
async fn a_second_task_conflicts_only_in_a_warm_pool() {
    let warm = start_with(config(), HeartbeatBinding::FirstTask).await;
    for (task, status) in [(1, 200), (1, 200), (2, 409), (1, 200)] {
        let answer = ask(warm.address, "POST", "/v1/responses", &body(task, 2)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(warm.turns.submitted.lock().unwrap().len(), 3);

    let id = HeartbeatId::new("1").unwrap();
    let kind = HeartbeatKind::Task;
    let fixed = start_with(config(), HeartbeatBinding::Fixed(Bound { id, kind })).await;
    for task in [1, 2] {
        let answer = ask(fixed.address, "POST", "/v1/responses", &body(task, 2)).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_dispatchs_hold_ends_when_its_answer_is_out() {
    let mut running = start().await;
    let answer = ask(running.address, "POST", "/v1/responses", &body(1, 2)).await;
    assert_eq!(answer.status, 200);
    let hold = running.holds.try_recv().unwrap();
    assert!(soon(hold).await.is_err());
}

#[tokio::test]
async fn cancel_takes_ids_from_the_query_and_names_bad_ones() {
    let mut running = start().await;
    for (query, detail) in [
        ("", "query parameter `task_id`: missing"),
        ("?task_id=", "query parameter `task_id`: missing"),
        ("?subtask_id=2", "query parameter `task_id`: missing"),
        (
            "?task_id=abc",
            "query parameter `task_id`: expected an integer, got \"abc\"",
        ),
        (
            "?task_id=1&subtask_id=1.5",
            "query parameter `subtask_id`: expected an integer, got \"1.5\"",
        ),
    ] {
        let target = format!("/api/tasks/cancel{query}");
        let answer = ask(running.address, "POST", &target, b"").await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (400, detail),
            "{query}"
        );
    }
    let twice = ask(
        running.address,
        "POST",
        "/api/tasks/cancel?task_id=1&task_id=2",
        b"",
    )
    .await;
    assert_eq!(twice.status, 400);
    assert!(twice.detail().contains("task_id"), "{}", twice.detail());
    assert!(
        running.cancels.try_recv().is_err(),
        "a bad request cancelled something"
    );

    running.turns.stopped.notify_one();
    let whole = ask(
        running.address,
        "POST",
        "/api/tasks/cancel?task_id=1&subtask_id=",
        b"",
    )
    .await;
    assert_eq!(
        whole.json(),
        json!({"status": "success", "task_id": "1", "subtask_id": null})
    );
    let (task, subtask) = running.cancels.try_recv().unwrap();
    assert_eq!((task.0, subtask), (1, None));
}
