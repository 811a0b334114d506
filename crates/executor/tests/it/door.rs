//! The executor's token: who has it may ask for everything, who hasn't only whether it is up.

use executor::config::{DoorToken, HeartbeatBinding, ServerConfig};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::fake::{Answer, Running, answer, config, start_with};

const TOKEN: &str = "a-token-of-the-operators";

async fn guarded() -> Running {
    let config = ServerConfig {
        token: DoorToken::new(TOKEN),
        ..config()
    };
    start_with(config, HeartbeatBinding::None).await
}

/// What is answered to a request with these header lines.
async fn with(running: &Running, method: &str, target: &str, headers: &[&str]) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    answer(stream).await
}

#[tokio::test]
async fn without_the_token_only_its_health_is_told() {
    let running = guarded().await;
    for (target, status) in [("/", 200), ("/ready", 200), ("/health", 204)] {
        assert_eq!(with(&running, "GET", target, &[]).await.status, status);
    }
    for (method, target) in [
        ("POST", "/v1/responses"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tasks/1/2/events"),
        ("POST", "/api/tasks/execute"),
        ("GET", "/api/tasks/sessions"),
        ("DELETE", "/api/tasks/session?task_id=1"),
        ("DELETE", "/api/tasks/sessions/close"),
        ("POST", "/api/tasks/cancel?task_id=1"),
        ("GET", "/nothing"),
        ("GET", "//"),
        ("GET", "/health/"),
        ("POST", "/"),
    ] {
        let answer = with(&running, method, target, &[]).await;
        assert_eq!(answer.status, 401, "{method} {target}");
        assert!(
            answer.detail().contains("Authorization: Bearer"),
            "{answer:?}"
        );
        assert!(
            answer.head.contains("\r\nwww-authenticate: bearer"),
            "{}",
            answer.head
        );
    }
    assert!(running.turns.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_token_opens_in_either_header_and_nothing_like_it_does() {
    let running = guarded().await;
    for header in [
        format!("authorization: Bearer {TOKEN}"),
        format!("Authorization: bearer   {TOKEN} "),
        format!("x-executor-token: {TOKEN}"),
        format!("authorization: Basic abc\r\nx-executor-token: {TOKEN}"),
    ] {
        let answer = with(&running, "GET", "/v1/tasks", &[&header]).await;
        assert_eq!(answer.status, 200, "{header}");
    }
    let short = &TOKEN[..TOKEN.len() - 1];
    for header in [
        format!("authorization: Bearer {short}"),
        format!("authorization: Bearer {TOKEN}x"),
        format!("authorization: Bearer {}", TOKEN.to_uppercase()),
        "x-executor-token:".to_owned(),
    ] {
        let answer = with(&running, "GET", "/v1/tasks", &[&header]).await;
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.detail(), "this is not the executor's token");
    }
    let nothing = with(&running, "GET", "/v1/tasks", &["authorization: Bearer "]).await;
    assert_eq!(nothing.status, 401);
    // In the address it would be in somebody's log.
    let target = format!("/v1/tasks?token={TOKEN}");
    assert_eq!(with(&running, "GET", &target, &[]).await.status, 401);
}

#[tokio::test]
async fn a_body_is_not_read_before_its_sender_is_known() {
    let running = guarded().await;
    let headers = ["content-length: 1000000"];
    let answer = with(&running, "POST", "/v1/responses", &headers).await;
    assert_eq!(answer.status, 401);
}
