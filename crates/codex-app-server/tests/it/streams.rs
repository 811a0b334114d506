//! Streams of threads: what arrives, in which order, and what is answered.

use std::time::Duration;

use codex_app_server::{
    Client, ConnectionLost, Limits, RpcError, ThreadEvent, ThreadStream,
    protocol::{
        ApprovalDecision, Notification, ServerRequest, ThreadId, ThreadResumeParams,
        ThreadStartParams, TurnId,
    },
};
use serde_json::json;
use tokio::time::timeout;

use crate::fake::{Driving, Fake, SOON, opened, pair, plain};

/// A client with one thread `t` open.
async fn open(limits: Limits, pipe: usize) -> (Client, Fake, Driving, ThreadStream) {
    let (client, mut codex, driving) = pair(limits, SOON, pipe);
    let (opened, ()) = tokio::join!(
        client.thread_start(ThreadStartParams::default()),
        codex.open("thread/start", "t")
    );
    let (_, stream) = opened.unwrap();
    (client, codex, driving, stream)
}

async fn next(stream: &mut ThreadStream) -> ThreadEvent {
    timeout(SOON, stream.next()).await.expect("an event comes")
}

async fn notification(stream: &mut ThreadStream) -> Notification {
    match next(stream).await {
        ThreadEvent::Notification(notification) => notification,
        other => panic!("{other:?}"),
    }
}

