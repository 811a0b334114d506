//! Instances of programs that are not codex: how starts, ends and failures are told.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use codex_app_server::{
    BackoffPolicy, ConnectionLost, Instance, InstanceConfig, InstanceError, InstanceState,
    RpcError, ThreadEvent,
    protocol::{ClientInfo, ThreadStartParams},
};
use serde_json::{Value, json};
use supervisor::{ExitStatus, Guard, SessionMark, StopStep, session_processes};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::fake::SOON;

/// Shakes hands, opens one thread, then reads on.
const GOOD: &str = r#"
read -r line; echo '{"id":1,"result":{"userAgent":"x/9.8.7 (y)"}}'
read -r line
read -r line; echo '{"id":2,"result":{"thread":{"id":"t"}}}'
while read -r line; do :; done
"#;

/// A configuration that runs `script`, kept in a folder.
fn script(script: &str) -> (TempDir, InstanceConfig) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("codex");
    fs::write(&program, format!("#!/bin/bash\n{script}")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = config(program, &folder);
    (folder, config)
}

fn config(program: PathBuf, folder: &TempDir) -> InstanceConfig {
    // Linked in, it makes this binary its own guard.
    testkit::init();
    let client = ClientInfo {
        name: "test".into(),
        title: "Test".into(),
        version: "1".into(),
    };
    let mut config = InstanceConfig::new(Guard::own(), program, folder.path(), client);
    config.env.set("PATH", "/usr/bin:/bin");
    config.request_timeout = SOON;
    // A second start in a test happens only where it's waited for.
    config.backoff = BackoffPolicy {
        first: Duration::from_millis(20),
        ..BackoffPolicy::default()
    };
    config
}

