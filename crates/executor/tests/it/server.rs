//! Connections, cancels whose caller is gone, panics, and the server's end.

use std::time::{Duration, Instant};

use executor::config::{HeartbeatBinding, ServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::fake::{answer, ask, config, sent, soon, start, start_with};

const CANCEL: &str = "/api/tasks/cancel?task_id=1&subtask_id=2";

#[tokio::test]
async fn a_cancel_is_answered_when_the_work_has_stopped_and_then_releases_its_hold() {
    let mut running = start().await;
    let mut stream = sent(running.address, "POST", CANCEL, b"").await;
    soon(running.cancels.recv()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(early.is_err(), "answered before the work had stopped");
    running.turns.stopped.notify_one();
    assert_eq!(answer(stream).await.status, 200);
    let begun = Instant::now();
    let hold = running.holds.try_recv().unwrap();
    assert!(soon(hold).await.is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "only the deadline released it"
    );
}

#[tokio::test]
async fn a_caller_that_never_reads_does_not_keep_the_hold() {
    let mut running = start().await;
    let _unread = sent(running.address, "POST", CANCEL, b"").await;
    running.turns.stopped.notify_one();
    let hold = soon(running.holds.recv()).await.unwrap();
    let begun = Instant::now();
    // The answer fits into the socket's buffer, so it is written out.
    assert!(soon(hold).await.is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "only the deadline released it"
    );
}

#[tokio::test]
async fn a_cancel_goes_on_when_its_caller_hangs_up() {
    let mut running = start().await;
    let stream = sent(running.address, "POST", CANCEL, b"").await;
    soon(running.cancels.recv()).await.unwrap();
    drop(stream);
    // Another request on a new connection: by its answer the server has seen the first one's end.
    assert_eq!(ask(running.address, "GET", "/", b"").await.status, 200);
    running.turns.stopped.notify_one();
    let hold = soon(running.holds.recv()).await.unwrap();
    let begun = Instant::now();
    assert!(soon(hold).await.is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "only the deadline released it"
    );
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let running = start().await;
    let cancelled = ask(
        running.address,
        "POST",
        "/api/tasks/cancel?task_id=666",
        b"",
    )
    .await;
    assert_eq!(
        (cancelled.status, cancelled.detail().as_str()),
        (500, "Internal Server Error")
    );
    *running.turns.submit.lock().unwrap() = Box::new(|| panic!("the fake panics"));
    let request = br#"{"input": "hi", "metadata": {"task_id": 1, "subtask_id": 2, "bot": {"shell_type": "Codex"}}}"#;
    let dispatched = ask(running.address, "POST", "/v1/responses", request).await;
    assert_eq!(
        (dispatched.status, dispatched.detail().as_str()),
        (500, "Internal Server Error")
    );
    assert_eq!(ask(running.address, "GET", "/", b"").await.status, 200);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let running = start().await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(soon(stream.read_u8()).await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 204"));
    }
}

#[tokio::test]
async fn after_stop_an_answer_under_way_is_finished_and_nobody_can_connect() {
    let mut running = start().await;
    let stream = sent(running.address, "POST", CANCEL, b"").await;
    let idle = TcpStream::connect(running.address).await.unwrap();
    soon(running.cancels.recv()).await.unwrap();
    running.stop.cancel();
    // An idle connection is closed at once.
    assert_eq!(soon(read_all(idle)).await, 0);
    soon(async { while TcpStream::connect(running.address).await.is_ok() {} }).await;
    assert!(
        running.server.try_join_next().is_none(),
        "didn't wait for the answer"
    );
    running.turns.stopped.notify_one();
    assert_eq!(answer(stream).await.status, 200);
    let begun = Instant::now();
    soon(running.server.join_next()).await.unwrap().unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "waited for the grace to pass"
    );
}

#[tokio::test]
async fn after_stop_an_answer_that_never_comes_is_not_waited_for() {
    let config = ServerConfig {
        shutdown_grace: Duration::from_millis(50),
        ..config()
    };
    let mut running = start_with(config, HeartbeatBinding::None).await;
    let stream = sent(running.address, "POST", CANCEL, b"").await;
    soon(running.cancels.recv()).await.unwrap();
    running.stop.cancel();
    soon(running.server.join_next()).await.unwrap().unwrap();
    // Either an error or nothing: the work was dropped with the server.
    drop(stream);
    assert!(running.holds.try_recv().is_err());
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_body_that_stalls_are_given_up() {
    let config = ServerConfig {
        head_timeout: Duration::from_millis(100),
        body_stall_timeout: Duration::from_millis(100),
        ..config()
    };
    let running = start_with(config, HeartbeatBinding::None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    soon(read_all(stream)).await;

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = b"POST /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{";
    stream.write_all(head).await.unwrap();
    let answer = answer(stream).await;
    assert_eq!(
        (answer.status, answer.detail().as_str()),
        (408, "request body: nothing came for too long")
    );
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let config = ServerConfig {
        max_connections: 1,
        ..config()
    };
    let running = start_with(config, HeartbeatBinding::None).await;
    let first = TcpStream::connect(running.address).await.unwrap();
    // The first one has the place once it was served.
    let mut first = {
        let mut first = first;
        first
            .write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        soon(first.read_u8()).await.unwrap();
        first
    };
    let mut second = sent(running.address, "GET", "/", b"").await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
    assert!(early.is_err(), "served beyond the limit");
    first.shutdown().await.unwrap();
    assert_eq!(answer(second).await.status, 200);
}

async fn read_all(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap_or_default()
}
