//! Turns that are stopped, fail, or leave something behind.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use agent_core::{
    AgentError, AgentEvent, CancelHandle, CancelReason, ErrorClass, Outcome, Phase, StopStep,
    ToolEvent,
};
use testkit::{ModelServer, model::Options, procs};

use crate::stage::{Stage, text, turn};

/// The processes of the stage that tools started: all but the CLI.
fn tools(stage: &Stage) -> Vec<procs::Proc> {
    let mut all = stage.processes();
    all.retain(|proc| !proc.command.contains("--input-format"));
    all
}

#[tokio::test]
async fn a_cancelled_turn_leaves_no_tool_running_and_its_process_is_kept() {
    for (stage, model) in Stage::of_all_versions("cancel").await {
        let (handle, cancel) = CancelHandle::new();
        let asked = turn("#script:shell #cmd:echo up > up; tail -f /dev/null", &model);
        let up = stage.workspace.cwd.join("up");
        let waiting = async {
            appears(&up).await;
            let at = Instant::now();
            handle.cancel(CancelReason::User);
            at
        };
        let (at, (_, result)) = tokio::join!(waiting, stage.run_until(&asked, cancel, |_| {}));
        let took = at.elapsed();
        eprintln!("cancelled within {took:?}");
        let Ok(Outcome::Cancelled {
            reason: CancelReason::User,
            stopped_by: StopStep::Protocol,
            survivors: 0,
            usage: Some(_),
        }) = result
        else {
            panic!("{result:?}")
        };
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(tools(&stage).is_empty(), "{:?}", tools(&stage));
        let cli = stage.cli().pid;
        let (events, _) = stage
            .complete(&turn("after #script:remember", &model))
            .await;
        assert!(text(&events).contains("tail -f"), "{}", text(&events));
        assert_eq!(stage.cli().pid, cli);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_turn_cancelled_while_text_streams_keeps_the_text() {
    for (stage, model) in Stage::of_all_versions("cancel text").await {
        let (handle, cancel) = CancelHandle::new();
        let (events, result) = stage
            .run_until(&turn("#script:slow", &model), cancel, |event| {
                if matches!(event, AgentEvent::Text { .. }) {
                    handle.cancel(CancelReason::User);
                }
            })
            .await;
        assert!(
            matches!(
                result,
                Ok(Outcome::Cancelled {
                    stopped_by: StopStep::Protocol,
                    ..
                })
            ),
            "{result:?}"
        );
        assert!(!text(&events).is_empty());
        stage.close().await;
    }
}

#[tokio::test]
async fn a_background_shell_ends_with_its_turn_and_what_follows_is_told_to_nobody() {
    for (stage, model) in Stage::of_all_versions("background").await {
        let asked = turn("#script:background #cmd:tail -f /dev/null", &model);
        let began = Instant::now();
        let (events, done) = stage.complete(&asked).await;
        eprintln!("a turn with a background shell took {:?}", began.elapsed());
        assert!(tools(&stage).is_empty(), "{:?}", tools(&stage));
        assert!(text(&events).ends_with(&done.text), "{}", text(&events));
        let (events, done) = stage.complete(&turn("next #script:echo", &model)).await;
        assert!(done.text.contains("next"), "{done:?}");
        assert_eq!(text(&events), done.text);
        stage.close().await;
    }
}

#[tokio::test]
async fn what_a_tool_detaches_ends_with_the_turn() {
    for (stage, model) in Stage::of_all_versions("detached").await {
        let asked =
            "#script:shell #cmd:setsid sh -c 'tail -f /dev/null' >/dev/null 2>&1 & echo off";
        stage.complete(&turn(asked, &model)).await;
        assert!(tools(&stage).is_empty(), "{:?}", tools(&stage));
        stage.close().await;
    }
}

#[tokio::test]
async fn a_killed_cli_ends_the_turn_within_two_seconds_and_the_next_turn_resumes() {
    for (stage, model) in Stage::of_all_versions("kill").await {
        let (_handle, cancel) = CancelHandle::new();
        let asked = turn("#script:shell #cmd:echo up > up; tail -f /dev/null", &model);
        let up = stage.workspace.cwd.join("up");
        let killing = async {
            appears(&up).await;
            let pid = stage.cli().pid;
            let at = Instant::now();
            kill(pid);
            at
        };
        let (at, (_, result)) = tokio::join!(killing, stage.run_until(&asked, cancel, |_| {}));
        let took = at.elapsed();
        let error = result.unwrap_err();
        assert!(matches!(error, AgentError::Exited { .. }), "{error:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        procs::wait_until_gone(|| stage.processes(), Duration::from_secs(2))
            .await
            .unwrap();
        let (events, _) = stage
            .complete(&turn("after #script:remember", &model))
            .await;
        assert!(text(&events).contains("tail -f"), "{}", text(&events));
        stage.close().await;
    }
}

#[tokio::test]
async fn a_failure_of_the_api_has_its_class() {
    for (stage, model) in Stage::of_all_versions("failures").await {
        for (script, class) in [
            ("err400", ErrorClass::InvalidRequest),
            ("err401", ErrorClass::Unauthorized),
            ("err403", ErrorClass::Forbidden),
            ("err404", ErrorClass::ModelUnavailable),
            ("err413", ErrorClass::InvalidRequest),
            ("err500", ErrorClass::Provider),
            ("err529", ErrorClass::Overloaded),
        ] {
            let (_, result) = stage.run(&turn(&format!("#script:{script}"), &model)).await;
            let error = result.unwrap_err();
            assert_eq!(error.class(), class, "{script}: {error:?}");
        }
        let (_, done) = stage.complete(&turn("#script:text", &model)).await;
        assert!(!done.text.is_empty());
        stage.close().await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_shows_its_text_once() {
    for (stage, model) in Stage::of_all_versions("broken").await {
        let (events, done) = stage
            .complete(&turn("#script:disconnect_equal_once", &model))
            .await;
        assert_eq!(text(&events), done.text);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_model_that_says_nothing_stalls_the_turn_and_not_the_next() {
    for binary in testkit::cli::require_claudes("stall") {
        let model = ModelServer::start(Options::default()).await.unwrap();
        let stage = Stage::new(&binary, |config| {
            config.deadlines.first_output = Duration::from_secs(2);
            config.deadlines.silence = Duration::from_secs(2);
        });
        let (_, result) = stage.run(&turn("#script:silent", &model)).await;
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                AgentError::Stalled {
                    phase: Phase::FirstOutput,
                    ..
                }
            ),
            "{error:?}"
        );
        // A tool may be silent for longer than that.
        let (events, _) = stage
            .complete(&turn(
                "#script:shell #cmd:timeout 4 tail -f /dev/null; echo woke",
                &model,
            ))
            .await;
        let finished = events
            .iter()
            .any(|event| matches!(event, AgentEvent::Tool(ToolEvent::Finished { .. })));
        assert!(finished, "{events:?}");
        stage.close().await;
    }
}

/// Waits until a file is there.
async fn appears(file: &Path) {
    let there = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there)
        .await
        .unwrap_or_else(|_| panic!("{} never came", file.display()));
}

pub(crate) fn kill(pid: i32) {
    use nix::{sys::signal, unistd::Pid};
    signal::kill(Pid::from_raw(pid), signal::Signal::SIGKILL).unwrap();
}