/// Waits until nothing of the session is left.
async fn gone(session: &SessionMark) {
    let since = Instant::now();
    while !session_processes(session).is_empty() {
        assert!(
            since.elapsed() < SOON,
            "still there: {:?}",
            session_processes(session)
        );
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_instance_gets_ready_by_itself_and_ends_when_told() {
    let (_folder, config) = script(GOOD);
    let instance = Instance::start(config);
    let connection = instance.ready(SOON).await.unwrap();
    assert_eq!(connection.generation(), 1);
    assert_eq!(connection.server().version(), Some("9.8.7"));
    let state = instance.state();
    let report = instance.shutdown().await.expect("a process was running");
    assert_eq!(report.step, StopStep::StdinClosed);
    assert_eq!(
        (report.status, report.survivors.len()),
        (ExitStatus::Code(0), 0)
    );
    assert!(matches!(*state.borrow(), InstanceState::Stopped));
    assert!(session_processes(connection.process().session()).is_empty());
    let error = connection
        .client()
        .call::<_, Value>("m", &json!({}), SOON)
        .await
        .unwrap_err();
    assert!(matches!(error, RpcError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn dropping_an_instance_leaves_no_process() {
    let (_folder, config) = script(&format!("sleep 1000 & {GOOD}"));
    let instance = Instance::start(config);
    let connection = instance.ready(SOON).await.unwrap();
    let session = connection.process().session().clone();
    assert!(session_processes(&session).len() >= 2);
    drop(instance);
    gone(&session).await;
}

#[tokio::test]
async fn a_lost_process_ends_streams_and_calls_with_its_status_and_another_takes_over() {
    let (_folder, config) = script(&format!("echo 'something is odd' >&2\n{GOOD}"));
    let instance = Instance::start(config);
    let first = instance.ready(SOON).await.unwrap();
    let (_, mut stream) = first
        .client()
        .thread_start(ThreadStartParams::default())
        .await
        .unwrap();
    let client = first.client().clone();
    let params = json!({});
    let (call, ()) = tokio::join!(
        client.call::<_, Value>("unanswered", &params, SOON),
        async {
            first.process().kill().await;
        }
    );
    let Err(RpcError::Closed { why, .. }) = call else {
        panic!("{call:?}")
    };
    let ConnectionLost::Exited {
        status,
        stderr_tail,
    } = &*why
    else {
        panic!("{why:?}")
    };
    assert_eq!(
        (*status, stderr_tail.trim()),
        (ExitStatus::Signal(9), "something is odd")
    );
    assert!(
        matches!(stream.next().await, ThreadEvent::Lost { why } if matches!(*why, ConnectionLost::Exited { .. }))
    );

    let second = instance.ready(SOON).await.unwrap();
    assert_eq!(second.generation(), 2);
    gone(first.process().session()).await;
    instance.shutdown().await;
}

#[tokio::test]
async fn what_a_dying_process_said_last_is_delivered() {
    let last = r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u","status":"failed"}}}"#;
    let (_folder, config) = script(&GOOD.replace(
        "while",
        &format!("read -r line; echo '{last}'; exit 3\nwhile"),
    ));
    let instance = Instance::start(config);
    let connection = instance.ready(SOON).await.unwrap();
    let (_, mut stream) = connection
        .client()
        .thread_start(ThreadStartParams::default())
        .await
        .unwrap();
    let error = connection
        .client()
        .call::<_, Value>("last", &json!({}), SOON)
        .await
        .unwrap_err();
    assert!(matches!(error, RpcError::Closed { .. }), "{error:?}");
    assert!(
        matches!(stream.next().await, ThreadEvent::Notification(n) if n.method() == "turn/completed")
    );
    let ThreadEvent::Lost { why } = stream.next().await else {
        panic!()
    };
    assert!(
        matches!(
            *why,
            ConnectionLost::Exited {
                status: ExitStatus::Code(3),
                ..
            }
        ),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_program_that_exits_at_once_is_told_at_once_with_its_last_words() {
    let (_folder, config) = script("echo 'bad option' >&2; exit 2");
    let instance = Instance::start(config);
    let since = Instant::now();
    let error = instance.ready(Duration::from_secs(60)).await.unwrap_err();
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    let InstanceError::Start(why) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(why.to_string(), "codex exited with code 2: bad option");
}

#[tokio::test]
async fn a_program_that_can_not_be_executed_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["missing", "not-executable"] {
        let program = folder.path().join(name);
        if name != "missing" {
            fs::write(&program, "text").unwrap();
        }
        let instance = Instance::start(config(program, &folder));
        let error = instance.ready(Duration::from_secs(60)).await.unwrap_err();
        assert!(
            matches!(error, InstanceError::Spawn { .. }),
            "{name}: {error:?}"
        );
        assert!(instance.shutdown().await.is_none());
    }
}

#[tokio::test]
async fn a_program_that_never_answers_fails_its_handshake_and_is_ended() {
    let (_folder, mut config) =
        script("sleep 1000 & echo 'still thinking' >&2; while read -r line; do :; done");
    config.handshake_timeout = Duration::from_millis(200);
    // After the first failure it isn't started again while we look.
    config.backoff.first = Duration::from_secs(60);
    config.backoff.longest = Duration::from_secs(60);
    let instance = Instance::start(config);
    let error = instance.ready(SOON).await.unwrap_err();
    let InstanceError::Handshake {
        source,
        stderr_tail,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(matches!(source, RpcError::Deadline { .. }), "{source:?}");
    assert_eq!(stderr_tail.trim(), "still thinking");
    let report = timeout(SOON, instance.shutdown())
        .await
        .expect("it is ended");
    assert!(report.is_none_or(|report| report.survivors.is_empty()));
}

#[tokio::test]
async fn a_start_that_takes_too_long_for_the_caller_is_not_ready() {
    let (_folder, config) = script("while read -r line; do :; done");
    let instance = Instance::start(config);
    let error = instance.ready(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, InstanceError::NotReady { .. }), "{error:?}");
    let report = instance.shutdown().await.expect("a process was running");
    assert!(report.survivors.is_empty());
}
