//! One daemon, its files, and what is in their way.

use std::{
    fs,
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
};

use futures::future::join_all;
use testkit::model::Script;

use crate::stage::{Stage, files_below, until};

async fn stage(test: &str) -> Option<Stage> {
    Stage::new(test, Script::Echo).await
}

fn private(stage: &Stage, name: &str) -> std::path::PathBuf {
    let folder = stage.path(name);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .unwrap();
    folder
}

#[tokio::test]
async fn a_race_has_one_winner_and_the_others_connect() {
    let Some(stage) = stage("a_race_has_one_winner_and_the_others_connect").await else {
        return;
    };
    let starts = join_all((0..6).map(|_| stage.start())).await;
    assert!(starts.iter().all(|pid| *pid == starts[0]), "{starts:?}");
    assert!(
        files_below(&stage.state())
            .iter()
            .all(|file| file.extension().is_none_or(|end| end != "err"))
    );
    let second = stage.run(&["run"]).await;
    assert!(
        second.code == 4 && second.err.contains("already running"),
        "{second:?}"
    );
}

#[tokio::test]
async fn a_socket_of_another_program_is_left_alone() {
    let Some(stage) = stage("a_socket_of_another_program_is_left_alone").await else {
        return;
    };
    private(&stage, "run/codex-daemon");
    let other = UnixListener::bind(stage.socket()).unwrap();
    let start = stage.command(&["run"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&start.stderr).into_owned();
    assert_eq!(start.status.code(), Some(4), "{said}");
    assert!(said.contains("in use by another program"), "{said}");
    assert!(
        said.contains("codex-daemon check") && said.contains(&std::process::id().to_string()),
        "{said}"
    );
    drop(other);
    // Left behind, and nobody's: it is replaced.
    assert!(stage.socket().exists());
    stage.start().await;
}

#[tokio::test]
async fn check_names_the_program_that_has_the_socket() {
    let Some(stage) = stage("check_names_the_program_that_has_the_socket").await else {
        return;
    };
    private(&stage, "run/codex-daemon");
    let other = UnixListener::bind(stage.socket()).unwrap();
    let rude = std::thread::spawn(move || {
        use std::io::Write as _;
        for stream in other.incoming().take(2) {
            let _ = stream.unwrap().write_all(b"220 smtp ready\n");
        }
    });
    let check = stage.run(&["--check"]).await;
    assert!(
        check.code == 4 && check.out.contains("in use by another program"),
        "{check:?}"
    );
    rude.join().unwrap();
}

#[tokio::test]
async fn a_lock_of_a_dead_process_stops_nobody() {
    let Some(stage) = stage("a_lock_of_a_dead_process_stops_nobody").await else {
        return;
    };
    let folder = private(&stage, "run/codex-daemon");
    for name in ["daemon.sock.lock", "daemon.pid"] {
        fs::write(folder.join(name), "4194304\n").unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let pid = stage.start().await;
    let written = fs::read_to_string(folder.join("daemon.pid")).unwrap();
    assert_eq!(written.trim(), pid.to_string());
}

#[tokio::test]
async fn wrong_modes_and_links_refuse_the_start_with_what_mends_them() {
    let test = "wrong_modes_and_links_refuse_the_start_with_what_mends_them";
    let Some(stage) = stage(test).await else {
        return;
    };
    let folder = private(&stage, "run/codex-daemon");
    let refused = async |words: &[&str]| {
        let ran = stage.run(&["start"]).await;
        assert_eq!(ran.code, 5, "{ran:?}");
        for word in words {
            assert!(ran.err.contains(word), "{word}: {ran:?}");
        }
        assert_eq!(stage.run(&["check"]).await.code, 5);
        let mend = ran
            .err
            .split("mend it with: ")
            .nth(1)
            .unwrap()
            .trim()
            .to_owned();
        #[expect(
            clippy::disallowed_methods,
            reason = "the command that the error names is tried"
        )]
        let mended = std::process::Command::new("/bin/sh")
            .args(["-c", &mend])
            .status();
        assert!(mended.unwrap().success(), "{mend}");
    };
    let link = |path: std::path::PathBuf| {
        // What an earlier attempt made of it.
        let _ = fs::remove_file(&path);
        symlink(stage.path("target"), path).unwrap();
    };
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&["0755", "chmod 700"]).await;
    // The first attempt made it.
    fs::set_permissions(stage.state(), fs::Permissions::from_mode(0o755)).unwrap();
    refused(&["chmod 700", "state/codex-daemon"]).await;
    fs::write(stage.path("target"), "precious").unwrap();
    link(stage.state().join("daemon.log"));
    refused(&["symbolic link", "daemon.log"]).await;
    link(folder.join("daemon.pid"));
    refused(&["symbolic link", "daemon.pid"]).await;
    link(stage.socket());
    refused(&["symbolic link", "daemon.sock"]).await;
    fs::write(stage.state().join("sessions.json"), "{}").unwrap();
    refused(&["chmod 600", "sessions.json"]).await;
    assert_eq!(
        fs::read_to_string(stage.path("target")).unwrap(),
        "precious"
    );
    stage.start().await;
}

/// A disk that is full, as a limit of what the daemon may write: that needs no rights that a test may not have.
#[tokio::test]
async fn a_full_disk_fails_health_and_answers_go_on() {
    let Some(mut stage) = stage("a_full_disk_fails_health_and_answers_go_on").await else {
        return;
    };
    // A write over the limit is then an error, as on a full disk, and no signal that ends the process.
    let patient = stage.path("patient");
    let program = stage.program.display();
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{program}' \"$@\"\n");
    fs::write(&patient, script).unwrap();
    fs::set_permissions(&patient, fs::Permissions::from_mode(0o700)).unwrap();
    stage.program = patient;
    let pid = stage.start().await;
    // Codex has been started: the limit is the daemon's alone.
    stage.ready().await;
    assert_eq!(stage.run(&["ask", "one"]).await.code, 0);
    let limit = |bytes: &str| {
        #[expect(clippy::disallowed_methods, reason = "a full disk for the test")]
        let status = std::process::Command::new("prlimit")
            .args([&format!("--pid={pid}"), &format!("--fsize={bytes}")])
            .status();
        assert!(status.unwrap().success());
    };
    limit("0:unlimited");
    let answer = stage.run(&["ask", "two"]).await;
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (0, "echo: two\n"),
        "{answer:?}"
    );
    let health = stage.run(&["health"]).await;
    assert!(
        health.code == 7 && health.out.contains("sessions can't be kept"),
        "{health:?}"
    );
    limit("unlimited:unlimited");
    assert_eq!(stage.run(&["ask", "three"]).await.code, 0);
    until("sessions are kept again", async || {
        let reasons = stage.health().await.reasons;
        !reasons.iter().any(|reason| reason.contains("kept"))
    })
    .await;
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    stage.nothing_runs().await;
}
