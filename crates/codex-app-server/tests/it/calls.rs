//! Calls: answers, deadlines, bounds, the end.

use std::time::Duration;

use codex_app_server::{
    Client, ConnectionLost, Limits, RpcError,
    protocol::{ClientInfo, ThreadId, TurnId, TurnSteerParams, UserInput},
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};

use crate::fake::{self, SOON, pair, plain};

async fn call(client: &Client, method: &str, deadline: Duration) -> Result<Value, RpcError> {
    client.call(method, &json!({}), deadline).await
}

/// Runs a call in the background.
fn background(tasks: &mut JoinSet<Result<Value, RpcError>>, client: &Client, method: &'static str) {
    let client = client.clone();
    tasks.spawn(async move { call(&client, method, SOON).await });
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let (client, mut codex, _driving) = plain();
    let mut calls = JoinSet::new();
    for method in ["a", "b", "c"] {
        background(&mut calls, &client, method);
    }
    let mut asked = Vec::new();
    for _ in 0..3 {
        let message = codex.read().await.unwrap();
        asked.push((message["id"].clone(), message["method"].clone()));
    }
    asked.reverse();
    for (id, method) in &asked {
        codex.answer(id, method.clone()).await;
    }
    let mut answers: Vec<_> = calls
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    answers.sort_by_key(Value::to_string);
    assert_eq!(answers, ["a", "b", "c"]);
}

