//! What happens when something is killed, stopped or removed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use codex_daemon::{
    client::{Patience, ask_surely},
    protocol::{DaemonLine, Event, LossReason, OnLoss, Operation, Outcome, StatusView},
};
use nix::sys::signal::Signal;
use testkit::model::{Options, Script};

use crate::stage::{JustConnect, SOON, Stage, signal, until};

/// A model that takes its time: a question runs for as long as a test needs.
async fn slow(test: &str) -> Option<Stage> {
    let options = Options {
        script: Script::Echo,
        slow_delay: Duration::from_millis(50),
        slow_count: 400,
        ..Options::default()
    };
    Stage::with(test, options).await
}

const SLOW: &str = "#script:slow";

/// Waits until `count` requests have reached the model.
async fn asked(stage: &Stage, count: usize) {
    assert!(stage.model.wait_for(SOON, |seen| seen.len() >= count).await);
}

#[tokio::test]
async fn a_killed_codex_is_replaced_and_the_session_goes_on() {
    let Some(stage) = slow("a_killed_codex_is_replaced_and_the_session_goes_on").await else {
        return;
    };
    let daemon = stage.start().await;
    let (_, codex) = stage.ready().await;
    let mut client = stage.client().await;
    client.ask(&stage.question("one"), |_, _| ()).await.unwrap();
    let thread = stage.run(&["show", "--json"]).await;
    let question = stage.question(SLOW);
    let lost = client.ask(&question, |event, _| {
        if matches!(event, Event::Delta { .. }) {
            signal(codex, Signal::SIGKILL);
        }
    });
    let lost = lost.await.unwrap();
    assert!(
        matches!(
            lost,
            Outcome::Lost {
                what: LossReason::AppServer,
                ..
            }
        ),
        "{lost:?}"
    );
    let (status, new) = stage.ready_after(codex).await;
    assert!(new != codex && status.restarts >= 1, "{status:?}");
    let next = client.ask(&stage.question("two"), |_, _| ()).await.unwrap();
    assert_eq!(next.text(), "echo: two");
    let id = |ran: &crate::stage::Ran| {
        let view: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        view["thread"].clone()
    };
    assert_eq!(
        id(&thread),
        id(&stage.run(&["show", "--json"]).await),
        "the conversation goes on"
    );
    assert_eq!(status.pid, u32::try_from(daemon).unwrap());
}

