//! The fake Claude Code, in memory.

use std::{io, path::Path};

use serde_json::{Value, json};
use testkit::{clock, fake_claude::FakeClaude, notes::Notebook};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, Split, WriteHalf},
    task::JoinSet,
};

const FLAGS: [&str; 3] = [
    "--include-partial-messages",
    "--permission-mode=bypassPermissions",
    "--permission-prompt-tool=stdio",
];

/// A host of the fake, in memory.
struct Host {
    lines: Split<BufReader<ReadHalf<DuplexStream>>>,
    stdin: Option<WriteHalf<DuplexStream>>,
    fake: JoinSet<io::Result<u8>>,
    /// What the host answers when it is asked.
    answer: Value,
    next: u64,
}

/// What a turn showed.
#[derive(Debug, Default)]
struct Turn {
    deltas: String,
    /// Types and subtypes in order, without deltas.
    kinds: Vec<String>,
    result: Value,
}

impl Turn {
    fn subtype(&self) -> &str {
        self.result["subtype"].as_str().unwrap_or_default()
    }

    fn text(&self) -> &str {
        self.result["result"].as_str().unwrap_or_default()
    }
}

impl Host {
    fn new(config: Option<&Path>, more: &[&str]) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let arguments = FLAGS.iter().chain(more).map(|&flag| flag.to_owned());
        let fake = FakeClaude {
            notes: Notebook::default(),
            config: config.map(Path::to_owned),
            folder: "/work/here".into(),
            arguments: arguments.collect(),
        };
        let mut serving = JoinSet::new();
        serving.spawn(fake.serve(reader, writer, tokio::io::sink()));
        let (reader, writer) = tokio::io::split(ours);
        Self {
            lines: BufReader::new(reader).split(b'\n'),
            stdin: Some(writer),
            fake: serving,
            answer: json!({}),
            next: 0,
        }
    }

    async fn write(&mut self, line: &str) {
        let line = format!("{line}\n");
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.next_segment().await.unwrap()?;
            if let Ok(message @ Value::Object(_)) = serde_json::from_slice::<Value>(&line) {
                return Some(message);
            }
        }
    }

    async fn request(&mut self, request: Value) -> String {
        self.next += 1;
        let id = format!("host-{}", self.next);
        let line = json!({"type": "control_request", "request_id": id, "request": request});
        self.write(&line.to_string()).await;
        id
    }

    /// Sends a request and reads to its answer.
    async fn call(&mut self, request: Value) -> Value {
        let id = self.request(request).await;
        loop {
            let message = self.hear().await.expect("an answer");
            if message["response"]["request_id"] == *id {
                return message["response"].clone();
            }
        }
    }

    async fn prompt(&mut self, text: &str) {
        let message = json!({"role": "user", "content": text});
        self.write(&json!({"type": "user", "message": message, "uuid": "u-1"}).to_string())
            .await;
    }

    /// Reads to the turn's end; `None` if the fake ends before.
    async fn end(&mut self) -> Option<Turn> {
        let mut turn = Turn::default();
        loop {
            let message = self.hear().await?;
            let kind = message["type"].as_str().unwrap_or("?").to_owned();
            if let Some(delta) = message["event"]["delta"]["text"].as_str() {
                turn.deltas.push_str(delta);
            } else {
                let further = message["subtype"]
                    .as_str()
                    .or(message["event"]["type"].as_str());
                turn.kinds
                    .push(further.map_or(kind.clone(), |further| format!("{kind}/{further}")));
            }
            if kind == "control_request" {
                let response = json!({
                    "subtype": "success", "request_id": message["request_id"], "response": self.answer,
                });
                self.write(&json!({"type": "control_response", "response": response}).to_string())
                    .await;
            }
            if kind == "result" {
                turn.result = message;
                return Some(turn);
            }
        }
    }

    async fn turn(&mut self, text: &str) -> Turn {
        self.prompt(text).await;
        self.end().await.expect("a result")
    }

    /// Closes the fake's input and gives its exit code.
    async fn close(mut self) -> u8 {
        drop(self.stdin.take());
        drop(self.lines);
        self.fake.join_next().await.unwrap().unwrap().unwrap()
    }

    async fn exit(&mut self) -> u8 {
        while self.hear().await.is_some() {}
        self.fake.join_next().await.unwrap().unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_turn_has_the_clis_order_and_its_figures_run_on() {
    let mut host = Host::new(None, &["--model=m-1"]);
    let answer = host.call(json!({"subtype": "initialize"})).await;
    assert!(answer["response"]["commands"].is_array());
    let turn = host.turn("hi").await;
    assert_eq!(
        turn.kinds,
        [
            "command_lifecycle",
            "command_lifecycle",
            "system/init",
            "system/status",
            "stream_event/message_start",
            "stream_event/content_block_start",
            "assistant",
            "stream_event/content_block_stop",
            "stream_event/message_delta",
            "stream_event/message_stop",
            "result/success",
        ]
    );
    assert_eq!(
        (turn.text(), turn.deltas.as_str()),
        ("fake: hi", "fake: hi")
    );
    let second = host.turn("#fake:say a\n#fake:say b").await;
    assert_eq!(second.result["usage"]["output_tokens"], 40);
    assert_eq!(second.result["modelUsage"]["m-1"]["outputTokens"], 60);
    assert_eq!(host.close().await, 0);
}

#[tokio::test]
async fn a_prompt_is_performed_line_by_line() {
    let mut host = Host::new(None, &[]);
    let turn = host
        .turn("#fake:deltas count=3 size=24\n#fake:garbage\n#fake:stderr x\n#fake:say end")
        .await;
    assert_eq!(clock::stamps_in(&turn.deltas).len(), 3);
    assert!(turn.kinds.contains(&"no_such_type".to_owned()), "{turn:?}");
    assert_eq!(turn.text(), "end");

    let turn = host.turn("#fake:replay bash").await;
    assert!(turn.text().starts_with("The command finished"), "{turn:?}");
    let turn = host
        .turn("#fake:void gone\n#fake:retry 529 overloaded\n#fake:whole here")
        .await;
    assert_eq!((turn.deltas.as_str(), turn.text()), ("gone", "here"));
    let turn = host.turn("#fake:subagent found").await;
    let news = ["system/task_started", "system/task_notification"].map(str::to_owned);
    assert!(
        news.iter().all(|line| turn.kinds.contains(line)),
        "{turn:?}"
    );

    let failed = host.turn("#fake:fail 429 rate_limit Too much").await;
    let result = &failed.result;
    assert_eq!(
        (&result["is_error"], &result["api_error_status"]),
        (&json!(true), &json!(429))
    );
    assert_eq!((failed.subtype(), failed.text()), ("success", "Too much"));
    let ended = host.turn("#fake:end error_max_turns max_turns").await;
    assert_eq!(ended.subtype(), "error_max_turns");
    assert_eq!(host.close().await, 1, "the last result was an error");

    let mut host = Host::new(None, &[]);
    host.prompt("#fake:halfline").await;
    assert!(host.end().await.is_none());
    assert_eq!(host.exit().await, 1);
    let mut host = Host::new(None, &[]);
    host.prompt("#fake:exit 7").await;
    assert_eq!(host.exit().await, 7);
}

#[tokio::test]
async fn an_interrupt_is_answered_before_the_turn_ends_unless_it_is_ignored() {
    let mut host = Host::new(None, &[]);
    host.prompt("#fake:deltas count=1000 rate=100").await;
    while host.hear().await.unwrap()["event"]["delta"].is_null() {}
    let answer = host.call(json!({"subtype": "interrupt"})).await;
    assert_eq!(answer["subtype"], "success");
    let turn = host.end().await.unwrap();
    assert_eq!(turn.subtype(), "error_during_execution");
    assert_eq!(turn.result["terminal_reason"], "aborted_streaming");
    assert!(turn.result.get("result").is_none());
    assert_eq!(turn.kinds[..2], ["assistant", "user"]);

    let idle = host.call(json!({"subtype": "interrupt"})).await;
    assert_eq!(idle["subtype"], "success");
    host.prompt("#fake:ignore-interrupt\n#fake:say deaf\n#fake:wait millis=200")
        .await;
    while host.hear().await.unwrap()["event"]["delta"].is_null() {}
    host.call(json!({"subtype": "interrupt"})).await;
    assert_eq!(host.end().await.unwrap().text(), "deaf");
}

#[tokio::test]
async fn an_interrupt_withdraws_what_the_host_was_asked() {
    let mut host = Host::new(None, &[]);
    host.prompt("#fake:permit touch a").await;
    let asked = loop {
        let message = host.hear().await.unwrap();
        if message["type"] == "control_request" {
            break message["request_id"].clone();
        }
    };
    host.request(json!({"subtype": "interrupt"})).await;
    let mut order = Vec::new();
    let result = loop {
        let message = host.hear().await.unwrap();
        order.push(message["type"].as_str().unwrap().to_owned());
        if message["type"] == "control_cancel_request" {
            assert_eq!(message["request_id"], asked);
        }
        if message["type"] == "result" {
            break message;
        }
    };
    let begin = [
        "control_cancel_request",
        "control_response",
        "user",
        "user",
        "result",
    ];
    assert_eq!(order, begin);
    assert_eq!(result["terminal_reason"], "aborted_tools");
}

#[tokio::test]
async fn the_host_is_asked_and_its_answer_counts() {
    let mut host = Host::new(None, &[]);
    let hooks = json!({"PreToolUse": [{"matcher": "Bash", "hookCallbackIds": ["pre"]}]});
    host.call(json!({"subtype": "initialize", "hooks": hooks}))
        .await;
    host.answer = json!({"behavior": "allow", "updatedInput": {"answers": {"Which?": "b"}}});
    let turn = host.turn("#fake:ask Which?|a|b").await;
    assert!(turn.text().contains("\"Which?\"=\"b\""), "{turn:?}");
    host.answer = json!({"behavior": "deny", "message": "no", "interrupt": true});
    let turn = host.turn("#fake:permit touch a").await;
    assert_eq!(turn.result["terminal_reason"], "aborted_tools");
    host.answer = json!({"decision": "block"});
    let turn = host.turn("#fake:hook PreToolUse").await;
    assert_eq!(turn.text(), r#"[{"decision":"block"}]"#);
    let mode = json!({"subtype": "set_permission_mode", "mode": "plan"});
    assert_eq!(host.call(mode).await["response"]["mode"], "plan");
    let seen: Value = serde_json::from_str(host.turn("#fake:seen").await.text()).unwrap();
    assert_eq!(
        (&seen["mode"], &seen["initialize"]["hooks"]),
        (&json!("plan"), &hooks)
    );
    assert_eq!(seen["arguments"], json!(FLAGS));
    let unknown = host.call(json!({"subtype": "no_such"})).await;
    assert_eq!(unknown["error_code"], "unsupported_request");
}

#[tokio::test]
async fn prompts_that_wait_become_one_turn_and_others_come_unasked() {
    let mut host = Host::new(None, &[]);
    host.prompt("#fake:wait millis=50\n#fake:say first").await;
    host.prompt("#fake:say second").await;
    host.prompt("#fake:say third").await;
    assert_eq!(host.end().await.unwrap().text(), "first");
    let both = host.end().await.unwrap();
    assert_eq!(
        (both.deltas.as_str(), both.text()),
        ("secondthird", "third")
    );
    host.turn("#fake:later millis=10 say nobody asked").await;
    let unasked = host.end().await.unwrap();
    assert_eq!(unasked.text(), "nobody asked");
    assert!(
        unasked
            .kinds
            .contains(&"system/task_notification".to_owned())
    );
}

#[tokio::test]
async fn malformed_input_ends_the_fake_and_odd_input_does_not() {
    let fatal = [
        "this is not json",
        r#"{"type":"user"}"#,
        r#"{"type":"user","message":{"role":"assistant","content":"x"}}"#,
        r#"{"type":"control_request","request_id":"z"}"#,
    ];
    for line in fatal {
        let mut host = Host::new(None, &[]);
        host.write(line).await;
        assert_eq!(host.exit().await, 1, "{line}");
    }
    let mut host = Host::new(None, &[]);
    for line in [
        "",
        "[1,2]",
        r#"{"type":"wat"}"#,
        "{\"type\":\"keep_alive\"}\r",
    ] {
        host.write(line).await;
    }
    assert_eq!(host.turn("hi").await.text(), "fake: hi");
}

#[tokio::test]
async fn another_process_can_resume_a_session_that_had_a_turn() {
    const ID: &str = "11111111-2222-4333-8444-555555555555";
    let config = tempfile::tempdir().unwrap();
    let new = format!("--session-id={ID}");
    let mut first = Host::new(Some(config.path()), &[&new]);
    assert_eq!(first.turn("one").await.result["session_id"], ID);
    first.close().await;
    assert_eq!(
        Host::new(Some(config.path()), &[&new]).exit().await,
        1,
        "in use"
    );

    let resume = format!("--resume={ID}");
    let mut second = Host::new(Some(config.path()), &[&resume]);
    assert_eq!(
        second.turn("#fake:history").await.text(),
        "one | #fake:history"
    );
    let mut unknown = Host::new(Some(config.path()), &["--resume=unknown"]);
    let refused = unknown.end().await.unwrap();
    assert_eq!(refused.subtype(), "error_during_execution");
    assert_eq!(unknown.exit().await, 1);
}
