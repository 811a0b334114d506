//! Clients that don't behave.

use std::time::Duration;

use codex_daemon::protocol::{Operation, StatusView};
use testkit::model::{Options, Script};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::stage::{SOON, Stage, until};

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody_and_is_let_go() {
    let options = Options {
        script: Script::Echo,
        huge_bytes: 8 << 20,
        ..Options::default()
    };
    let test = "a_client_that_never_reads_holds_up_nobody_and_is_let_go";
    let Some(mut stage) = Stage::with(test, options).await else {
        return;
    };
    stage.set("CODEX_DAEMON_CLIENT_STALL_SECONDS", "2");
    stage.start().await;
    stage.ready().await;
    let mut deaf = UnixStream::connect(stage.socket()).await.unwrap();
    let ask = stage.question_in("huge", "#script:huge");
    let mut call = serde_json::to_value(Operation::Ask(ask)).unwrap();
    call["id"] = 1.into();
    deaf.write_all(format!("{call}\n").as_bytes())
        .await
        .unwrap();
    let answer = stage.run(&["ask", "meanwhile"]).await;
    assert_eq!(answer.out, "echo: meanwhile\n", "{answer:?}");
    until("the huge answer is whole", async || {
        let show = stage.run(&["show", "--session", "huge", "--json"]).await;
        show.out.contains("completed")
    })
    .await;
    let mut client = stage.client().await;
    until("it is let go", async || {
        let status: StatusView = client.call(Operation::Status {}).await.unwrap();
        status.clients == 1
    })
    .await;
    let status: StatusView = client.call(Operation::Status {}).await.unwrap();
    assert!(status.rss < 200 << 20, "{status:?}");
    drop(deaf);
}

#[tokio::test]
async fn garbage_and_a_line_of_100_mb_get_an_error_and_the_next_line_is_served() {
    let test = "garbage_and_a_line_of_100_mb_get_an_error_and_the_next_line_is_served";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.start().await;
    let (before, _) = stage.ready().await;
    let stream = UnixStream::connect(stage.socket()).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut answered = async || {
        let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap();
        line.unwrap().unwrap()
    };
    for garbage in [
        &b"\xff\xfe\0\x01"[..],
        b"{",
        b"null",
        b"[1,2]",
        br#"{"id":1}"#,
        br#"{"id":1,"op":5}"#,
    ] {
        writer.write_all(garbage).await.unwrap();
        writer.write_all(b"\n").await.unwrap();
        let line = answered().await;
        assert!(line.contains("bad-request"), "{line}");
    }
    let block = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        writer.write_all(&block).await.unwrap();
    }
    writer.write_all(b"\n").await.unwrap();
    let line = answered().await;
    assert!(
        line.contains("too-long") && line.contains("104857600"),
        "{line}"
    );
    writer
        .write_all(b"{\"id\":2,\"op\":\"status\"}\n")
        .await
        .unwrap();
    let line = answered().await;
    assert!(line.contains(r#""ok""#), "{line}");
    let (after, _) = stage.ready().await;
    assert!(
        after.rss < before.rss + (40 << 20),
        "{} → {}",
        before.rss,
        after.rss
    );
}

#[tokio::test]
async fn too_many_clients_are_turned_away_with_a_word() {
    let test = "too_many_clients_are_turned_away_with_a_word";
    let Some(mut stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.set("CODEX_DAEMON_MAX_CLIENTS", "3");
    stage.start().await;
    let mut clients = Vec::new();
    until("three are in", async || {
        if let Ok(client) = codex_daemon::client::Client::connect(&stage.socket()).await {
            clients.push(client);
        }
        clients.len() == 3
    })
    .await;
    let mut refused = String::new();
    let mut one_more = UnixStream::connect(stage.socket()).await.unwrap();
    let read = tokio::time::timeout(SOON, one_more.read_to_string(&mut refused));
    read.await.unwrap().unwrap();
    assert!(
        refused.contains("busy") && refused.contains("max_clients"),
        "{refused}"
    );
    clients.pop();
    until("there is room again", async || {
        tokio::time::sleep(Duration::from_millis(10)).await;
        codex_daemon::client::Client::connect(&stage.socket())
            .await
            .is_ok()
    })
    .await;
}