#[tokio::test]
async fn a_question_is_asked_again_where_the_client_said_so() {
    let Some(stage) = slow("a_question_is_asked_again_where_the_client_said_so").await else {
        return;
    };
    stage.start().await;
    let (_, codex) = stage.ready().await;
    let mut client = stage.client().await;
    client.ask(&stage.question("one"), |_, _| ()).await.unwrap();
    let mut question = stage.question("#script:slow_start");
    question.on_loss = OnLoss::AskAgain;
    let kill = async {
        asked(&stage, 2).await;
        signal(codex, Signal::SIGKILL);
    };
    let (outcome, ()) = tokio::join!(client.ask(&question, |_, _| ()), kill);
    let outcome = outcome.unwrap();
    assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_killed_daemon_takes_codex_with_it_and_its_sessions_are_there_again() {
    let test = "a_killed_daemon_takes_codex_with_it_and_its_sessions_are_there_again";
    let Some(stage) = slow(test).await else {
        return;
    };
    let daemon = stage.start().await;
    stage.ready().await;
    let mut client = stage.client().await;
    client.ask(&stage.question("one"), |_, _| ()).await.unwrap();
    let question = stage.question(SLOW);
    let mut connect = JustConnect(stage.socket());
    let patience = Patience {
        total: SOON,
        ..Patience::default()
    };
    let mut gap = false;
    let asking = ask_surely(&mut connect, &patience, &question, |event, _| {
        gap |= matches!(event, Event::Gap { .. });
    });
    let crash = async {
        asked(&stage, 2).await;
        signal(daemon, Signal::SIGKILL);
        stage.nothing_runs().await;
        // Its lock, pid file and socket are still there, and stop nobody.
        assert!(stage.socket().exists());
        stage.start().await
    };
    let (outcome, new) = tokio::join!(asking, crash);
    let outcome = outcome.unwrap();
    assert_ne!(new, daemon);
    assert!(
        matches!(
            outcome,
            Outcome::Lost {
                what: LossReason::Daemon,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(gap, "what was missed is told");
    let next = stage.run(&["ask", "two"]).await;
    assert_eq!(next.out, "echo: two\n", "{next:?}");
    let show = stage.run(&["show", "--json"]).await;
    assert!(show.out.contains(r#""state": "lost""#), "{show:?}");
}

#[tokio::test]
async fn both_killed_at_once_come_back_with_the_next_question() {
    let Some(stage) = slow("both_killed_at_once_come_back_with_the_next_question").await else {
        return;
    };
    let daemon = stage.start().await;
    let (_, codex) = stage.ready().await;
    assert_eq!(stage.run(&["ask", "one"]).await.code, 0);
    signal(daemon, Signal::SIGKILL);
    signal(codex, Signal::SIGKILL);
    stage.nothing_runs().await;
    let next = stage.run(&["ask", "two"]).await;
    assert_eq!(
        (next.code, next.out.as_str()),
        (0, "echo: two\n"),
        "{next:?}"
    );
    let last = stage.model.requests();
    let body = serde_json::to_string(&last.last().unwrap().body).unwrap();
    assert!(body.contains("one"), "the conversation goes on");
}

#[tokio::test]
async fn a_codex_that_hangs_is_replaced() {
    let Some(mut stage) = slow("a_codex_that_hangs_is_replaced").await else {
        return;
    };
    stage.set("CODEX_DAEMON_PROBE_SECONDS", "1");
    stage.set("CODEX_DAEMON_PROBE_TIMEOUT_SECONDS", "2");
    stage.start().await;
    let (_, codex) = stage.ready().await;
    assert_eq!(stage.run(&["ask", "one"]).await.code, 0);
    signal(codex, Signal::SIGSTOP);
    let (_, new) = stage.ready_after(codex).await;
    assert_ne!(new, codex);
    let next = stage.run(&["ask", "two"]).await;
    assert_eq!(next.out, "echo: two\n", "{next:?}");
}

#[tokio::test]
async fn a_codex_that_never_shakes_hands_is_replaced() {
    let Some(mut stage) = slow("a_codex_that_never_shakes_hands_is_replaced").await else {
        return;
    };
    // Until `go` is there, each app-server stops before it has said a word.
    let (go, stopped) = (stage.path("go"), stage.path("stopped"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *app-server*) [ -e {go} ] || {{ echo $$ >> {stopped}; kill -STOP $$; }};; esac\n\
         exec {codex} \"$@\"\n",
        go = go.display(),
        stopped = stopped.display(),
        codex = stage.codex.display(),
    );
    let stuck = stage.path("stuck");
    fs::write(&stuck, script).unwrap();
    fs::set_permissions(&stuck, fs::Permissions::from_mode(0o700)).unwrap();
    stage.codex = stuck;
    stage.set("CODEX_DAEMON_HANDSHAKE_TIMEOUT_SECONDS", "4");
    stage.start().await;
    until("health fails", async || !stage.health().await.healthy).await;
    until("another one is tried", async || {
        fs::read_to_string(&stopped).is_ok_and(|pids| pids.lines().count() > 1)
    })
    .await;
    fs::write(&go, "").unwrap();
    let (status, _) = stage.ready().await;
    assert!(status.restarts > 0, "{status:?}");
    assert_eq!(stage.run(&["ask", "one"]).await.out, "echo: one\n");
    for pid in fs::read_to_string(&stopped).unwrap().lines() {
        assert!(
            !Path::new("/proc").join(pid).exists(),
            "{pid} is still there"
        );
    }
}

#[tokio::test]
async fn a_codex_that_is_not_to_be_restarted_fails_health() {
    let Some(mut stage) = slow("a_codex_that_is_not_to_be_restarted_fails_health").await else {
        return;
    };
    stage.set("CODEX_DAEMON_AUTO_RESTART", "off");
    let told = stage.path("told");
    let alert = format!(r#"["/bin/sh", "-c", "echo \"$0\" >> {}"]"#, told.display());
    stage.set("CODEX_DAEMON_ON_ALERT", alert);
    stage.start().await;
    let (_, codex) = stage.ready().await;
    signal(codex, Signal::SIGKILL);
    until("health fails", async || !stage.health().await.healthy).await;
    let health = stage.run(&["health"]).await;
    assert!(
        health.code == 7 && health.out.contains("auto_restart is off"),
        "{health:?}"
    );
    until("the alert is told", async || {
        fs::read_to_string(&told).is_ok_and(|told| told.contains("codex is down"))
    })
    .await;
    assert_eq!(stage.run(&["restart", "--codex"]).await.code, 0);
    until("health is back", async || stage.health().await.healthy).await;
}

#[tokio::test]
async fn a_removed_socket_is_bound_again() {
    let Some(stage) = slow("a_removed_socket_is_bound_again").await else {
        return;
    };
    let daemon = stage.start().await;
    let mut old = stage.client().await;
    fs::remove_file(stage.socket()).unwrap();
    until("the socket is there again", async || {
        stage.socket().exists()
    })
    .await;
    let mut new = stage.client().await;
    assert_eq!(new.hello().pid, u32::try_from(daemon).unwrap());
    for client in [&mut old, &mut new] {
        let _: StatusView = client.call(Operation::Status {}).await.unwrap();
    }
}

#[tokio::test]
async fn an_upgrade_while_running_keeps_the_sessions() {
    let Some(mut stage) = slow("an_upgrade_while_running_keeps_the_sessions").await else {
        return;
    };
    let installed = stage.path("codex-daemon");
    fs::copy(&stage.program, &installed).unwrap();
    stage.program.clone_from(&installed);
    let old = stage.start().await;
    let (_, codex) = stage.ready().await;
    assert_eq!(stage.run(&["ask", "one"]).await.code, 0);
    // As a package manager does: the running program's file is gone, another has its name.
    let new = stage.path("codex-daemon.new");
    fs::copy(&installed, &new).unwrap();
    fs::rename(&new, &installed).unwrap();
    // The old daemon still starts guards.
    signal(codex, Signal::SIGKILL);
    stage.ready_after(codex).await;
    assert_eq!(stage.run(&["ask", "two"]).await.out, "echo: two\n");
    assert_eq!(stage.run(&["restart"]).await.code, 0);
    let (status, _) = stage.ready().await;
    assert!(
        status.pid != u32::try_from(old).unwrap() && status.sessions == 1,
        "{status:?}"
    );
    assert_eq!(stage.run(&["ask", "three"]).await.out, "echo: three\n");
}

#[tokio::test]
async fn a_codex_that_ignores_an_interrupt_is_replaced() {
    let test = "a_codex_that_ignores_an_interrupt_is_replaced";
    let Some(mut stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let folder = stage.path("fake");
    fs::create_dir(&folder).unwrap();
    stage.codex = testkit::roles::install_fake_codex(&folder).unwrap();
    // It has no sandbox to try.
    stage.set("CODEX_DAEMON_ACCESS", "full");
    stage.start().await;
    let (_, first) = stage.ready().await;
    let ask = stage.question("#fake:ignore-interrupt\n#fake:say deaf\n#fake:wait millis=600000");
    let mut client = stage.client().await;
    let call = client.send(Operation::Ask(ask.clone())).await.unwrap();
    let mut other = stage.client().await;
    let outcome = loop {
        match client.next().await.unwrap() {
            DaemonLine::Event {
                event: Event::Delta { .. },
                ..
            } => {
                let stop = Operation::Interrupt(ask.target());
                other.call::<serde_json::Value>(stop).await.unwrap();
            }
            DaemonLine::Ok { id, ok } if id == call => break ok,
            DaemonLine::Error { error, .. } => panic!("{error}"),
            _ => {}
        }
    };
    assert_eq!(outcome["outcome"], "interrupted", "{outcome}");
    let (_, second) = stage.ready_after(first).await;
    assert_ne!(first, second);
    let answer = stage.run(&["ask", "and now?"]).await;
    assert_eq!(answer.out, "fake: and now?\n", "{answer:?}");
}