async fn request(stream: &mut ThreadStream) -> ServerRequest {
    match next(stream).await {
        ThreadEvent::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

/// Text up to the end of the turn, and in how many pieces it came.
async fn text_of_turn(stream: &mut ThreadStream) -> (String, usize) {
    let (mut text, mut pieces) = (String::new(), 0);
    loop {
        match notification(stream).await {
            Notification::AgentMessageDelta(delta) => {
                text.push_str(&delta.delta);
                pieces += 1;
            }
            Notification::TurnCompleted(_) => return (text, pieces),
            other => panic!("{other:?}"),
        }
    }
}

fn approval(id: i64, thread: &str) -> serde_json::Value {
    json!({"method": "item/commandExecution/requestApproval", "id": id,
        "params": {"threadId": thread, "turnId": "u", "itemId": "i", "command": "ls", "kind": "command"}})
}

#[tokio::test]
async fn a_new_thread_misses_nothing_before_or_right_after_its_answer() {
    let (client, mut codex, _driving) = plain();
    let (opened, ()) = tokio::join!(client.thread_start(ThreadStartParams::default()), async {
        let (id, params) = codex.call("thread/start").await;
        assert_eq!(params, json!({}), "what is not set is not sent");
        let early = json!({"method": "mcpServer/startupStatus/updated",
            "params": {"threadId": "t", "name": "demo", "status": "starting"}});
        let stranger = json!({"method": "turn/started",
            "params": {"threadId": "other", "turn": {"id": "x", "status": "inProgress"}}});
        let answer = json!({"id": id, "result": opened("t")});
        let started = json!({"method": "thread/started", "params": {"thread": {"id": "t"}}});
        let mut lines = Vec::new();
        for message in [early, stranger, answer, started] {
            lines.extend_from_slice(message.to_string().as_bytes());
            lines.push(b'\n');
        }
        codex.raw(&lines).await;
    });
    let (opened, mut stream) = opened.unwrap();
    assert_eq!(opened.thread.id, *stream.id());
    assert!(
        matches!(notification(&mut stream).await, Notification::McpServerStartup(s) if s.name == "demo")
    );
    assert!(matches!(
        notification(&mut stream).await,
        Notification::ThreadStarted(_)
    ));
}

#[tokio::test]
async fn threads_get_their_own_events_however_they_interleave() {
    let (client, mut codex, _driving, mut first) = open(Limits::default(), 1 << 16).await;
    let resume = client.thread_resume(ThreadResumeParams::new("s".into()));
    let (second, ()) = tokio::join!(resume, codex.open("thread/resume", "s"));
    let (_, mut second) = second.unwrap();
    for round in 0..10 {
        codex.delta("t", "i", &format!("t{round} ")).await;
        codex.delta("s", "i", &format!("s{round} ")).await;
        codex.delta("nobody", "i", "lost").await;
    }
    codex.completed("s").await;
    codex.completed("t").await;
    let expected = |thread: &str| {
        (0..10)
            .map(|round| format!("{thread}{round} "))
            .collect::<String>()
    };
    assert_eq!(text_of_turn(&mut first).await, (expected("t"), 10));
    assert_eq!(text_of_turn(&mut second).await, (expected("s"), 10));
}

#[tokio::test]
async fn a_thread_opened_again_goes_on_in_the_new_stream() {
    let (client, mut codex, _driving, mut old) = open(Limits::default(), 1 << 16).await;
    let resume = client.thread_resume(ThreadResumeParams::new("t".into()));
    let (new, ()) = tokio::join!(resume, codex.open("thread/resume", "t"));
    let (_, mut new) = new.unwrap();
    assert!(
        matches!(next(&mut old).await, ThreadEvent::Lost { why } if matches!(*why, ConnectionLost::Replaced))
    );
    drop(old);
    codex.completed("t").await;
    assert!(matches!(
        notification(&mut new).await,
        Notification::TurnCompleted(_)
    ));
}

#[tokio::test]
async fn a_thread_that_fails_to_open_is_told_and_leaves_nothing() {
    let (client, mut codex, _driving) = plain();
    let resume = client.thread_resume(ThreadResumeParams::new("t".into()));
    let (outcome, ()) = tokio::join!(resume, async {
        let (id, _) = codex.call("thread/resume").await;
        codex.send(&approval(7, "t")).await;
        codex
            .refuse(&id, -32600, "no rollout found for thread id t")
            .await;
    });
    assert!(outcome.unwrap_err().is_thread_unknown());
    let answer = codex.read().await.unwrap();
    assert_eq!(
        answer["id"], 7,
        "the request kept for the thread is refused: {answer}"
    );
    assert!(answer.get("error").is_some(), "{answer}");
}

#[tokio::test]
async fn what_is_kept_for_a_thread_being_opened_is_bounded() {
    let (client, mut codex, _driving) = plain();
    let (opened, ()) = tokio::join!(client.thread_start(ThreadStartParams::default()), async {
        let (id, _) = codex.call("thread/start").await;
        codex.send(&approval(3, "stranger")).await;
        for number in 0..100 {
            codex.delta("t", "i", &number.to_string()).await;
        }
        codex.answer(&id, opened("t")).await;
    });
    let (_, mut stream) = opened.unwrap();
    let answer = codex.read().await.unwrap();
    assert_eq!(
        (&answer["id"], answer.get("error").is_some()),
        (&json!(3), true),
        "what gives way is refused"
    );
    codex.completed("t").await;
    let last: String = (36..100).map(|number: i32| number.to_string()).collect();
    assert_eq!(text_of_turn(&mut stream).await.0, last);
}

#[tokio::test]
async fn a_request_is_answered_with_its_own_id() {
    let (_client, mut codex, _driving, mut stream) = open(Limits::default(), 1 << 16).await;
    codex.send(&approval(0, "t")).await;
    let ServerRequest::CommandApproval(ask) = request(&mut stream).await else {
        panic!()
    };
    assert_eq!(ask.params.command.as_deref(), Some("ls"));
    ask.answer(&ApprovalDecision::Decline.into());
    assert_eq!(
        codex.read().await.unwrap(),
        json!({"id": 0, "result": {"decision": "decline"}})
    );

    let mut with_text_id = approval(0, "t");
    with_text_id["id"] = json!("0");
    codex.send(&with_text_id).await;
    request(&mut stream).await.refuse("not now");
    let answer = codex.read().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["error"]["message"]),
        (&json!("0"), &json!("not now"))
    );
}

