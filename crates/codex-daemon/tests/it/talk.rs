//! Questions, sessions, settings, the plain form.

use std::time::Duration;

use codex_daemon::protocol::{Cursor, Event, Operation, Outcome, SessionView};
use nix::sys::signal::Signal;
use testkit::model::{Options, Script};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::stage::{SOON, Stage, files_below, signal, until};

#[tokio::test]
async fn a_cold_start_listens_and_a_clean_stop_leaves_nothing() {
    let test = "a_cold_start_listens_and_a_clean_stop_leaves_nothing";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let ran = stage.run(&["start", "--json", "--wait", "60"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let started: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(started["was_running"], false);
    println!("cold start to listening: {} ms", started["milliseconds"]);
    let again = stage.run(&["start"]).await;
    assert!(again.out.contains("already running"), "{again:?}");
    stage.ready().await;
    let answer = stage.run(&["ask", "hello"]).await;
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (0, "echo: hello\n"),
        "{answer:?}"
    );
    let healthy = stage.run(&["--health"]).await;
    assert_eq!(
        (healthy.code, healthy.out.as_str()),
        (0, "healthy\n"),
        "{healthy:?}"
    );

    assert_eq!(stage.run(&["stop"]).await.code, 0);
    stage.nothing_runs().await;
    assert_eq!(
        files_below(&stage.path("run/codex-daemon")),
        Vec::<std::path::PathBuf>::new()
    );
    let stopped = stage.run(&["status"]).await;
    assert_eq!(stopped.code, 3, "{stopped:?}");
    let log = std::fs::read_to_string(stage.state().join("daemon.log")).unwrap();
    assert!(!log.contains("hello"), "a prompt is in the log: {log}");
}

#[tokio::test]
async fn a_conversation_goes_on_and_settings_survive_a_restart() {
    let test = "a_conversation_goes_on_and_settings_survive_a_restart";
    let Some(stage) = Stage::new(test, Script::Remember).await else {
        return;
    };
    stage.start().await;
    let first = stage.run(&["ask", "my number is 4711"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let set = [
        "set",
        "--effort",
        "high",
        "--reasoning",
        "on",
        "--final-only",
        "on",
        "--json",
    ];
    let set = stage.run(&set).await;
    assert!(set.out.contains(r#""effort": "high""#), "{set:?}");
    let wrong = stage.run(&["set", "--effort", "hihg"]).await;
    assert!(wrong.code == 2 && wrong.err.contains("medium"), "{wrong:?}");
    assert_eq!(stage.run(&["restart"]).await.code, 0);
    let second = stage.run(&["ask", "what was it?"]).await;
    assert!(second.out.contains("4711"), "{second:?}");
    let show = stage.run(&["show", "--json"]).await;
    let view: SessionView = serde_json::from_str(&show.out).unwrap();
    assert_eq!(view.settings.effort.as_deref(), Some("high"));
    assert!(view.settings.reasoning && view.settings.final_only);
    assert_eq!(view.turns.len(), 2);

    let forked = stage.run(&["fork", "copy"]).await;
    assert_eq!(forked.code, 0, "{forked:?}");
    let copy = stage
        .run(&["ask", "--session", "copy", "what was it?"])
        .await;
    assert!(copy.out.contains("4711"), "{copy:?}");
    assert_eq!(stage.run(&["reset"]).await.code, 0);
    let anew = stage.run(&["ask", "what was it?"]).await;
    assert!(anew.code == 0 && !anew.out.contains("4711"), "{anew:?}");
    let list = stage.run(&["sessions"]).await;
    assert_eq!(list.out.lines().count(), 2, "{list:?}");
}

#[tokio::test]
async fn the_plain_form_answers_in_one_line() {
    let Some(stage) = Stage::new("the_plain_form_answers_in_one_line", Script::Echo).await else {
        return;
    };
    stage.start().await;
    let stream = UnixStream::connect(stage.socket()).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    for (call, answer) in [
        (
            r#"{"command":"/codex-ask","question":"who are you?"}"#,
            r#"{"success":true,"response":"echo: who are you?"}"#,
        ),
        (
            r#"{"command":"/codex-config","value":"high"}"#,
            r#"{"success":true,"response":"effort is high"}"#,
        ),
        (
            r#"{"command":"/codex-config","value":"hihg"}"#,
            "allowed are none, minimal, low, medium, high, xhigh",
        ),
        (
            r#"{"command":"/codex-reasoning","state":"on"}"#,
            "reasoning is on",
        ),
        (
            r#"{"command":"/codex-final_only","value":"maybe"}"#,
            "allowed are on, off",
        ),
        (
            r#"{"command":"/codex-status"}"#,
            r#"\"mode\":\"app-server\""#,
        ),
        (r#"{"command":"/codex-reset"}"#, "anew"),
        (r#"{"command":"/codex-help"}"#, "/codex-final_only"),
        (r#"{"command":"/codex-sing"}"#, "the commands are"),
        (r#"{"command":"/codex-ask"}"#, "`question` is missing"),
        (
            r#"{"hello":99}"#,
            "speaks version 1 of its protocol, not 99",
        ),
    ] {
        writer
            .write_all(format!("{call}\n").as_bytes())
            .await
            .unwrap();
        let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap();
        let line = line.unwrap().unwrap();
        assert!(line.contains(answer), "{call}: {line}");
    }
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let options = Options {
        script: Script::Slow,
        slow_delay: Duration::from_millis(20),
        slow_count: 60,
        ..Options::default()
    };
    let test = "a_client_that_comes_back_gets_what_it_missed";
    let Some(stage) = Stage::with(test, options).await else {
        return;
    };
    stage.start().await;
    let mut ask = stage.question("go on");
    let mut text = String::new();
    let mut last: Option<Cursor> = None;
    let mut client = stage.client().await;
    let call = client.send(Operation::Ask(ask.clone())).await.unwrap();
    while text.is_empty() {
        let line = client.next().await.unwrap();
        let codex_daemon::protocol::DaemonLine::Event { id, event, cursor } = line else {
            panic!("{line:?}")
        };
        assert_eq!(id, call);
        last = Some(cursor);
        if let Event::Delta { text: more, .. } = event {
            text.push_str(&more);
        }
    }
    drop(client);
    ask.after = last;
    let mut gaps = 0;
    let mut client = stage.client().await;
    let outcome = client.ask(&ask, |event, _| match event {
        Event::Delta { text: more, .. } => text.push_str(more),
        Event::Gap { .. } => gaps += 1,
        _ => {}
    });
    let outcome = outcome.await.unwrap();
    assert_eq!(gaps, 0);
    assert_eq!(outcome, Outcome::Completed { text: text.clone() });
    // Once more, and it's over: nothing is asked again.
    let requests = stage.model.requests().len();
    let over = stage.client().await.ask(&ask, |_, _| ()).await.unwrap();
    assert_eq!(over, Outcome::Completed { text });
    assert_eq!(stage.model.requests().len(), requests);
}

#[tokio::test]
async fn an_interrupt_ends_the_question_and_its_command() {
    let test = "an_interrupt_ends_the_question_and_its_command";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.start().await;
    // By a file: a process that has the command in its own arguments would be taken for it.
    let question = "#script:shell\n#cmd:sleep 4321";
    std::fs::write(stage.path("work/q.txt"), question).unwrap();
    let mut child = stage.command(&["ask", "--json", "-f", "q.txt"]);
    let mut child = child.spawn().unwrap();
    until("the command runs", async || {
        !testkit::procs::with_command("sleep 4321").is_empty()
    })
    .await;
    signal(i32::try_from(child.id().unwrap()).unwrap(), Signal::SIGINT);
    let status = tokio::time::timeout(SOON, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(130));
    let left = testkit::procs::wait_until_gone(|| testkit::procs::with_command("sleep 4321"), SOON);
    left.await.unwrap();
    let next = stage.run(&["ask", "still there?"]).await;
    assert_eq!(next.out, "echo: still there?\n", "{next:?}");
}

#[tokio::test]
async fn the_question_comes_from_an_argument_a_file_or_standard_input() {
    let test = "the_question_comes_from_an_argument_a_file_or_standard_input";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    std::fs::write(stage.path("work/q.txt"), "from a file").unwrap();
    let file = stage.run(&["ask", "-f", "q.txt"]).await;
    assert_eq!(
        (file.code, file.out.as_str()),
        (0, "echo: from a file\n"),
        "{file:?}"
    );
    let mut child = stage.command(&["ask", "--cwd", stage.path("other").to_str().unwrap()]);
    let mut child = child
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"from a pipe").await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "echo: from a pipe\n"
    );
    let empty = stage.run(&["ask", " "]).await;
    assert_eq!(empty.code, 2, "{empty:?}");
    let nowhere = stage.run(&["ask", "--cwd", "/nowhere", "hi"]).await;
    assert!(
        nowhere.code == 2 && nowhere.err.contains("`cwd`"),
        "{nowhere:?}"
    );
}
