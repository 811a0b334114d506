//! The MCP server, spoken to line by line as a client does.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::model::Script;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

use crate::stage::{SOON, Stage, until};

struct Server {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Progress that was told of since the last answer.
    progress: Vec<String>,
    calls: u64,
}

impl Server {
    async fn start(stage: &Stage) -> Self {
        let mut command = stage.command(&["mcp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut server = Self {
            stdin: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            progress: Vec::new(),
            calls: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let welcome = server.call("initialize", hello).await;
        assert_eq!(welcome["result"]["serverInfo"]["name"], "codex-daemon");
        server
            .write(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        server
    }

    async fn write(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.calls += 1;
        let id = self.calls;
        self.write(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        id
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(SOON, self.lines.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        loop {
            let message = self.hear().await;
            if message["method"] == "notifications/progress" {
                let text = message["params"]["message"].as_str();
                self.progress.push(text.unwrap_or_default().to_owned());
            } else if message["id"] == id {
                return message;
            }
        }
    }

    async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let params = json!({"name": name, "arguments": arguments, "_meta": {"progressToken": "p"}});
        self.call("tools/call", params).await
    }
}

#[tokio::test]
async fn a_client_asks_configures_and_hears_of_progress() {
    let test = "a_client_asks_configures_and_hears_of_progress";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let mut server = Server::start(&stage).await;
    let tools = server.call("tools/list", json!({})).await;
    let tools = tools["result"]["tools"].as_array().unwrap().len();
    assert_eq!(tools, 6);
    // No daemon runs yet.
    let question = json!({"question": "#script:commentary_tool_final"});
    let answer = server.tool("codex_ask", question).await;
    let text = &answer["result"]["content"][0]["text"];
    assert_eq!(text, "Everything is in order.", "{answer}");
    let ran = |text: &String| text.starts_with("runs: ") && text.contains("echo looked");
    assert!(server.progress.iter().any(ran), "{:?}", server.progress);
    let change = json!({"effort": "high", "final_only": true});
    let changed = server.tool("codex_config", change).await;
    assert_eq!(changed["result"]["isError"], false, "{changed}");
    let session = stage.run(&["show", "--json"]).await;
    assert!(session.out.contains(r#""effort": "high""#), "{session:?}");
    for (tool, arguments, hint) in [
        (
            "codex_ask",
            json!({"question": "#script:err400"}),
            "not valid",
        ),
        ("codex_config", json!({"effort": "hihg"}), "allowed are"),
        ("codex_session", json!({"session": "nobody"}), "no session"),
    ] {
        let failed = server.tool(tool, arguments).await;
        assert_eq!(failed["result"]["isError"], true, "{failed}");
        assert!(failed.to_string().contains(hint), "{failed}");
    }
    let wrong = server.tool("codex_ask", json!({"quesiton": "?"})).await;
    assert!(wrong["error"].to_string().contains("quesiton"), "{wrong}");
    drop(server.stdin);
    let status = tokio::time::timeout(SOON, server.child.wait()).await;
    assert!(status.unwrap().unwrap().success());
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    stage.nothing_runs().await;
}

#[tokio::test]
async fn a_question_that_is_taken_back_is_interrupted() {
    let test = "a_question_that_is_taken_back_is_interrupted";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let mut server = Server::start(&stage).await;
    let params = json!({"name": "codex_ask", "arguments": {"question": "#script:hang"}});
    let id = server.send("tools/call", params).await;
    let asked = stage.model.wait_for(SOON, |seen| !seen.is_empty()).await;
    assert!(asked);
    server
        .write(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}))
        .await;
    until("the question is over", async || {
        let show = stage.run(&["show", "--json"]).await;
        show.out.contains("interrupted")
    })
    .await;
}
