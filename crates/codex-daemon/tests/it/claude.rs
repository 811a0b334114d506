//! `claude-codex`, and the `/codex-*` commands through the real Claude Code CLI.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use codex_daemon::slash::COMMANDS;
use nix::sys::signal::Signal;
use testkit::{
    cli::{ClaudeVersion, require_claude},
    model::Script,
    procs,
};
use tokio::process::Command;

use crate::stage::{SOON, Stage, signal, until};

const KEY: &str = "sk-ant-claude-codex-test";

/// A command that finds everything that Claude Code and `claude-codex` need.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is started as a user does"
)]
fn command(stage: &Stage, program: &Path, claude: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", stage.path("home"))
        .env("CODEX_HOME", stage.path("codex"))
        .env("XDG_RUNTIME_DIR", stage.path("run"))
        .env("CODEX_DAEMON_CODEX", &stage.codex)
        .env("CODEX_DAEMON_CLAUDE", claude)
        .env("ANTHROPIC_BASE_URL", stage.model.anthropic_url())
        .env("ANTHROPIC_API_KEY", KEY)
        .env("CLAUDE_CODE_MAX_RETRIES", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .env("IS_SANDBOX", "1")
        .current_dir(stage.path("work"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn claude_codex() -> PathBuf {
    env!("CARGO_BIN_EXE_claude-codex").into()
}

async fn output(mut command: Command) -> Output {
    tokio::time::timeout(SOON, command.output())
        .await
        .unwrap()
        .unwrap()
}

/// What Claude Code prints for a prompt.
async fn says(stage: &Stage, claude: &Path, prompt: &str) -> String {
    let mut command = command(stage, &claude_codex(), claude);
    command.args(["-p", prompt]);
    let output = output(command).await;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!err.contains("claude-codex:"), "{err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The same without `claude-codex`, so that nothing starts the daemon; `codex-daemon` is on `PATH` if it is to be found.
async fn says_alone(stage: &Stage, claude: &Path, prompt: &str, found: bool) -> String {
    let mut command = command(stage, claude, claude);
    let mut add = OsString::from("--add-dir=");
    add.push(stage.state().join("claude"));
    command.arg(add).args(["-p", prompt]);
    if found {
        let folder = stage.program.parent().unwrap().display();
        command.env("PATH", format!("/usr/bin:/bin:{folder}"));
    }
    let output = output(command).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn every_command(version: ClaudeVersion, test: &str) {
    let Some(claude) = require_claude(version, test) else {
        return;
    };
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    // What the model runs, and what its words have to quote: a success and a failure of each command with an argument.
    for (command, run, expected) in [
        (
            "codex-ask",
            "codex-daemon ask --file - <<< \"what's this?\"",
            "echo: what's this?",
        ),
        (
            "codex-ask",
            "codex-daemon ask --file - <<< '#script:err400'",
            "failed",
        ),
        (
            "codex-config",
            "codex-daemon set --effort high",
            "effort      high",
        ),
        (
            "codex-config",
            "codex-daemon set --effort hihg",
            "possible values",
        ),
        (
            "codex-reasoning",
            "codex-daemon set --reasoning on",
            "reasoning   on",
        ),
        (
            "codex-reasoning",
            "codex-daemon set --reasoning maybe",
            "possible values",
        ),
        (
            "codex-final_only",
            "codex-daemon set --final-only on",
            "final only  on",
        ),
        (
            "codex-final_only",
            "codex-daemon set --final-only maybe",
            "possible values",
        ),
        // Nothing but the command's own program is allowed.
        ("codex-ask", "codex-daemon stop", "approval"),
    ] {
        let said = says(
            &stage,
            &claude,
            &format!("/{command} #script:shell #cmd:{run}"),
        )
        .await;
        assert!(said.contains(expected), "/{command} {run}: {said}");
    }
    for (command, expected) in [
        ("codex-status", "app-server, kept warm"),
        ("codex-reset", "(none yet)"),
        ("codex-help", "/codex-final_only on|off"),
    ] {
        let said = says(&stage, &claude, &format!("/{command}")).await;
        assert!(said.contains(expected), "/{command}: {said}");
    }
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    for command in ["codex-status", "codex-reset"] {
        let said = says_alone(&stage, &claude, &format!("/{command}"), true).await;
        assert!(
            said.contains("failed: no daemon listens"),
            "/{command}: {said}"
        );
    }
    let said = says_alone(&stage, &claude, "/codex-help", false).await;
    assert!(!said.contains("on|off"), "{said}");
    assert!(!stage.socket().exists());
}

#[tokio::test]
async fn every_command_succeeds_and_fails_in_the_older_claude_code() {
    let test = "every_command_succeeds_and_fails_in_the_older_claude_code";
    every_command(ClaudeVersion::V2_1_197, test).await;
}

#[tokio::test]
async fn every_command_succeeds_and_fails_in_the_newer_claude_code() {
    let test = "every_command_succeeds_and_fails_in_the_newer_claude_code";
    every_command(ClaudeVersion::V2_1_329, test).await;
}

/// A `claude` that is a script.
fn script(stage: &Stage, text: &str) -> PathBuf {
    let path = stage.path("claude-script");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[tokio::test]
async fn arguments_pass_byte_for_byte_and_the_exit_code_too() {
    let test = "arguments_pass_byte_for_byte_and_the_exit_code_too";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let text = "printf '%s\\0' \"$@\" > args; env > env; echo $$ > pid; exit 42";
    let claude = script(&stage, text);
    let given: Vec<&OsStr> = [
        &b"-p"[..],
        b"",
        b"two words",
        b"it's \"quoted\" $(and) `more` \\",
        b"line\nbreak",
        b"\xff\xfe not UTF-8",
        b"--add-dir",
        b"/tmp",
        b"--",
        b"-c",
        "日本".as_bytes(),
    ]
    .map(OsStr::from_bytes)
    .into();
    let mut child = command(&stage, &claude_codex(), &claude);
    let mut child = child.args(&given).spawn().unwrap();
    let pid = child.id().unwrap();
    let status = tokio::time::timeout(SOON, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(42));
    let args = fs::read(stage.path("work/args")).unwrap();
    let mut args = args.split(|byte| *byte == 0);
    let added = args.next().unwrap();
    assert!(added.starts_with(b"--add-dir=/") && added.ends_with(b"/codex-daemon/claude"));
    let rest: Vec<&OsStr> = args.map(OsStr::from_bytes).collect();
    assert_eq!(rest[..rest.len() - 1], given);
    let same = fs::read_to_string(stage.path("work/pid")).unwrap();
    assert_eq!(same.trim(), pid.to_string(), "it is the same process");
    let env = fs::read_to_string(stage.path("work/env")).unwrap();
    for line in [
        format!("CODEX_DAEMON_SOCKET={}", stage.socket().display()),
        format!("CODEX_DAEMON_CWD={}", stage.path("work").display()),
        "CODEX_DAEMON_IDLE_EXIT_MINUTES=30".to_owned(),
        format!(
            "PATH=/usr/bin:/bin:{}",
            stage.program.parent().unwrap().display()
        ),
    ] {
        assert!(env.lines().any(|there| there == line), "{line}: {env}");
    }
    let folder = stage.state().join("claude/.claude/commands");
    assert_eq!(fs::read_dir(folder).unwrap().count(), COMMANDS.len());
    assert!(!stage.path("home/.claude").exists(), "the user's own files");
    let config = stage.run(&["config", "show"]).await.out;
    assert!(config.contains("claude_idle_minutes"), "{config}");
}

#[tokio::test]
async fn signals_reach_claude_code_and_the_daemon_is_nobodys_child() {
    let test = "signals_reach_claude_code_and_the_daemon_is_nobodys_child";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let claude = script(&stage, "echo up > up; exec sleep 600");
    let mut child = command(&stage, &claude_codex(), &claude).spawn().unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    until("claude runs", async || stage.path("work/up").exists()).await;
    until("the daemon runs", async || stage.socket().exists()).await;
    let children: Vec<_> = procs::all()
        .into_iter()
        .filter(|proc| proc.parent == pid)
        .collect();
    assert!(children.is_empty(), "{children:?}");
    signal(pid, Signal::SIGTERM);
    let status = tokio::time::timeout(SOON, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
    assert!(stage.socket().exists(), "the daemon goes on");
}

#[tokio::test]
async fn what_is_missing_is_said_and_claude_code_starts_if_it_can() {
    let test = "what_is_missing_is_said_and_claude_code_starts_if_it_can";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let nowhere = stage.path("nowhere");
    let missing = output(command(&stage, &claude_codex(), &nowhere)).await;
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        missing.status.code() == Some(126) && said.contains("nowhere"),
        "{said}"
    );
    let claude = script(&stage, "exit 5");
    let mut version = command(&stage, &claude_codex(), &claude);
    version.arg("--version");
    assert_eq!(output(version).await.status.code(), Some(5));
    // A state folder that others can get at: no daemon, no commands, but Claude Code.
    fs::set_permissions(stage.state(), fs::Permissions::from_mode(0o755)).unwrap();
    let without = output(command(&stage, &claude_codex(), &claude)).await;
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(
        without.status.code() == Some(5) && said.contains("chmod 700"),
        "{said}"
    );
}

#[tokio::test]
async fn the_interactive_form_works_in_a_terminal() {
    let test = "the_interactive_form_works_in_a_terminal";
    let Some(claude) = require_claude(ClaudeVersion::V2_1_329, test) else {
        return;
    };
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    // What a person has answered at the first start.
    let work = stage.path("work");
    let settled = serde_json::json!({
        "hasCompletedOnboarding": true, "theme": "dark",
        "projects": {work.to_str().unwrap(): {"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true}},
        "customApiKeyResponses": {"approved": [&KEY[KEY.len() - 20..]], "rejected": []},
    });
    fs::write(stage.path("home/.claude.json"), settled.to_string()).unwrap();
    // The folder with the commands is new to it, and a person says whether it is trusted.
    let steps = "expect Yes, add it\nchoose Yes, add it\nenter\nexpect shift+tab to cycle\ntype /codex-status\n\
                 expect Show how the daemon\nenter\nexpect kept warm\ntype /exit\nenter\n";
    fs::write(stage.path("steps"), steps).unwrap();
    stage.start().await;
    stage.ready().await;
    let mut driver = command(&stage, Path::new("/usr/bin/env"), &claude);
    driver
        .arg("python3")
        .arg(testkit::cli::terminal_driver())
        .arg("80")
        .arg(claude_codex())
        .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8")])
        .env("PATH", env!("PATH"))
        .stdin(fs::File::open(stage.path("steps")).unwrap());
    let output = output(driver).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}
