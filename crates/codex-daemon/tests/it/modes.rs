//! The lesser modes, and somebody else's app-server.

use std::{fs, os::unix::fs::PermissionsExt as _};

use codex_daemon::protocol::{Mode, Operation, StatusView};
use testkit::model::Script;

use crate::stage::{Stage, until};

#[tokio::test]
async fn without_an_app_server_codex_exec_answers() {
    let test = "without_an_app_server_codex_exec_answers";
    let Some(mut stage) = Stage::new(test, Script::Remember).await else {
        return;
    };
    let old = stage.path("old-codex");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = app-server ]; then echo 'no such command' >&2; exit 2; fi\nexec {} \"$@\"\n",
        stage.codex.display()
    );
    fs::write(&old, script).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    stage.codex = old;
    stage.start().await;
    let first = stage.run(&["ask", "my number is 4711"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let second = stage.run(&["ask", "what was it?"]).await;
    assert!(second.out.contains("4711"), "{second:?}");
    until("status names the mode", async || {
        let status: StatusView = stage
            .client()
            .await
            .call(Operation::Status {})
            .await
            .unwrap();
        matches!(status.mode, Mode::Exec { .. }) && !status.lesser.is_empty()
    })
    .await;
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    stage.nothing_runs().await;
}

#[tokio::test]
async fn somebody_elses_app_server_can_be_used() {
    let test = "somebody_elses_app_server_can_be_used";
    let Some(mut stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let socket = stage.path("run/codex.sock");
    #[expect(
        clippy::disallowed_methods,
        reason = "an app-server that is not the daemon's"
    )]
    let server = tokio::process::Command::new(&stage.codex)
        .args([
            "app-server",
            "--listen",
            &format!("unix://{}", socket.display()),
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", stage.path("home"))
        .env("CODEX_HOME", stage.path("codex"))
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("it listens", async || socket.exists()).await;
    stage.set("CODEX_DAEMON_ATTACH", socket.to_str().unwrap());
    stage.start().await;
    let (status, _) = stage.ready().await;
    assert_eq!(status.mode, Mode::Attached { socket });
    let answer = stage.run(&["ask", "hello"]).await;
    assert_eq!(answer.out, "echo: hello\n", "{answer:?}");
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    let left = stage.processes();
    assert_eq!(
        left.iter().filter(|proc| !proc.is_zombie()).count(),
        1,
        "only the server: {left:?}"
    );
    drop(server);
}

#[tokio::test]
async fn without_a_runtime_folder_the_socket_lies_with_the_state() {
    let test = "without_a_runtime_folder_the_socket_lies_with_the_state";
    let Some(mut stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.set("XDG_RUNTIME_DIR", "");
    let answer = stage.run(&["ask", "hello"]).await;
    assert_eq!(answer.out, "echo: hello\n", "{answer:?}");
    let status = stage.run(&["status"]).await;
    assert!(
        status.out.contains("XDG_RUNTIME_DIR is not set"),
        "{status:?}"
    );
    assert!(stage.state().join("run/daemon.sock").exists());
    assert_eq!(stage.run(&["stop"]).await.code, 0);
}
