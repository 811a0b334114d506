//! The scripted model against the CLI it is made for.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use supervisor::{ChildEnv, Guard, Line, LineReader, Process, SessionMark, Spec};
use testkit::{
    cli,
    model::{ModelServer, Options, Script},
};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, ChildStdout},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "sk-test-real-codex";

/// An app-server and its first thread.
struct Codex {
    stdin: ChildStdin,
    stdout: LineReader<ChildStdout>,
    _process: Process,
    thread: String,
    next: u64,
}

/// What a turn showed.
#[derive(Debug, Default)]
struct Turn {
    status: String,
    deltas: String,
    /// The completed items, by type; an agent's message by its text.
    items: Vec<String>,
    retries: usize,
}

impl Codex {
    async fn start(program: &Path, model: &ModelServer, folder: &Path) -> Self {
        let home = folder.join("home");
        std::fs::create_dir(&home).unwrap();
        let env: ChildEnv = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".as_ref()),
            ("HOME", home.as_os_str()),
            ("CODEX_HOME", home.as_os_str()),
        ]
        .into_iter()
        .collect();
        let arguments = [
            "app-server",
            "-c",
            "check_for_update_on_startup=false",
            "-c",
            "analytics.enabled=false",
        ];
        let spec = Spec {
            program: program.to_owned(),
            args: arguments.iter().map(Into::into).collect(),
            env,
            cwd: folder.to_owned(),
            session: SessionMark::new("testkit-real"),
            max_line: 64 << 20,
            stderr_tail: 4096,
        };
        let (stdin, stdout, process) = Guard::own().spawn(spec).await.unwrap().split();
        let mut codex = Self {
            stdin,
            stdout,
            _process: process,
            thread: String::new(),
            next: 0,
        };
        let info = json!({
            "clientInfo": {"name": "testkit", "title": "testkit", "version": "0"},
            "capabilities": {"experimentalApi": true},
        });
        codex.call("initialize", info).await;
        codex.send(&json!({"method": "initialized"})).await;
        let provider = json!({
            "name": "scripted", "base_url": model.base_url(), "wire_api": "responses",
            "experimental_bearer_token": KEY, "request_max_retries": 1, "stream_max_retries": 2,
        });
        let params = json!({
            "cwd": folder, "sandbox": "danger-full-access", "approvalPolicy": "never",
            "model": "mock-model", "modelProvider": "scripted",
            "config": {"model_providers": {"scripted": provider}, "features": {"shell_snapshot": false}},
        });
        let started = codex.call("thread/start", params).await;
        codex.thread = started["thread"]["id"].as_str().unwrap().to_owned();
        codex
    }

    async fn send(&mut self, message: &Value) {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.stdout.next())
            .await
            .expect("codex is silent")
            .unwrap();
        match line {
            Some(Line::Complete(line)) => serde_json::from_slice(&line).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"id": id, "method": method, "params": params}))
            .await;
        loop {
            let message = self.hear().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    async fn turn(&mut self, prompt: &str) -> Turn {
        self.next += 1;
        let input = json!([{"type": "text", "text": prompt}]);
        let params = json!({"threadId": self.thread, "input": input});
        self.send(&json!({"id": self.next, "method": "turn/start", "params": params}))
            .await;
        let mut turn = Turn::default();
        loop {
            let message = self.hear().await;
            let params = &message["params"];
            match message["method"].as_str().unwrap_or_default() {
                "item/agentMessage/delta" => {
                    turn.deltas.push_str(params["delta"].as_str().unwrap())
                }
                "item/completed" => {
                    let item = &params["item"];
                    let kind = item["type"].as_str().unwrap();
                    turn.items.push(
                        if kind == "agentMessage" {
                            item["text"].as_str().unwrap()
                        } else {
                            kind
                        }
                        .to_owned(),
                    );
                }
                "error" => turn.retries += usize::from(params["willRetry"] == true),
                "turn/completed" => {
                    turn.status = params["turn"]["status"].as_str().unwrap().to_owned();
                    return turn;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn the_real_codex_takes_the_scripted_model_for_a_provider() {
    let Some(program) =
        cli::require_codex("the_real_codex_takes_the_scripted_model_for_a_provider")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "first\nold\nlast\n").unwrap();
    let options = Options {
        huge_bytes: 256 * 1024,
        ..Options::default()
    };
    let model = ModelServer::start(options).await.unwrap();
    let mut codex = Codex::start(&program, &model, folder.path()).await;

    for script in [
        Script::Text,
        Script::Unicode,
        Script::Huge,
        Script::Garbage,
        Script::Remember,
    ] {
        model.forget();
        let turn = codex.turn(&format!("#script:{script}")).await;
        assert_eq!(
            (turn.status.as_str(), turn.deltas.as_str()),
            ("completed", model.spoken().text().as_str()),
            "{script}"
        );
        let request = model.requests().pop().unwrap();
        assert_eq!(
            (request.bearer(), request.thread()),
            (Some(KEY), Some(codex.thread.as_str())),
            "{script}"
        );
    }
    assert!(
        model
            .spoken()
            .text()
            .contains("#script:text | #script:unicode")
    );

    let turn = codex.turn("#script:edit\n#cmd:a.txt|old|new").await;
    assert_eq!(
        turn.items[1..],
        ["I will change a.txt.", "fileChange", "The file is changed."]
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("a.txt")).unwrap(),
        "first\nnew\nlast\n"
    );

    let turn = codex.turn("#script:mixed").await;
    assert_eq!(
        turn.items[1..],
        [
            "Let me think about that.",
            "reasoning",
            "commandExecution",
            "Now I know."
        ]
    );

    let turn = codex.turn("#script:two_messages").await;
    assert_eq!(
        turn.items[1..],
        ["The first message.", "The second message."]
    );

    for script in [Script::DisconnectEqualOnce, Script::DisconnectDifferOnce] {
        model.forget();
        let turn = codex.turn(&format!("#script:{script}")).await;
        assert_eq!(
            (turn.status.as_str(), turn.retries),
            ("completed", 1),
            "{script}: {turn:?}"
        );
        assert_eq!(
            turn.items.last().map(String::as_str),
            model.spoken().final_text(),
            "{script}"
        );
        assert!(
            turn.deltas.len() > model.spoken().text().len(),
            "the broken beginning was shown: {turn:?}"
        );
    }

    for (script, status) in [
        (Script::Quota, "failed"),
        (Script::ContextFull, "failed"),
        (Script::Empty, "completed"),
    ] {
        assert_eq!(
            codex.turn(&format!("#script:{script}")).await.status,
            status,
            "{script}"
        );
    }
}
