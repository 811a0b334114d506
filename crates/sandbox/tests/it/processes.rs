//! Commands.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, text};

async fn running(stage: &Stage) -> Vec<Value> {
    let list = stage.post("/process.Process/List", &json!({})).await;
    assert_eq!(list.status, 200);
    list.json()["processes"].as_array().unwrap().clone()
}

async fn until_nothing_runs(stage: &Stage) {
    let begun = Instant::now();
    while !running(stage).await.is_empty() {
        assert!(begun.elapsed() < SOON, "{:?}", running(stage).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_command_tells_of_its_start_its_output_and_its_end() {
    let stage = Stage::new().await;
    let mut stream = stage.shell("echo out; echo err >&2; exit 3", "").await;
    assert!(stream.pid().await > 1);
    let (out, err, end) = stream.rest().await;
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(
        end,
        json!({"exitCode": 3, "exited": true, "status": "error", "error": "it ended with code 3"})
    );
    let mut stream = stage.shell("true", "").await;
    stream.pid().await;
    let end = stream.rest().await.2;
    assert_eq!(
        end,
        json!({"exitCode": 0, "exited": true, "status": "success"})
    );
}

#[tokio::test]
async fn output_comes_while_the_command_runs() {
    let stage = Stage::new().await;
    // It goes on only when somebody has read what it said.
    let mut stream = stage
        .shell("echo $$; read line; echo \"got $line\"", "")
        .await;
    let pid = stream.pid().await;
    assert_eq!(text(&stream.event().await, "stdout"), format!("{pid}\n"));
    let input =
        json!({"process": {"pid": pid}, "input": {"stdin": BASE64_STANDARD.encode("word\n")}});
    assert_eq!(
        stage
            .post("/process.Process/SendInput", &input)
            .await
            .status,
        200
    );
    assert_eq!(stream.rest().await.0, "got word\n");
}

#[tokio::test]
async fn a_piece_of_output_is_with_the_caller_at_once() {
    let stage = Stage::new().await;
    let script = "while read line; do date +%s%N; done";
    let mut stream = stage.shell(script, "").await;
    let pid = stream.pid().await;
    let mut delays = Vec::new();
    for _ in 0..20 {
        let input =
            json!({"process": {"pid": pid}, "input": {"stdin": BASE64_STANDARD.encode("\n")}});
        stage.post("/process.Process/SendInput", &input).await;
        let written: u128 = text(&stream.event().await, "stdout")
            .trim()
            .parse()
            .unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        delays.push(now.unwrap().as_nanos().saturating_sub(written));
    }
    delays.sort_unstable();
    // The machine may be busy; half of them show that nothing is held back.
    let median = Duration::from_nanos(u64::try_from(delays[10]).unwrap());
    println!("median delay {median:?}");
    assert!(median < Duration::from_millis(100), "{median:?}");
}

#[tokio::test]
async fn a_lot_of_output_comes_whole_and_in_order() {
    let stage = Stage::new().await;
    let mut stream = stage.shell("seq 1 100000", "").await;
    stream.pid().await;
    let (out, ..) = stream.rest().await;
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(out == expected, "{} of {} bytes", out.len(), expected.len());
}

#[tokio::test]
async fn signals_reach_a_command_by_pid_and_by_tag() {
    let stage = Stage::new().await;
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let process = json!({"cmd": "/bin/sh", "args": ["-c", script]});
    let mut stream = stage
        .start(&json!({"process": process, "tag": "mine"}), "")
        .await;
    let pid = stream.pid().await;
    assert_eq!(text(&stream.event().await, "stdout"), "ready\n");
    let listed = running(&stage).await;
    assert_eq!(
        (&listed[0]["pid"], &listed[0]["tag"]),
        (&json!(pid), &json!("mine"))
    );
    assert_eq!(listed[0]["config"]["cmd"], "/bin/sh");
    let signal = json!({"process": {"tag": "mine"}, "signal": "SIGNAL_SIGTERM"});
    assert_eq!(
        stage
            .post("/process.Process/SendSignal", &signal)
            .await
            .status,
        200
    );
    let (out, _, end) = stream.rest().await;
    assert_eq!((out.as_str(), &end["exitCode"]), ("bye\n", &json!(7)));
    until_nothing_runs(&stage).await;

    let mut deaf = stage
        .shell(
            "trap '' TERM; echo ready; sleep 1000 & wait; sleep 1000",
            "",
        )
        .await;
    let pid = deaf.pid().await;
    deaf.event().await;
    let kill = json!({"process": {"pid": pid}, "signal": 9});
    assert_eq!(
        stage
            .post("/process.Process/SendSignal", &kill)
            .await
            .status,
        200
    );
    let end = deaf.rest().await.2;
    assert_eq!(
        (&end["exitCode"], &end["exited"]),
        (&json!(137), &json!(false))
    );
    until_nothing_runs(&stage).await;
    let gone = stage.post("/process.Process/SendSignal", &kill).await;
    assert_eq!(
        (gone.status, &gone.json()["code"]),
        (404, &json!("not_found"))
    );
    let odd = json!({"process": {"pid": pid}, "signal": "SIGNAL_SIGHUP"});
    let odd = stage.post("/process.Process/SendSignal", &odd).await;
    assert_eq!(odd.status, 400, "{}", odd.text());
}

#[tokio::test]
async fn a_commands_time_is_limited_by_whoever_starts_it() {
    let stage = Stage::new().await;
    let mut stream = stage
        .shell("sleep 1000 & sleep 1000", "connect-timeout-ms: 300\r\n")
        .await;
    stream.pid().await;
    let (flags, end) = stream.next().await;
    assert_eq!(
        (flags, &end["error"]["code"]),
        (2, &json!("deadline_exceeded"))
    );
    until_nothing_runs(&stage).await;
}

#[tokio::test]
async fn a_command_goes_on_without_its_caller_and_ends_with_the_sandbox() {
    let stage = Stage::new().await;
    let mut stream = stage.shell("echo ready; sleep 1000", "").await;
    stream.pid().await;
    stream.event().await;
    drop(stream);
    assert_eq!(running(&stage).await.len(), 1);
    stage.sandbox.shutdown().await;
    until_nothing_runs(&stage).await;
}

#[tokio::test]
async fn what_a_command_started_ends_with_it_and_holds_nothing_up() {
    let stage = Stage::new().await;
    let mut stream = stage.shell("sleep 1000 & echo $!", "").await;
    stream.pid().await;
    let (out, _, end) = stream.rest().await;
    assert_eq!(end["exitCode"], 0);
    let left = std::path::Path::new("/proc").join(out.trim());
    let begun = Instant::now();
    while left.exists() {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn commands_see_the_images_environment_and_their_own() {
    let stage = Stage::new().await;
    let init = json!({"envVars": {"FROM_INIT": "init", "BOTH": "init"}});
    assert_eq!(stage.post("/init", &init).await.status, 204);
    let process = json!({"cmd": "sh", "args": ["-c", "env; pwd"], "envs": {"BOTH": "own"}, "cwd": stage.root.path()});
    let mut stream = stage.start(&json!({"process": process}), "").await;
    stream.pid().await;
    let (out, ..) = stream.rest().await;
    let lines: Vec<&str> = out.lines().collect();
    for line in ["IMAGE=yes", "FROM_INIT=init", "BOTH=own"] {
        assert!(lines.contains(&line), "{line}: {out}");
    }
    assert!(!out.contains("_PYI_"), "{out}");
    assert_eq!(lines.last(), Some(&stage.root.path().to_str().unwrap()));
}

#[tokio::test]
async fn what_cant_be_started_is_told_as_an_end() {
    let stage = Stage::new().await;
    let process = json!({"cmd": "/nonexistent/program"});
    let mut stream = stage.start(&json!({"process": process}), "").await;
    assert_eq!(stream.pid().await, 0);
    let end = stream.rest().await.2;
    assert_eq!(
        (&end["exitCode"], &end["status"]),
        (&json!(-1), &json!("error"))
    );
    assert!(
        end["error"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/program"),
        "{end}"
    );
    // Without an envelope, and without a command.
    let refused = stage
        .post("/process.Process/Start", &json!({"process": {}}))
        .await;
    assert_eq!(
        (refused.status, refused.json()["detail"].as_str()),
        (400, Some("process.cmd: missing"))
    );
    let pty = json!({"process": {"cmd": "sh"}, "pty": {"size": {"cols": 80, "rows": 24}}});
    assert_eq!(stage.post("/process.Process/Start", &pty).await.status, 501);
}
