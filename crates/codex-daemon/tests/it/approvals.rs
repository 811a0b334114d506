//! Permissions.

use codex_daemon::{
    client::Client,
    protocol::{DaemonLine, Decide, Decision, Event, Operation, Outcome, SettledBy, Target, Watch},
};
use testkit::model::Script;

use crate::stage::{Stage, until};

/// The next event that `pick` takes.
async fn event<T>(client: &mut Client, pick: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        match client.next().await.unwrap() {
            DaemonLine::Event { event, .. } => {
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
            // The answer to `decide`.
            DaemonLine::Ok { ok, .. } if ok == serde_json::json!({}) => {}
            DaemonLine::Ok { ok, .. } => panic!("over: {ok}"),
            DaemonLine::Error { error, .. } => panic!("{error}"),
            DaemonLine::Hello(_) => {}
        }
    }
}

fn approval(event: &Event) -> Option<String> {
    match event {
        Event::Approval { approval, .. } => Some(approval.clone()),
        _ => None,
    }
}

fn settled(event: &Event) -> Option<(Decision, SettledBy)> {
    match event {
        Event::Settled { decision, by, .. } => Some((*decision, *by)),
        _ => None,
    }
}

fn ended(event: &Event) -> Option<Outcome> {
    match event {
        Event::Ended { outcome, .. } => Some(outcome.clone()),
        _ => None,
    }
}

async fn stage(test: &str) -> Option<Stage> {
    Stage::new(test, Script::Echo).await
}

/// A command that wants to leave the sandbox, and leaves a trace if it may.
fn escape(stage: &Stage) -> String {
    let trace = stage.path("home/trace");
    format!("#script:shell_escalated\n#cmd:touch {}", trace.display())
}

#[tokio::test]
async fn what_a_client_allows_is_done() {
    let Some(stage) = stage("what_a_client_allows_is_done").await else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    let mut asker = stage.client().await;
    let mut question = stage.question(&escape(&stage));
    question.interactive = true;
    asker.send(Operation::Ask(question)).await.unwrap();
    let wanted = event(&mut asker, approval).await;
    assert!(!stage.path("home/trace").exists());

    // A client that comes later is asked too, and may answer.
    let mut other = stage.client().await;
    let watch = Watch {
        session: None,
        cwd: Some(stage.path("work")),
        after: None,
        interactive: true,
    };
    other.send(Operation::Watch(watch)).await.unwrap();
    assert_eq!(event(&mut other, approval).await, wanted);
    let decide = Decide {
        approval: wanted.clone(),
        decision: Decision::Accept,
    };
    other.send(Operation::Decide(decide.clone())).await.unwrap();
    assert_eq!(
        event(&mut asker, settled).await,
        (Decision::Accept, SettledBy::Client)
    );
    let outcome = event(&mut asker, ended).await;
    assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    assert!(stage.path("home/trace").exists());
    let late = stage
        .client()
        .await
        .call::<serde_json::Value>(Operation::Decide(decide))
        .await;
    assert!(
        late.unwrap_err().to_string().contains("nobody waits"),
        "it is settled"
    );
}

#[tokio::test]
async fn a_permission_is_asked_again_when_the_client_comes_back() {
    let Some(stage) = stage("a_permission_is_asked_again_when_the_client_comes_back").await else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    let mut question = stage.question(&escape(&stage));
    question.interactive = true;
    let mut asker = stage.client().await;
    asker.send(Operation::Ask(question.clone())).await.unwrap();
    let (wanted, cursor) = loop {
        if let DaemonLine::Event { event, cursor, .. } = asker.next().await.unwrap()
            && let Some(wanted) = approval(&event)
        {
            break (wanted, cursor);
        }
    };
    drop(asker);
    question.after = Some(cursor);
    let mut again = stage.client().await;
    again.send(Operation::Ask(question)).await.unwrap();
    assert_eq!(event(&mut again, approval).await, wanted);
    let decide = Decide {
        approval: wanted,
        decision: Decision::Decline,
    };
    again.send(Operation::Decide(decide)).await.unwrap();
    event(&mut again, ended).await;
    assert!(!stage.path("home/trace").exists());
}

#[tokio::test]
async fn nobody_answers_in_time_and_the_default_holds() {
    let Some(mut stage) = stage("nobody_answers_in_time_and_the_default_holds").await else {
        return;
    };
    stage.set("CODEX_DAEMON_APPROVAL_TIMEOUT_SECONDS", "1");
    stage.start().await;
    stage.ready().await;
    let mut asker = stage.client().await;
    let mut question = stage.question(&escape(&stage));
    question.interactive = true;
    asker.send(Operation::Ask(question)).await.unwrap();
    assert_eq!(
        event(&mut asker, settled).await,
        (Decision::Decline, SettledBy::Deadline)
    );
    event(&mut asker, ended).await;
    assert!(!stage.path("home/trace").exists());
}

#[tokio::test]
async fn nobody_is_there_and_the_default_holds_at_once() {
    let Some(stage) = stage("nobody_is_there_and_the_default_holds_at_once").await else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    let mut by = None;
    let question = stage.question(&escape(&stage));
    let mut client = stage.client().await;
    let asked = client.ask(&question, |event, _| by = by.or(settled(event)));
    asked.await.unwrap();
    assert_eq!(by, Some((Decision::Decline, SettledBy::NobodyAttached)));
    assert!(!stage.path("home/trace").exists());
}

#[tokio::test]
async fn a_command_may_write_its_folder_and_nothing_else() {
    let Some(stage) = stage("a_command_may_write_its_folder_and_nothing_else").await else {
        return;
    };
    // Outside of the temporary folder, which the sandbox lets commands write.
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let work = home.path().join("work");
    std::fs::create_dir(&work).unwrap();
    stage.start().await;
    stage.ready().await;
    let question = format!(
        "#script:shell\n#cmd:sleep 0.3; touch {0}/work/in; touch {0}/out; true",
        home.path().display()
    );
    let mut client = stage.client().await;
    let question = codex_daemon::protocol::Ask::new(Target::of_folder(&work), question);
    client.ask(&question, |_, _| ()).await.unwrap();
    assert!(work.join("in").exists());
    assert!(!home.path().join("out").exists());
}

#[tokio::test]
async fn where_the_sandbox_does_not_work_nothing_is_run() {
    let Some(mut stage) = stage("where_the_sandbox_does_not_work_nothing_is_run").await else {
        return;
    };
    // Codex runs the bwrap that lies beside it, and only that one: an installation with another can't confine anything.
    let bin = stage.path("codex-cli/bin");
    let resources = stage.path("codex-cli/codex-resources");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(&resources).unwrap();
    std::fs::write(resources.join("bwrap"), "#!/bin/sh\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(resources.join("bwrap"), mode).unwrap();
    let codex = bin.join("codex");
    if std::fs::hard_link(&stage.codex, &codex).is_err() {
        std::fs::copy(&stage.codex, &codex).unwrap();
    }
    stage.codex = codex;
    stage.start().await;
    let asked = stage.run(&["ask", "hello"]).await;
    assert!(
        asked.code == 1 && asked.err.contains("sandbox does not work"),
        "{asked:?}"
    );
    assert!(asked.err.contains("access = \"full\""), "{asked:?}");
    assert!(stage.model.requests().is_empty());
    until("health says so", async || {
        stage
            .health()
            .await
            .reasons
            .iter()
            .any(|reason| reason.contains("sandbox"))
    })
    .await;
    assert_eq!(stage.run(&["doctor"]).await.code, 7);
}
