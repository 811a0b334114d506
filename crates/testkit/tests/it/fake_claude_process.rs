//! The fake Claude Code and its recordings as processes of their own.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use supervisor::{ChildEnv, ExitStatus, Guard, Ladder, Line, SessionMark, Spec, StopStep};
use testkit::{cli::ClaudeVersion, roles};
use tokio::io::AsyncWriteExt;

const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_millis(300),
    after_term: Duration::from_secs(2),
    kill_deadline: Duration::from_secs(3),
};

const FLAGS: [&str; 5] = [
    "-p",
    "--verbose",
    "--permission-mode=bypassPermissions",
    "--input-format=stream-json",
    "--output-format=stream-json",
];

fn spec(program: &Path, mut env: ChildEnv, arguments: &[&str]) -> Spec {
    env.set("IS_SANDBOX", "1");
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

#[tokio::test]
async fn this_test_binary_is_its_own_fake_claude_and_lingers_when_told_to() {
    let (program, variables) = roles::fake_claude();
    let env = variables.into_iter().collect();
    let spec = spec(&program, env, &FLAGS);
    let (mut stdin, mut stdout, process) = Guard::own().spawn(spec).await.unwrap().split();
    let prompt = json!({"type": "user", "message": {"role": "user", "content": "#fake:linger millis=60000"}});
    stdin
        .write_all(format!("{prompt}\n").as_bytes())
        .await
        .unwrap();
    loop {
        let Some(Line::Complete(line)) = stdout.next().await.unwrap() else {
            panic!("no result")
        };
        let message: Value = serde_json::from_slice(&line).unwrap();
        if message["type"] == "result" {
            break;
        }
    }
    drop(stdin);
    let report = process.shutdown(&LADDER).await;
    assert_eq!(report.step, StopStep::Terminate, "{report:?}");
}

#[tokio::test]
async fn an_installed_claude_is_the_fake_or_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let version = ClaudeVersion::V2_1_197;
    let recorded =
        roles::install_replayed_claude(folder.path(), version, "resume-unknown").unwrap();
    assert_eq!(
        first_line(&recorded, &["--version"]).await,
        "2.1.197 (Claude Code)"
    );
    let fake = roles::install_fake_claude(folder.path()).unwrap();
    assert_eq!(
        first_line(&fake, &["--version"]).await,
        "2.1.329 (Claude Code)"
    );
}

#[tokio::test]
async fn a_recording_is_served_by_a_process_with_its_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let version = ClaudeVersion::V2_1_329;
    let name = "kill9-mid-stream";
    let program = roles::install_replayed_claude(folder.path(), version, name).unwrap();
    let spec = spec(&program, ChildEnv::default(), &FLAGS);
    let (mut stdin, mut stdout, process) = Guard::own().spawn(spec).await.unwrap().split();
    for text in ["one", "two"] {
        let prompt = json!({"type": "user", "message": {"role": "user", "content": text}});
        stdin
            .write_all(format!("{prompt}\n").as_bytes())
            .await
            .unwrap();
    }
    let mut last = Value::Null;
    while let Some(Line::Complete(line)) = stdout.next().await.unwrap() {
        last = serde_json::from_slice(&line).unwrap();
    }
    assert_eq!(last["event"]["type"], "content_block_delta");
    let status = process.handle().exited().await;
    assert_eq!(status, ExitStatus::Code(137));
}

async fn first_line(program: &Path, arguments: &[&str]) -> String {
    let spec = spec(program, ChildEnv::default(), arguments);
    let (_stdin, mut stdout, _process) = Guard::own().spawn(spec).await.unwrap().split();
    match stdout.next().await.unwrap() {
        Some(Line::Complete(line)) => String::from_utf8(line.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}
