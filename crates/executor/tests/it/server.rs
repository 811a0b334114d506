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
    let late = answer(stream).await;
    assert_eq!(
        (late.status, late.detail().as_str()),
        (408, "request head: not all of it came in time")
    );
    // One that never said anything is closed without a word.
    let silent = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(soon(read_all(silent)).await, 0);

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
async fn a_body_that_comes_drop_by_drop_is_given_up() {
    let config = ServerConfig {
        body_timeout: Duration::from_millis(300),
        ..config()
    };
    let running = start_with(config, HeartbeatBinding::None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = b"POST /v1/responses HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let dripping = async {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut bytes = Vec::new();
    tokio::select! {
        () = dripping => panic!("closed before it was answered"),
        read = soon(reading.read_buf(&mut bytes)) => assert!(read.unwrap() > 0),
    }
    assert!(
        bytes.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let running = start().await;
    // The buffer that a head has to fit into grows in steps, so the limit is not sharp.
    let long = "x".repeat(300_000);
    for (request, status) in [
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"),
            431,
        ),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 431),
        (
            "GET / HTTP/1.1\r\nhost: a\r\n".to_owned() + &"a: b\r\n".repeat(200) + "\r\n",
            431,
        ),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // It may be answered, and closed, before all of it was sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut said = [0; 12];
        soon(stream.read_exact(&mut said)).await.unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert_eq!(String::from_utf8_lossy(&said), expected);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let config = ServerConfig {
        write_stall_timeout: Duration::from_millis(100),
        max_connections: 1,
        ..config()
    };
    let running = start_with(config, HeartbeatBinding::None).await;
    // More requests at once than the kernel can hold answers for, none of which is read.
    let mut greedy = TcpStream::connect(running.address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    let flooding = async { while greedy.write_all(&request).await.is_ok() {} };
    soon(flooding).await;
    // It has lost its place.
    assert_eq!(ask(running.address, "GET", "/", b"").await.status, 200);
}

#[tokio::test]
async fn silent_connections_give_way_and_busy_ones_do_not() {
    let config = ServerConfig {
        max_connections: 3,
        ..config()
    };
    let mut running = start_with(config, HeartbeatBinding::None).await;
    let busy = sent(running.address, "POST", CANCEL, b"").await;
    soon(running.cancels.recv()).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        silent.push(stream);
    }
    // Long before any of them has run out of time.
    assert_eq!(ask(running.address, "GET", "/", b"").await.status, 200);
    for stream in silent.drain(..18) {
        assert_eq!(answer(stream).await.status, 408);
    }
    running.turns.stopped.notify_one();
    assert_eq!(answer(busy).await.status, 200);
}

#[tokio::test]
async fn whoever_comes_when_all_are_busy_waits_for_a_place() {
    let config = ServerConfig {
        max_connections: 1,
        ..config()
    };
    let mut running = start_with(config, HeartbeatBinding::None).await;
    // Kept open: it gives way as soon as it has its answer.
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    let request = format!("POST {CANCEL} HTTP/1.1\r\nhost: a\r\n\r\n");
    busy.write_all(request.as_bytes()).await.unwrap();
    soon(running.cancels.recv()).await.unwrap();
    let mut second = sent(running.address, "GET", "/", b"").await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
    assert!(early.is_err(), "served beyond the limit");
    running.turns.stopped.notify_one();
    assert_eq!(answer(second).await.status, 200);
    assert_eq!(answer(busy).await.status, 200);
}

async fn read_all(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap_or_default()
}
