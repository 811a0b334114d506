//! The fake CLI, in memory and as a process of its own.

use std::{io, path::Path, time::Duration};

use serde_json::{Value, json};
use supervisor::{ChildEnv, Guard, Ladder, Line, SessionMark, Spec, StopStep};
use testkit::{
    clock,
    fake_codex::{End, FakeCodex},
    roles,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, Split, WriteHalf},
    task::JoinSet,
};

/// A client of the fake, in memory.
struct Client {
    lines: Split<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
    fake: JoinSet<io::Result<End>>,
    next: u64,
    seen: Vec<Value>,
}

impl Client {
    fn new(home: Option<&Path>) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let mut fake = JoinSet::new();
        let home = home.map(Path::to_owned);
        fake.spawn(
            FakeCodex {
                home,
                ..FakeCodex::default()
            }
            .serve(reader, writer),
        );
        let (reader, writer) = tokio::io::split(ours);
        Self {
            lines: BufReader::new(reader).split(b'\n'),
            writer,
            fake,
            next: 0,
            seen: Vec::new(),
        }
    }

    async fn send(&mut self, message: &Value) {
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.next_segment().await.unwrap()?;
            if let Ok(message @ Value::Object(_)) = serde_json::from_slice::<Value>(&line) {
                self.seen.push(message.clone());
                return Some(message);
            }
        }
    }

    /// The answer's result, or its error's message.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"id": id, "method": method, "params": params}))
            .await;
        loop {
            let message = self.hear().await.expect("an answer");
            if message["id"] == id {
                return match message["error"]["message"].as_str() {
                    Some(error) => {
                        assert_eq!(message["error"]["code"], -32600);
                        Err(error.to_owned())
                    }
                    None => Ok(message["result"].clone()),
                };
            }
        }
    }

    async fn thread(&mut self) -> String {
        let info = json!({"clientInfo": {"name": "t"}, "capabilities": {"experimentalApi": true}});
        self.call("initialize", info).await.unwrap();
        let started = self
            .call("thread/start", json!({"cwd": "/work"}))
            .await
            .unwrap();
        assert_eq!(started["cwd"], "/work");
        started["thread"]["id"].as_str().unwrap().to_owned()
    }

    async fn start(&mut self, thread: &str, prompt: &str) -> String {
        let params = json!({"threadId": thread, "input": [{"type": "text", "text": prompt}]});
        self.call("turn/start", params).await.unwrap()["turn"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Reads to the turn's end. Gives its status and the text of its deltas.
    async fn end(&mut self) -> (String, String) {
        while let Some(message) = self.hear().await {
            if message["method"] == "turn/completed" {
                return (
                    message["params"]["turn"]["status"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                    self.deltas(),
                );
            }
        }
        ("closed".to_owned(), self.deltas())
    }

    fn deltas(&mut self) -> String {
        let seen = std::mem::take(&mut self.seen);
        let deltas = seen
            .iter()
            .filter(|message| message["method"] == "item/agentMessage/delta");
        deltas
            .map(|message| message["params"]["delta"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn turn(&mut self, thread: &str, prompt: &str) -> (String, String) {
        self.start(thread, prompt).await;
        self.end().await
    }
}

#[tokio::test]
async fn the_order_of_requests_is_checked_as_codex_does() {
    let mut client = Client::new(None);
    client.send(&json!("not a request")).await;
    assert_eq!(
        client.call("thread/start", json!({})).await.unwrap_err(),
        "Not initialized"
    );
    client
        .call("initialize", json!({"clientInfo": {"name": "t"}}))
        .await
        .unwrap();
    let clean = client
        .call("thread/backgroundTerminals/clean", json!({}))
        .await
        .unwrap_err();
    assert!(clean.contains("requires experimentalApi"), "{clean}");
    let unknown = client
        .call("turn/start", json!({"threadId": "x"}))
        .await
        .unwrap_err();
    assert_eq!(unknown, "thread not found: x");
    let unknown = client
        .call("thread/resume", json!({"threadId": "../x"}))
        .await
        .unwrap_err();
    assert_eq!(unknown, "no rollout found for thread id ../x");
    assert!(
        client
            .call("no/such", json!({}))
            .await
            .unwrap_err()
            .contains("unknown variant `no/such`")
    );
}

#[tokio::test]
async fn a_prompt_is_performed_line_by_line() {
    let mut client = Client::new(None);
    let thread = client.thread().await;
    assert_eq!(
        client.turn(&thread, "hi").await,
        ("completed".into(), "fake: hi".into())
    );
    let (status, text) = client
        .turn(
            &thread,
            "#fake:deltas count=3 size=24\n#fake:garbage\n#fake:say end",
        )
        .await;
    assert_eq!(
        (status.as_str(), clock::stamps_in(&text).len()),
        ("completed", 3)
    );
    assert!(text.ends_with("end"), "{text}");
    let (status, text) = client.turn(&thread, "#fake:replay shell").await;
    assert_eq!(status, "completed");
    assert!(text.starts_with("I will run a command."), "{text}");
    let (status, _) = client.turn(&thread, "#fake:fail why not").await;
    assert_eq!(status, "failed");
    client.start(&thread, "#fake:halfline").await;
    assert_eq!(client.end().await.0, "closed");
    assert_eq!(
        client.fake.join_next().await.unwrap().unwrap().unwrap(),
        End::Exit(1)
    );
}

#[tokio::test]
async fn an_interrupt_ends_a_turn_unless_it_is_ignored() {
    let mut client = Client::new(None);
    let thread = client.thread().await;
    let turn = client.start(&thread, "#fake:hang").await;
    let target = json!({"threadId": thread, "turnId": turn});
    client.call("turn/interrupt", target.clone()).await.unwrap();
    assert_eq!(client.end().await.0, "interrupted");

    let turn = client
        .start(
            &thread,
            "#fake:ignore-interrupt\n#fake:say deaf\n#fake:wait millis=50",
        )
        .await;
    while client.hear().await.unwrap()["method"] != "item/agentMessage/delta" {}
    client
        .call(
            "turn/interrupt",
            json!({"threadId": thread, "turnId": turn}),
        )
        .await
        .unwrap();
    assert_eq!(client.end().await.0, "completed");
    let late = client.call("turn/interrupt", target).await.unwrap_err();
    assert_eq!(late, "no active turn to interrupt");
}

#[tokio::test]
async fn another_process_can_resume_a_thread_that_had_a_turn() {
    let home = tempfile::tempdir().unwrap();
    let mut first = Client::new(Some(home.path()));
    let thread = first.thread().await;
    first.turn(&thread, "one").await;
    drop(first);
    let mut second = Client::new(Some(home.path()));
    second.thread().await;
    second
        .call("thread/resume", json!({"threadId": thread}))
        .await
        .unwrap();
    let (_, text) = second.turn(&thread, "#fake:history").await;
    assert_eq!(text, "one | #fake:history");
}

fn spec(program: &Path, env: ChildEnv, arguments: &[&str]) -> Spec {
    Spec {
        program: program.to_owned(),
        args: arguments.iter().map(Into::into).collect(),
        env,
        cwd: "/".into(),
        session: SessionMark::new("testkit"),
        max_line: 1 << 20,
        stderr_tail: 4096,
    }
}

const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_secs(5),
    after_term: Duration::from_secs(2),
    kill_deadline: Duration::from_secs(3),
};

#[tokio::test]
async fn this_test_binary_is_its_own_guard_and_its_own_fake_codex() {
    let (program, variables) = roles::fake_codex();
    let env = variables.into_iter().collect();
    let child = Guard::own()
        .spawn(spec(&program, env, &["-c", "a=b", "app-server"]))
        .await
        .unwrap();
    let (mut stdin, mut stdout, process) = child.split();
    let hello = json!({"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t"}}});
    stdin
        .write_all(format!("{hello}\n").as_bytes())
        .await
        .unwrap();
    let Some(Line::Complete(line)) = stdout.next().await.unwrap() else {
        panic!("no answer")
    };
    let answer: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(answer["result"]["userAgent"], "t/0.169.0 (fake)");
    drop(stdin);
    let report = process.shutdown(&LADDER).await;
    assert!(
        matches!(report.step, StopStep::StdinClosed | StopStep::AlreadyExited),
        "{report:?}"
    );
}

#[tokio::test]
async fn an_installed_fake_codex_needs_no_environment() {
    let folder = tempfile::tempdir().unwrap();
    let program = roles::install_fake_codex(folder.path()).unwrap();
    let child = Guard::own()
        .spawn(spec(&program, ChildEnv::default(), &["--version"]))
        .await
        .unwrap();
    let (_stdin, mut stdout, _process) = child.split();
    let Some(Line::Complete(line)) = stdout.next().await.unwrap() else {
        panic!("no version")
    };
    assert_eq!(line, "codex-cli 0.169.0");
}
