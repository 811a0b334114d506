//! The real codex, where it is installed.

use std::{fs, path::PathBuf};

use codex_app_server::{
    ConnectionLost, Instance, InstanceConfig, ThreadEvent,
    protocol::{
        ApprovalPolicy, ClientInfo, Notification, SandboxMode, SandboxPolicy, ThreadConfig,
        ThreadId, ThreadItem, ThreadResumeParams, ThreadStartParams, TurnId, TurnStartParams,
        TurnSteerParams, UserInput,
    },
};
use serde_json::json;
use supervisor::{ExitStatus, Guard, session_processes};
use tempfile::TempDir;
use testkit::{ModelServer, model::Options};

use crate::fake::SOON;

/// An instance with a Codex home of its own.
fn start(program: PathBuf) -> (TempDir, Instance) {
    // Linked in, it makes this binary its own guard.
    testkit::init();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("codex-home");
    fs::create_dir(&home).unwrap();
    let quiet = "check_for_update_on_startup = false\n[analytics]\nenabled = false\n[features]\nplugins = false\n";
    fs::write(home.join("config.toml"), quiet).unwrap();
    let client = ClientInfo {
        name: "wegent_test".into(),
        title: "Test".into(),
        version: "1".into(),
    };
    let mut config = InstanceConfig::new(Guard::own(), program, folder.path(), client);
    config.args = vec!["-c".into(), "features.shell_snapshot=false".into()];
    config
        .env
        .set("PATH", "/usr/bin:/bin")
        .set("HOME", folder.path())
        .set("CODEX_HOME", &home);
    (folder, Instance::start(config))
}

fn provider(base_url: &str) -> ThreadConfig {
    let mut config = ThreadConfig::default();
    config.set("model_provider", "local").set(
        "model_providers",
        json!({"local": {"name": "local", "base_url": base_url, "wire_api": "responses"}}),
    );
    config
}

#[tokio::test]
async fn codex_shakes_hands_opens_a_thread_and_comes_back_after_a_kill() {
    let Some(program) = testkit::cli::require_codex(
        "codex_shakes_hands_opens_a_thread_and_comes_back_after_a_kill",
    ) else {
        return;
    };
    let (folder, instance) = start(program);
    let first = instance.ready(SOON).await.unwrap();
    assert_eq!(first.server().version(), Some("0.169.0"));

    let params = ThreadStartParams {
        cwd: Some(folder.path().into()),
        model: Some("m".into()),
        sandbox: Some(SandboxMode::DangerFullAccess),
        // Nobody is asked.
        config: provider("http://127.0.0.1:9/v1"),
        ..ThreadStartParams::default()
    };
    let (opened, mut stream) = first.client().thread_start(params).await.unwrap();
    assert_eq!(opened.model_provider, "local");
    assert_eq!(
        opened.sandbox.known(),
        Some(&SandboxPolicy::DangerFullAccess)
    );
    let event = tokio::time::timeout(SOON, stream.next()).await.unwrap();
    assert!(
        matches!(
            event,
            ThreadEvent::Notification(Notification::ThreadStarted(_))
        ),
        "{event:?}"
    );
    let client = first.client();
    client
        .turn_interrupt(stream.id(), &TurnId::from("none"))
        .await
        .unwrap();
    client
        .background_terminals_clean(stream.id())
        .await
        .unwrap();
    assert_eq!(
        client.threads_loaded().await.unwrap().data,
        [stream.id().clone()]
    );

    first.process().kill().await;
    loop {
        match stream.next().await {
            ThreadEvent::Lost { why } => {
                let ConnectionLost::Exited { status, .. } = *why else {
                    panic!("{why:?}")
                };
                assert_eq!(status, ExitStatus::Signal(9));
                break;
            }
            ThreadEvent::Notification(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let second = instance.ready(SOON).await.unwrap();
    assert_eq!(second.generation(), 2);
    let error = second
        .client()
        .thread_resume(ThreadResumeParams::new(stream.id().clone()))
        .await
        .unwrap_err();
    assert!(
        error.is_thread_unknown(),
        "a thread without a turn is not stored: {error}"
    );
    let unknown = ThreadId::from("01a1fce7-0000-7000-8000-000000000000");
    let error = second
        .client()
        .thread_resume(ThreadResumeParams::new(unknown))
        .await
        .unwrap_err();
    assert!(error.is_thread_unknown(), "{error}");

    let report = instance.shutdown().await.unwrap();
    assert!(report.survivors.is_empty(), "{report:?}");
    for connection in [first, second] {
        assert!(session_processes(connection.process().session()).is_empty());
    }
}

#[tokio::test]
async fn what_is_said_while_a_turn_runs_becomes_a_part_of_it() {
    let test = "what_is_said_while_a_turn_runs_becomes_a_part_of_it";
    let Some(program) = testkit::cli::require_codex(test) else {
        return;
    };
    let model = ModelServer::start(Options::default()).await.unwrap();
    let (folder, instance) = start(program);
    let connection = instance.ready(SOON).await.unwrap();
    let client = connection.client();
    let params = ThreadStartParams {
        cwd: Some(folder.path().into()),
        model: Some("m".into()),
        sandbox: Some(SandboxMode::DangerFullAccess),
        approval_policy: Some(ApprovalPolicy::Never),
        config: provider(&model.base_url()),
        ..ThreadStartParams::default()
    };
    let (_, mut stream) = client.thread_start(params).await.unwrap();
    let thread = stream.id().clone();
    // The command runs until it is let go.
    let prompt = "Wait. #script:shell\n#cmd:while [ ! -e go ]; do sleep 0.05; done";
    let input = vec![UserInput::text(prompt)];
    let started = client.turn_start(TurnStartParams::new(thread.clone(), input));
    let turn = started.await.unwrap();
    let mut steered = false;
    loop {
        let event = tokio::time::timeout(SOON, stream.next()).await.unwrap();
        let ThreadEvent::Notification(notification) = event else {
            panic!("{event:?}")
        };
        match notification {
            Notification::ItemStarted(event)
                if matches!(event.item, ThreadItem::CommandExecution(_)) =>
            {
                let params = TurnSteerParams {
                    thread_id: thread.clone(),
                    expected_turn_id: turn.clone(),
                    input: vec![UserInput::text("By the way. #script:text")],
                };
                assert_eq!(client.turn_steer(params).await.unwrap(), turn);
                fs::write(folder.path().join("go"), "").unwrap();
                steered = true;
            }
            Notification::TurnCompleted(event) => {
                assert_eq!(event.turn.id, turn);
                break;
            }
            _ => {}
        }
    }
    assert!(steered);
    let said = model.requests().last().unwrap().user_texts();
    assert!(
        matches!(said.as_slice(), [first, last] if first.starts_with("Wait.") && last.starts_with("By the way.")),
        "{said:?}"
    );
    instance.shutdown().await.unwrap();
}
