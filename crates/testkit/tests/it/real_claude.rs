//! The scripted model against both versions of Claude Code.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use supervisor::{ChildEnv, Guard, Line, LineReader, Process, SessionMark, Spec};
use testkit::{
    cli::{self, ClaudeVersion},
    model::{ModelServer, Options, Script},
};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, ChildStdout},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "sk-ant-test-real-claude";

/// A process of the CLI and its conversation.
struct Claude {
    stdin: ChildStdin,
    stdout: LineReader<ChildStdout>,
    _process: Process,
}

/// What a turn showed.
#[derive(Debug, Default)]
struct Turn {
    /// Everything that was streamed, text only.
    deltas: String,
    /// The finished blocks in order: a text by itself, another by its kind, a tool by its name.
    blocks: Vec<String>,
    /// What the tools said.
    outputs: Vec<String>,
    result: Value,
}

impl Turn {
    fn text(&self) -> &str {
        self.result["result"].as_str().unwrap_or_default()
    }

    fn failed(&self) -> bool {
        self.result["is_error"] == true
    }
}

impl Claude {
    async fn start(program: &Path, model: &ModelServer, folder: &Path) -> Self {
        let (home, work) = (folder.join("home"), folder.join("work"));
        std::fs::create_dir(&home).unwrap();
        std::fs::create_dir(&work).unwrap();
        let url = model.anthropic_url();
        let mut env: Vec<(&str, &str)> = vec![
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", home.to_str().unwrap()),
            ("ANTHROPIC_BASE_URL", &url),
            ("ANTHROPIC_API_KEY", KEY),
            ("CLAUDE_CODE_MAX_RETRIES", "2"),
            ("IS_SANDBOX", "1"),
        ];
        let quiet = [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
        ];
        env.extend(quiet.map(|name| (name, "1")));
        let arguments = [
            "-p",
            "--input-format=stream-json",
            "--output-format=stream-json",
            "--verbose",
            "--include-partial-messages",
            "--permission-mode=bypassPermissions",
            "--permission-prompt-tool=stdio",
            "--setting-sources=",
        ];
        let spec = Spec {
            program: program.to_owned(),
            args: arguments.iter().map(Into::into).collect(),
            env: env.into_iter().collect::<ChildEnv>(),
            cwd: work,
            session: SessionMark::new("testkit-real"),
            max_line: 64 << 20,
            stderr_tail: 4096,
        };
        let (stdin, stdout, process) = Guard::own().spawn(spec).await.unwrap().split();
        let mut claude = Self {
            stdin,
            stdout,
            _process: process,
        };
        let request = json!({"subtype": "initialize"});
        claude
            .send(&json!({"type": "control_request", "request_id": "init", "request": request}))
            .await;
        while claude.hear().await["type"] != "control_response" {}
        claude
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
            .expect("claude is silent")
            .unwrap();
        match line {
            Some(Line::Complete(line)) => serde_json::from_slice(&line).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn turn(&mut self, prompt: &str) -> Turn {
        self.send(&json!({"type": "user", "message": {"role": "user", "content": prompt}}))
            .await;
        self.end().await
    }

    /// Reads to the turn's end, answering questions with the first option.
    async fn end(&mut self) -> Turn {
        let mut turn = Turn::default();
        loop {
            let message = self.hear().await;
            if message["parent_tool_use_id"].is_string() {
                continue;
            }
            match message["type"].as_str().unwrap_or_default() {
                "stream_event" => {
                    let delta = &message["event"]["delta"]["text"];
                    turn.deltas.push_str(delta.as_str().unwrap_or_default());
                }
                "assistant" => turn.blocks.push(block(&message["message"]["content"][0])),
                "user" => {
                    let output = &message["message"]["content"][0]["content"];
                    turn.outputs.push(
                        output
                            .as_str()
                            .map_or_else(|| output.to_string(), str::to_owned),
                    );
                }
                "control_request" => self.answer(&message).await,
                "result" => {
                    turn.result = message;
                    return turn;
                }
                _ => {}
            }
        }
    }

    async fn answer(&mut self, request: &Value) {
        let mut input = request["request"]["input"].clone();
        let question = &input["questions"][0];
        if let Some(text) = question["question"].as_str() {
            input["answers"] = json!({text: question["options"][0]["label"]});
        }
        let allowed = json!({"behavior": "allow", "updatedInput": input});
        let response =
            json!({"subtype": "success", "request_id": request["request_id"], "response": allowed});
        self.send(&json!({"type": "control_response", "response": response}))
            .await;
    }
}

fn block(block: &Value) -> String {
    match block["type"].as_str().unwrap() {
        "text" => block["text"].as_str().unwrap().to_owned(),
        "tool_use" => block["name"].as_str().unwrap().to_owned(),
        other => other.to_owned(),
    }
}

/// Runs a test with each version; what is not there is skipped, and said so.
async fn with_each<F: AsyncFn(ClaudeVersion, &mut Claude, &ModelServer, &Path)>(
    name: &str,
    test: F,
) {
    for version in ClaudeVersion::ALL {
        let Some(program) = cli::require_claude(version, name) else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            huge_bytes: 256 * 1024,
            ..Options::default()
        };
        let model = ModelServer::start(options).await.unwrap();
        let mut claude = Claude::start(&program, &model, folder.path()).await;
        test(version, &mut claude, &model, &folder.path().join("work")).await;
    }
}

#[tokio::test]
async fn claude_code_shows_what_the_scripted_model_said() {
    let name = "claude_code_shows_what_the_scripted_model_said";
    with_each(name, async |version, claude, model, _| {
        for script in [
            Script::Text,
            Script::Unicode,
            Script::Huge,
            Script::Garbage,
            Script::NearlyFull,
            Script::Remember,
        ] {
            model.forget();
            let turn = claude.turn(&format!("#script:{script}")).await;
            let spoken = model.spoken();
            assert!(!turn.failed(), "{version} {script}: {turn:?}");
            assert_eq!(Some(turn.text()), spoken.final_text(), "{version} {script}");
            assert_eq!(turn.deltas, spoken.text(), "{version} {script}");
            let requests = model.requests();
            assert_eq!(requests.len(), 1, "{version} {script}");
            assert_eq!(requests[0].api_key(), Some(KEY), "{version} {script}");
            assert_eq!(requests[0].thread(), turn.result["session_id"].as_str());
        }
        assert!(
            model
                .spoken()
                .text()
                .contains("#script:text | #script:unicode")
        );

        let turn = claude.turn("#script:reasoning").await;
        let last = "The answer is 42.";
        assert_eq!(turn.blocks, ["thinking", "thinking", last], "{version}");
        let turn = claude.turn("#script:two_messages").await;
        assert_eq!(
            turn.blocks,
            ["The first message.", "The second message."],
            "{version}"
        );
    })
    .await;
}

#[tokio::test]
async fn claude_code_carries_out_what_the_scripted_model_calls() {
    let name = "claude_code_carries_out_what_the_scripted_model_calls";
    with_each(name, async |version, claude, model, work| {
        let turn = claude.turn("#script:shell\n#cmd:echo from-the-shell").await;
        let (comment, last) = ("I will run a command.", "The command said: from-the-shell");
        assert_eq!(turn.blocks, [comment, "Bash", last], "{version}");
        let turn = claude.turn("#script:mixed").await;
        assert_eq!(
            turn.blocks,
            [
                "Let me think about that.",
                "thinking",
                "Bash",
                "Now I know."
            ],
            "{version}"
        );
        let turn = claude.turn("#script:parallel").await;
        assert_eq!(turn.blocks, ["Bash", "Bash", "Both done."], "{version}");

        let turn = claude.turn("#script:patch").await;
        assert_eq!(
            turn.blocks,
            ["Write", "The file is written."],
            "{version} {turn:?}"
        );
        let turn = claude
            .turn("#script:edit\n#cmd:hello_model.txt|hello|bye")
            .await;
        let texts = ["I will change hello_model.txt.", "The file is changed."];
        assert_eq!(
            turn.blocks,
            [texts[0], "Read", "Edit", texts[1]],
            "{version} {turn:?}"
        );
        let written = std::fs::read_to_string(work.join("hello_model.txt")).unwrap();
        assert_eq!(written, "bye\nfrom the model \u{2728}\n", "{version}");

        let turn = claude.turn("#script:ask").await;
        assert_eq!(turn.blocks[0], "AskUserQuestion", "{version}");
        assert!(
            turn.text().contains("Red (Recommended)"),
            "{version} {turn:?}"
        );
        let turn = claude
            .turn("#script:subagent\n#cmd:Say it. #script:echo")
            .await;
        assert_eq!(
            turn.blocks,
            ["Agent", "The sub-agent is done."],
            "{version}"
        );
        assert!(
            turn.outputs[0].contains("echo: Say it."),
            "{version} {turn:?}"
        );

        for script in [Script::BadToolJson, Script::UnknownTool] {
            let turn = claude.turn(&format!("#script:{script}")).await;
            assert!(
                turn.text().starts_with("The tool said: "),
                "{version} {script}: {turn:?}"
            );
        }
        assert!(
            model.requests().iter().all(|request| !request.side),
            "{version}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_background_command_of_the_scripted_model_starts_a_turn_by_itself() {
    let name = "a_background_command_of_the_scripted_model_starts_a_turn_by_itself";
    with_each(name, async |version, claude, model, _| {
        let turn = claude
            .turn("#script:background\n#cmd:timeout 1 tail -f /dev/null; echo late")
            .await;
        assert_eq!(
            turn.blocks,
            ["Bash", "It goes on in the background."],
            "{version}"
        );
        let unasked = claude.end().await;
        assert_eq!(
            unasked.blocks,
            ["It goes on in the background."],
            "{version}"
        );
        let requests = model.requests();
        let last = requests.last().unwrap();
        assert_eq!(
            last.user_texts().len(),
            1,
            "{version}: {:?}",
            last.user_texts()
        );
    })
    .await;
}

#[tokio::test]
async fn claude_code_takes_the_scripted_faults_for_the_providers() {
    let name = "claude_code_takes_the_scripted_faults_for_the_providers";
    with_each(name, async |version, claude, model, _| {
        for script in [Script::DisconnectEqualOnce, Script::DisconnectDifferOnce] {
            model.forget();
            let turn = claude.turn(&format!("#script:{script}")).await;
            assert_eq!(
                Some(turn.text()),
                model.spoken().final_text(),
                "{version} {script}"
            );
            assert!(
                turn.deltas != turn.text(),
                "{version}: the broken beginning was shown: {turn:?}"
            );
        }
        for script in ["failed", "truncated", "disconnect", "err529", "err429"] {
            let turn = claude
                .turn(&format!("#script:{script}\n#cmd:times=1"))
                .await;
            assert_eq!(
                turn.text(),
                "Recovered after a fault.",
                "{version} {script} {turn:?}"
            );
        }
        let turn = claude.turn("#script:incomplete\n#cmd:times=1").await;
        assert_eq!(
            turn.blocks,
            ["cut short", "Recovered after a fault."],
            "{version}"
        );

        for (script, status) in [
            ("err400", 400),
            ("err401", 401),
            ("err404", 404),
            ("err413", 413),
        ] {
            let turn = claude.turn(&format!("#script:{script}")).await;
            assert!(turn.failed(), "{version} {script}");
            assert_eq!(
                turn.result["api_error_status"], status,
                "{version} {script}"
            );
        }
        for script in [Script::ContextFull, Script::Quota] {
            let turn = claude.turn(&format!("#script:{script}")).await;
            assert!(turn.failed(), "{version} {script} {turn:?}");
        }
    })
    .await;
}