#[tokio::test]
async fn every_request_that_nobody_answers_is_refused() {
    let (client, mut codex, _driving, mut stream) = open(Limits::default(), 1 << 16).await;

    codex.send(&approval(1, "t")).await;
    drop(request(&mut stream).await);
    let dropped = codex.read().await.unwrap();
    assert_eq!(
        (&dropped["id"], &dropped["error"]["code"]),
        (&json!(1), &json!(-32603)),
        "dropped"
    );

    for (id, method, params, code) in [
        (2, "item/novel/ask", json!({"threadId": "t"}), -32601),
        (
            3,
            "account/chatgptAuthTokens/refresh",
            json!({"reason": "unauthorized"}),
            -32601,
        ),
        (
            4,
            "item/commandExecution/requestApproval",
            json!({"threadId": "nobody"}),
            -32601,
        ),
        (
            5,
            "item/commandExecution/requestApproval",
            json!({"threadId": "t", "turnId": 5}),
            -32602,
        ),
    ] {
        codex
            .send(&json!({"id": id, "method": method, "params": params}))
            .await;
        let answer = codex.read().await.unwrap();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(id), &json!(code)),
            "{method}"
        );
    }

    codex.send(&approval(6, "t")).await;
    // The answer comes after the request, so that one is in the queue when this returns.
    let (loaded, ()) = tokio::join!(client.threads_loaded(), async {
        let (id, _) = codex.call("thread/loaded/list").await;
        codex.answer(&id, json!({"data": ["t"]})).await;
    });
    assert_eq!(loaded.unwrap().data, [ThreadId::from("t")]);
    drop(stream);
    let queued = codex.read().await.unwrap();
    assert_eq!(
        (&queued["id"], queued.get("error").is_some()),
        (&json!(6), true),
        "of a dropped stream"
    );
}

#[tokio::test]
async fn too_many_unanswered_requests_end_the_connection() {
    let limits = Limits {
        requests: 3,
        ..Limits::default()
    };
    let (_client, mut codex, mut driving, _stream) = open(limits, 1 << 16).await;
    for id in 0..4 {
        codex.send(&approval(id, "t")).await;
    }
    let why = driving.join_next().await.unwrap().unwrap();
    assert!(matches!(*why, ConnectionLost::TooManyRequests), "{why:?}");
}

#[tokio::test]
async fn a_lost_connection_is_told_after_everything_that_came_before() {
    let (_client, mut codex, _driving, mut stream) = open(Limits::default(), 1 << 16).await;
    codex.delta("t", "i", "last words").await;
    codex.completed("t").await;
    drop(codex);
    assert_eq!(text_of_turn(&mut stream).await.0, "last words");
    for _ in 0..2 {
        assert!(
            matches!(next(&mut stream).await, ThreadEvent::Lost { why } if matches!(*why, ConnectionLost::Closed))
        );
    }
}

#[tokio::test]
async fn a_slow_consumer_loses_nothing_and_gets_larger_pieces() {
    let limits = Limits {
        events: 8,
        ..Limits::default()
    };
    let (_client, mut codex, _driving, mut stream) = open(limits, 1 << 10).await;
    let mut expected = String::new();
    // The consumer doesn't read at all meanwhile, and yet codex can write: deltas join.
    for number in 0..500 {
        let piece = format!("{number} ");
        codex.delta("t", "i", &piece).await;
        expected.push_str(&piece);
    }
    codex.completed("t").await;
    let (text, pieces) = text_of_turn(&mut stream).await;
    assert_eq!(text, expected);
    // Some stay apart: those before there was pressure, and those that came when there was none any more.
    assert!(pieces < 30, "{pieces} pieces");
}

