//! Many at once.

use std::{sync::Mutex, time::Duration};

use codex_daemon::protocol::{Event, Outcome};
use futures::future::join_all;
use testkit::model::{Options, Script};

use crate::stage::Stage;

#[tokio::test]
async fn three_clients_are_answered_at_the_same_time() {
    let options = Options {
        script: Script::Slow,
        slow_delay: Duration::from_millis(100),
        slow_count: 30,
        ..Options::default()
    };
    let test = "three_clients_are_answered_at_the_same_time";
    let Some(stage) = Stage::with(test, options).await else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    let order = Mutex::new(Vec::new());
    let ask = async |name: &str| {
        let mut client = stage.client().await;
        let question = stage.question_in(name, "go");
        let outcome = client.ask(&question, |event, _| match event {
            Event::Started { .. } => order.lock().unwrap().push("started"),
            Event::Ended { .. } => order.lock().unwrap().push("ended"),
            _ => {}
        });
        assert!(matches!(outcome.await.unwrap(), Outcome::Completed { .. }));
    };
    join_all(["a", "b", "c"].map(&ask)).await;
    let order = order.into_inner().unwrap();
    assert_eq!(
        order[..3],
        ["started"; 3],
        "none waits for another: {order:?}"
    );
}

#[tokio::test]
async fn one_session_answers_in_order_and_tells_the_position() {
    let options = Options {
        script: Script::Echo,
        slow_delay: Duration::from_millis(50),
        slow_count: 20,
        ..Options::default()
    };
    let test = "one_session_answers_in_order_and_tells_the_position";
    let Some(mut stage) = Stage::with(test, options).await else {
        return;
    };
    stage.set("CODEX_DAEMON_MAX_QUEUE", "2");
    stage.start().await;
    stage.ready().await;
    let mut clients = Vec::new();
    for (index, text) in ["#script:slow", "second", "third"].into_iter().enumerate() {
        let mut client = stage.client().await;
        let question = stage.question(text);
        client
            .send(codex_daemon::protocol::Operation::Ask(question))
            .await
            .unwrap();
        // Its first event says where it stands, so the next one comes after it.
        let line = client.next().await.unwrap();
        let codex_daemon::protocol::DaemonLine::Event { event, .. } = line else {
            panic!("{line:?}")
        };
        match event {
            Event::Started { .. } => assert_eq!(index, 0),
            Event::Queued { position, .. } => assert_eq!(position, index),
            other => panic!("{other:?}"),
        }
        clients.push(client);
    }
    let full = stage
        .client()
        .await
        .ask(&stage.question("fourth"), |_, _| ())
        .await;
    let full = full.unwrap_err().to_string();
    assert!(
        full.contains("2 questions of this session wait already"),
        "{full}"
    );
    let mut ended = Vec::new();
    for client in &mut clients {
        loop {
            if let codex_daemon::protocol::DaemonLine::Ok { ok, .. } = client.next().await.unwrap()
            {
                ended.push(ok["text"].as_str().unwrap().to_owned());
                break;
            }
        }
    }
    assert_eq!(ended[1..], ["echo: second", "echo: third"]);
}

#[tokio::test]
async fn fifty_clients_and_five_hundred_questions_go_without_an_error() {
    let test = "fifty_clients_and_five_hundred_questions_go_without_an_error";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    let client = async |number: usize| {
        let mut client = stage.client().await;
        for round in 0..10 {
            let text = format!("{number}-{round}");
            let question = stage.question_in(&format!("s{number}"), &text);
            let outcome = client.ask(&question, |_, _| ()).await.unwrap();
            assert_eq!(outcome.text(), format!("echo: {text}"));
        }
    };
    join_all((0..50).map(client)).await;
    let (status, _) = stage.ready().await;
    assert_eq!(
        (status.turns, status.failed_turns, status.restarts),
        (500, 0, 0),
        "{status:?}"
    );
    println!("after 500 questions: {status:?}");
}
