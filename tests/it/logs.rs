//! The log: with nothing but it an operator understands what went wrong, and no secret is in it.

use std::{fs, os::unix::fs::PermissionsExt};

use testkit::{model::Options, oracle::Terminal};
use wegent_executor_tests::{API_KEY, AUTH_TOKEN, SKILL_TOKEN, TurnBody, World, private_folder};

/// The words after `name=` in a line of the log.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_default();
    rest.split(' ').next().unwrap_or_default()
}

/// The first line that has all of these.
fn line<'a>(log: &'a str, parts: &[&str]) -> &'a str {
    let found = log
        .lines()
        .find(|line| parts.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("no line with {parts:?} in\n{log}"))
}

fn without_secrets(log: &str) {
    for secret in [API_KEY, AUTH_TOKEN, SKILL_TOKEN] {
        assert!(!log.contains(secret), "a secret is in the log:\n{log}");
    }
}

type Request = fn(&World, i64, i64, &str) -> TurnBody;

/// Both CLIs are replaced by one that is the real one up to its last words.
#[tokio::test]
async fn a_failure_can_be_understood_from_the_log() {
    let test = "a_failure_can_be_understood_from_the_log";
    let Some(codex) = testkit::cli::require_codex(test) else {
        return;
    };
    let folder = private_folder();
    let broken = folder.path().join("broken");
    let script = "#!/bin/sh\ncase \"$1\" in --version|-v) echo 'codex-cli 0.169.0'; exit 0;; esac\necho \"the disk is on fire, key $SCARE\" >&2\nexit 41\n";
    fs::write(&broken, script.replace("$SCARE", API_KEY)).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let path = broken.to_str().unwrap().to_owned();
    let options = Options::default();
    let Some(world) = World::with_claude(test, options, |settings| {
        settings.set("CODEX_BINARY_PATH", &path);
        settings.set("CLAUDE_BINARY_PATH", &path);
    })
    .await
    else {
        return;
    };
    let agents: [(i64, Request, &str); 2] = [
        (1, World::turn, "app-server"),
        (11, World::claude_turn, "--input-format=stream-json"),
    ];
    for (task, request, argument) in agents {
        let subtask = task + 1;
        let view = world
            .run(&request(&world, task, subtask, "Hello. #script:text"))
            .await;
        assert!(
            matches!(view.terminal, Some(Terminal::Failed { .. })),
            "{view:#?}"
        );
        let log = world.executor.log();
        let (task, subtask) = (format!("task_id={task}"), format!("subtask_id={subtask}"));
        // That it came, what was started for it, how that ended, and what became of the turn.
        line(&log, &["dispatched", &task, &subtask]);
        let started = line(&log, &["child started", argument, &path]);
        let session = field(started, "session");
        let ended = line(&log, &["child ended", session]);
        assert!(ended.contains("41"), "{ended}");
        let failed = line(&log, &["turn failed", &task, &subtask]);
        assert!(failed.contains("the disk is on fire"), "{failed}");
        without_secrets(&log);
    }
    drop(codex);
}

/// The same of a model that can't be used.
#[tokio::test]
async fn a_providers_refusal_is_in_the_log_with_its_turn() {
    let test = "a_providers_refusal_is_in_the_log_with_its_turn";
    if testkit::cli::require_codex(test).is_none() {
        return;
    }
    let Some(world) = World::with_claude(test, Options::default(), |_| {}).await else {
        return;
    };
    let agents: [(i64, Request); 2] = [(1, World::turn), (11, World::claude_turn)];
    for (task, request) in agents {
        let view = world
            .run(&request(&world, task, task + 1, "Hello. #script:err401"))
            .await;
        assert!(
            matches!(view.terminal, Some(Terminal::Failed { .. })),
            "{view:#?}"
        );
        let log = world.executor.log();
        let failed = line(&log, &["turn failed", &format!("task_id={task}")]);
        assert!(
            failed.contains("code") || failed.contains("class"),
            "{failed}"
        );
        assert!(
            failed.contains("401") || failed.contains("Unauthorized"),
            "{failed}"
        );
        without_secrets(&log);
    }
}