#[tokio::test]
async fn a_full_queue_holds_codex_up_and_nothing_is_lost() {
    let limits = Limits {
        events: 4,
        ..Limits::default()
    };
    let (_client, mut codex, _driving, mut stream) = open(limits, 256).await;
    let mut tasks = tokio::task::JoinSet::new();
    let total = 200;
    tasks.spawn(async move {
        // Items alternate, so that no two adjacent deltas join.
        for number in 0..total {
            codex
                .delta("t", if number % 2 == 0 { "even" } else { "odd" }, "x")
                .await;
        }
        codex.completed("t").await;
        codex
    });
    assert!(
        timeout(Duration::from_millis(100), tasks.join_next())
            .await
            .is_err(),
        "codex is held up"
    );
    assert_eq!(text_of_turn(&mut stream).await, ("x".repeat(total), total));
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_consumer_that_calls_before_it_reads_on_gets_its_answer() {
    let limits = Limits {
        events: 4,
        stretch: 100,
        ..Limits::default()
    };
    let (client, mut codex, _driving, mut stream) = open(limits, 256).await;
    let (thread, turn) = (ThreadId::from("t"), TurnId::from("u"));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let flood = async |codex: &mut Fake| {
            for number in 0..100 {
                codex
                    .delta("t", if number % 2 == 0 { "even" } else { "odd" }, "x")
                    .await;
            }
        };
        flood(&mut codex).await;
        let (id, _) = codex.call("turn/interrupt").await;
        flood(&mut codex).await;
        codex.answer(&id, json!({})).await;
        codex.completed("t").await;
        codex
    });
    timeout(SOON, client.turn_interrupt(&thread, &turn))
        .await
        .expect("the answer gets through")
        .unwrap();
    assert_eq!(text_of_turn(&mut stream).await, ("x".repeat(200), 200));
}

#[tokio::test]
async fn reading_goes_on_while_writing_is_stuck() {
    let (client, mut codex, _driving, mut stream) = open(Limits::default(), 256).await;
    // Codex doesn't read, so this call gets stuck half written.
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move {
        client
            .call::<_, serde_json::Value>("m", &json!({"long": "x".repeat(1 << 20)}), SOON)
            .await
    });
    for _ in 0..200 {
        codex.delta("t", "i", "x").await;
    }
    codex.completed("t").await;
    assert_eq!(text_of_turn(&mut stream).await.0, "x".repeat(200));
    let (id, _) = codex.call("m").await;
    codex.answer(&id, json!("done")).await;
    let answer: Result<_, RpcError> = calls.join_next().await.unwrap().unwrap();
    assert_eq!(answer.unwrap(), "done");
}

#[tokio::test]
async fn what_a_sub_agent_says_comes_by_the_stream_of_the_thread_it_works_for() {
    let (_client, mut codex, _driving, mut stream) = open(Limits::default(), 1 << 16).await;
    let turn = |thread: &str, id: &str, root: &str| {
        json!({"method": "turn/started", "params": {"threadId": thread,
            "turn": {"id": id, "rootTurnId": root, "status": "inProgress"}}})
    };
    let of = |notification: &Notification| {
        let (thread, turn) = notification.turn().unwrap();
        format!("{thread}/{turn}")
    };
    codex.send(&turn("t", "u", "u")).await;
    codex.send(&turn("stranger", "x", "x")).await;
    codex.send(&turn("child", "c", "u")).await;
    codex.send(&turn("grandchild", "g", "u")).await;
    codex.send(&approval(7, "child")).await;
    for expected in ["t/u", "child/c", "grandchild/g"] {
        assert_eq!(of(&notification(&mut stream).await), expected);
    }
    let ServerRequest::CommandApproval(ask) = request(&mut stream).await else {
        panic!("another request")
    };
    assert_eq!(ask.params.thread_id, ThreadId::from("child"));
    ask.answer(&ApprovalDecision::Accept.into());
    let answer = codex.find(|message| message["id"] == 7).await;
    assert_eq!(answer["result"]["decision"], "accept");
}