#[tokio::test]
async fn the_handshake_asks_for_what_we_need_and_opts_out_of_noise() {
    let (client, mut codex, _driving) = plain();
    let codex_side = async {
        let (id, params) = codex.call("initialize").await;
        assert_eq!(
            params["clientInfo"],
            json!({"name": "n", "title": "t", "version": "1"})
        );
        assert_eq!(params["capabilities"]["experimentalApi"], true);
        let opted_out = params["capabilities"]["optOutNotificationMethods"]
            .as_array()
            .unwrap();
        assert!(opted_out.contains(&json!("thread/readState/changed")));
        codex
            .answer(
                &id,
                json!({"userAgent": "n/0.169.0 (x)", "codexHome": "/h"}),
            )
            .await;
        assert_eq!(
            codex.read().await.unwrap(),
            json!({"method": "initialized"})
        );
    };
    let who = ClientInfo {
        name: "n".into(),
        title: "t".into(),
        version: "1".into(),
    };
    let (server, ()) = tokio::join!(client.initialize(&who, SOON), codex_side);
    assert_eq!(server.unwrap().version(), Some("0.169.0"));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline_and_the_late_answer_harms_nobody() {
    let (client, mut codex, _driving) = plain();
    let error = call(&client, "slow", Duration::from_secs(5))
        .await
        .unwrap_err();
    assert!(matches!(error, RpcError::Deadline { .. }), "{error:?}");
    let (id, _) = codex.call("slow").await;
    codex.answer(&id, json!("late")).await;
    let (answer, ()) = tokio::join!(call(&client, "next", SOON), async {
        let (id, _) = codex.call("next").await;
        codex.answer(&id, json!("in time")).await;
    });
    assert_eq!(answer.unwrap(), "in time");
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_in_flight_than_allowed() {
    let limits = Limits {
        calls: 2,
        ..Limits::default()
    };
    let (client, mut codex, _driving) = pair(limits, SOON, 1 << 16);
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        background(&mut calls, &client, "m");
    }
    let (first, _) = codex.call("m").await;
    codex.call("m").await;
    assert!(
        timeout(Duration::from_secs(1), codex.read()).await.is_err(),
        "the third waits"
    );
    codex.answer(&first, json!(1)).await;
    codex.call("m").await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_slot_in_time_is_overload() {
    let limits = Limits {
        calls: 1,
        ..Limits::default()
    };
    let (client, mut codex, _driving) = pair(limits, SOON, 1 << 16);
    let mut calls = JoinSet::new();
    background(&mut calls, &client, "first");
    codex.call("first").await;
    let error = call(&client, "second", Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(matches!(error, RpcError::Overloaded { .. }), "{error:?}");
}

#[tokio::test]
async fn a_dropped_call_frees_its_slot() {
    let limits = Limits {
        calls: 1,
        ..Limits::default()
    };
    let (client, mut codex, _driving) = pair(limits, SOON, 1 << 16);
    let mut calls = JoinSet::new();
    background(&mut calls, &client, "first");
    codex.call("first").await;
    calls.shutdown().await;
    background(&mut calls, &client, "second");
    codex.call("second").await;
}

#[tokio::test]
async fn codex_saying_overloaded_is_overload_and_other_errors_are_told() {
    let (client, mut codex, _driving) = plain();
    for (code, overloaded) in [(-32001, true), (-32600, false)] {
        let (error, ()) = tokio::join!(call(&client, "m", SOON), async {
            let (id, _) = codex.call("m").await;
            codex
                .refuse(&id, code, "Server overloaded; retry later.")
                .await;
        });
        let error = error.unwrap_err();
        assert_eq!(
            matches!(error, RpcError::Overloaded { .. }),
            overloaded,
            "{error:?}"
        );
        assert_eq!(
            error.remote().map(|remote| remote.code),
            (!overloaded).then_some(code)
        );
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_a_decode_error() {
    let (client, mut codex, _driving) = plain();
    let params = json!({});
    let (error, ()) = tokio::join!(client.call::<_, u8>("m", &params, SOON), async {
        let (id, _) = codex.call("m").await;
        codex.answer(&id, json!("text")).await;
    });
    assert!(matches!(error, Err(RpcError::Decode { .. })), "{error:?}");
}

#[tokio::test]
async fn every_call_fails_when_the_connection_ends_and_later_ones_at_once() {
    let (client, mut codex, mut driving) = plain();
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        background(&mut calls, &client, "m");
    }
    for _ in 0..5 {
        codex.call("m").await;
    }
    drop(codex);
    let why = driving.join_next().await.unwrap().unwrap();
    assert!(matches!(*why, ConnectionLost::Closed), "{why:?}");
    for outcome in calls.join_all().await {
        assert!(
            matches!(outcome, Err(RpcError::Closed { .. })),
            "{outcome:?}"
        );
    }
    assert!(matches!(
        call(&client, "m", SOON).await,
        Err(RpcError::Closed { .. })
    ));
}

#[tokio::test]
async fn dropping_the_driver_fails_every_call() {
    let (client, mut codex, mut driving) = plain();
    let mut calls = JoinSet::new();
    background(&mut calls, &client, "m");
    codex.call("m").await;
    driving.shutdown().await;
    let outcome = calls.join_next().await.unwrap().unwrap();
    let Err(RpcError::Closed { why, .. }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(**why, ConnectionLost::Ended), "{why:?}");
}

#[tokio::test]
async fn garbage_between_messages_is_skipped() {
    let (client, mut codex, _driving) = plain();
    let (answer, ()) = tokio::join!(call(&client, "m", SOON), async {
        let (id, _) = codex.call("m").await;
        codex.raw(b"\n\r\n{\"half\": \nnot json\n[]\n{\"id\":1}\n{\"method\":\"\xff\"}\n\x1b[31mlog\x1b[0m\n").await;
        codex.answer(&id, json!("fine")).await;
    });
    assert_eq!(answer.unwrap(), "fine");
}

#[tokio::test]
async fn a_line_of_five_megabytes_passes() {
    let (client, mut codex, _driving) = plain();
    let long = "日本語 \u{2028} text ".repeat(250_000);
    let (answer, ()) = tokio::join!(call(&client, "m", SOON), async {
        let (id, _) = codex.call("m").await;
        codex.answer(&id, json!(long)).await;
    });
    assert_eq!(answer.unwrap(), long.as_str());
}

#[tokio::test]
async fn a_line_beyond_the_limit_ends_the_connection_loudly() {
    let (client, mut codex, mut driving) = plain();
    let mut calls = JoinSet::new();
    background(&mut calls, &client, "m");
    codex.call("m").await;
    let flood = vec![b'x'; fake::MAX_LINE + 2];
    // The client may go before it has read all of it.
    let _ = timeout(SOON, async {
        use tokio::io::AsyncWriteExt as _;
        let _ = codex.outgoing().write_all(&flood).await;
        let _ = codex.outgoing().write_all(b"\n").await;
    })
    .await;
    let why = driving.join_next().await.unwrap().unwrap();
    assert!(
        matches!(*why, ConnectionLost::LineTooLong { bytes } if bytes == fake::MAX_LINE as u64 + 2),
        "{why:?}"
    );
    assert!(matches!(
        calls.join_next().await.unwrap().unwrap(),
        Err(RpcError::Closed { .. })
    ));
}

#[tokio::test]
async fn interrupting_a_turn_that_is_over_is_success_and_steering_it_is_not() {
    let (client, mut codex, _driving) = plain();
    let (thread, turn) = (ThreadId::from("t"), TurnId::from("u"));
    let (done, ()) = tokio::join!(client.turn_interrupt(&thread, &turn), async {
        let (id, params) = codex.call("turn/interrupt").await;
        assert_eq!(params, json!({"threadId": "t", "turnId": "u"}));
        codex
            .refuse(&id, -32600, "no active turn to interrupt")
            .await;
    });
    done.unwrap();
    let params = TurnSteerParams {
        thread_id: thread,
        expected_turn_id: turn,
        input: vec![UserInput::text("x")],
    };
    let (steered, ()) = tokio::join!(client.turn_steer(params), async {
        let (id, _) = codex.call("turn/steer").await;
        codex.refuse(&id, -32600, "no active turn to steer").await;
    });
    assert!(steered.unwrap_err().is_no_active_turn());
}
