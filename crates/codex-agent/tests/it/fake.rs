//! What the real CLI can't be made to do.

use std::time::{Duration, Instant};

use agent_core::{
    Agent, AgentError, AgentEvent, CancelHandle, CancelReason, ErrorClass, Outcome, StopStep,
};
use testkit::procs;

use crate::stage::{Stage, text, turn};

fn completed(result: Result<Outcome, AgentError>) -> String {
    match result {
        Ok(Outcome::Completed(done)) => done.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_turn_says_what_the_cli_said_and_the_next_one_goes_on() {
    let (stage, _cli) = Stage::with_fake();
    let (events, result) = stage.run(&turn("#fake:say one two", None)).await;
    assert_eq!(completed(result), "one two");
    assert_eq!(text(&events), "one two");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, AgentEvent::Session(_))),
        "{events:?}"
    );
    let (_, result) = stage.run(&turn("#fake:history", None)).await;
    assert!(completed(result).contains("#fake:say one two"));
}

#[tokio::test]
async fn a_cli_that_dies_ends_the_turn_with_its_reason_and_the_next_turn_resumes() {
    let (stage, _cli) = Stage::with_fake();
    let (events, result) = stage.run(&turn("#fake:say half\n#fake:exit 7", None)).await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, AgentError::Exited { status, .. } if status.contains('7')),
        "{error:?}"
    );
    assert_eq!(text(&events), "half");
    let (_, result) = stage.run(&turn("#fake:history", None)).await;
    assert!(completed(result).contains("#fake:say half"));
}

#[tokio::test]
async fn a_cli_that_dies_before_anything_is_done_is_replaced_and_the_text_is_shown_once() {
    let (stage, _cli) = Stage::with_fake();
    let words = "one two three four";
    let (events, result) = stage
        .run(&turn(&format!("#fake:break {words}"), None))
        .await;
    assert_eq!(completed(result), words);
    assert_eq!(text(&events), words);
    let (_, result) = stage.run(&turn("#fake:history", None)).await;
    assert!(completed(result).contains("#fake:break"));
}

#[tokio::test]
async fn a_cli_that_dies_after_a_tool_was_called_is_not_asked_again() {
    let (stage, _cli) = Stage::with_fake();
    let prompt = "#fake:tool rm -r /important\n#fake:break one two";
    let (events, result) = stage.run(&turn(prompt, None)).await;
    assert!(
        matches!(result, Err(AgentError::Exited { .. })),
        "{result:?}"
    );
    assert_eq!(text(&events), "one ");
}

#[tokio::test]
async fn silence_in_the_middle_of_a_turn_is_a_stall_and_a_turn_has_its_limit() {
    for (silence, whole) in [(300, 60_000), (60_000, 300)] {
        let cli = tempfile::tempdir().unwrap();
        let binary = testkit::roles::install_fake_codex(cli.path()).unwrap();
        let stage = Stage::new(&binary, |config| {
            config.deadlines.silence = Duration::from_millis(silence);
            config.deadlines.turn = Duration::from_millis(whole);
        });
        let (_, result) = stage.run(&turn("#fake:say on it\n#fake:hang", None)).await;
        assert!(
            matches!(
                result,
                Err(AgentError::Stalled {
                    phase: agent_core::Phase::Running,
                    ..
                })
            ),
            "{result:?}"
        );
    }
}

/// Turns of `tasks` at the same time, on an agent with `places` app-servers; gives how many were alive at most.
async fn crowd(places: usize, tasks: std::ops::Range<i64>, prompt: &str) -> usize {
    let cli = tempfile::tempdir().unwrap();
    let binary = testkit::roles::install_fake_codex(cli.path()).unwrap();
    let stage = Stage::new(&binary, |config| config.max_servers = places);
    let most = std::sync::atomic::AtomicUsize::new(0);
    let turns = tasks.map(|task| {
        let (stage, most) = (&stage, &most);
        async move {
            let mut turn = turn(prompt, None);
            turn.key.task = agent_core::TaskId(task);
            let (_handle, cancel) = CancelHandle::new();
            let (_, result) = stage
                .run_until(&turn, cancel, |_| {
                    let servers = stage.processes().into_iter().filter(|proc| {
                        proc.command.contains("app-server") && !proc.command.contains("guard")
                    });
                    most.fetch_max(servers.count(), std::sync::atomic::Ordering::Relaxed);
                })
                .await;
            completed(result)
        }
    });
    let said = futures::future::join_all(turns).await;
    assert!(said.iter().all(|text| text == "here"), "{said:?}");
    stage.agent.shutdown().await;
    most.into_inner()
}

#[tokio::test]
async fn no_more_app_servers_are_alive_than_may_be_and_every_task_has_its_turn() {
    assert_eq!(
        crowd(2, 1..8, "#fake:say here\n#fake:wait millis=100").await,
        2
    );
}

#[tokio::test]
async fn a_turn_that_waits_for_a_place_can_be_cancelled() {
    let cli = tempfile::tempdir().unwrap();
    let binary = testkit::roles::install_fake_codex(cli.path()).unwrap();
    let stage = Stage::new(&binary, |config| config.max_servers = 1);
    let (first, first_cancel) = CancelHandle::new();
    let (second, second_cancel) = CancelHandle::new();
    let busy = turn("#fake:say busy\n#fake:hang", None);
    let mut waiting = turn("#fake:say never", None);
    waiting.key.task = agent_core::TaskId(2);
    let waits = async {
        let (events, result) = stage.run_until(&waiting, second_cancel, |_| {}).await;
        assert!(
            matches!(
                result,
                Ok(Outcome::Cancelled {
                    stopped_by: StopStep::NotStarted,
                    ..
                })
            ),
            "{result:?}"
        );
        assert!(events.is_empty(), "{events:?}");
        first.cancel(CancelReason::User);
    };
    let runs = stage.run_until(&busy, first_cancel, |event| {
        if matches!(event, AgentEvent::BlockEnd { .. }) {
            second.cancel(CancelReason::User);
        }
    });
    let ((_, ended), ()) = tokio::join!(runs, waits);
    assert!(matches!(ended, Ok(Outcome::Cancelled { .. })), "{ended:?}");
}

#[tokio::test]
async fn the_spare_is_the_first_tasks_and_its_conversation_lies_with_the_task() {
    let (stage, _cli) = Stage::with_fake();
    stage.agent.prepare_spare().await.unwrap();
    let guards = || stage.processes().len();
    assert!(guards() <= 2, "{:?}", stage.processes());
    completed(stage.run(&turn("#fake:say hi", None)).await.1);
    assert_eq!(guards(), 2, "the spare is used: {:?}", stage.processes());
    let (_, result) = stage.run(&turn("#fake:history", None)).await;
    assert!(completed(result).contains("#fake:say hi"));
    assert!(
        stage
            .workspace
            .state
            .join("codex/sessions")
            .read_dir()
            .unwrap()
            .next()
            .is_some()
    );
    stage.agent.shutdown().await;
}

#[tokio::test]
async fn half_a_line_and_garbage_are_survived_or_told() {
    let (stage, _cli) = Stage::with_fake();
    let (events, result) = stage
        .run(&turn("#fake:garbage\n#fake:say fine", None))
        .await;
    assert_eq!(completed(result), "fine");
    assert_eq!(text(&events), "fine");
    let (_, result) = stage.run(&turn("#fake:halfline", None)).await;
    assert_eq!(result.unwrap_err().class(), ErrorClass::Agent);
}

#[tokio::test]
async fn a_cancelled_turn_ends_by_the_protocol_and_its_server_is_kept() {
    let (stage, _cli) = Stage::with_fake();
    let (handle, cancel) = CancelHandle::new();
    let started = Instant::now();
    let (_, result) = stage
        .run_until(
            &turn("#fake:say on it\n#fake:hang", None),
            cancel,
            |event| {
                if matches!(event, AgentEvent::BlockEnd { .. }) {
                    handle.cancel(CancelReason::User);
                }
            },
        )
        .await;
    let Ok(Outcome::Cancelled {
        reason: CancelReason::User,
        stopped_by,
        survivors: 0,
        ..
    }) = result
    else {
        panic!("{result:?}")
    };
    assert_eq!(stopped_by, StopStep::Protocol);
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(
        !stage.processes().is_empty(),
        "the app-server stays for the next turn"
    );
    stage.agent.shutdown().await;
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(4))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cli_that_ignores_the_interrupt_is_killed_within_four_seconds() {
    let (stage, _cli) = Stage::with_fake();
    let (handle, cancel) = CancelHandle::new();
    let mut cancelled = None;
    let (_, result) = stage
        .run_until(
            &turn("#fake:ignore-interrupt\n#fake:say deaf\n#fake:hang", None),
            cancel,
            |event| {
                if matches!(event, AgentEvent::BlockEnd { .. }) {
                    cancelled = Some(Instant::now());
                    handle.cancel(CancelReason::User);
                }
            },
        )
        .await;
    assert!(cancelled.unwrap().elapsed() < Duration::from_secs(4));
    let Ok(Outcome::Cancelled {
        stopped_by: StopStep::Kill,
        survivors: 0,
        ..
    }) = result
    else {
        panic!("{result:?}")
    };
    assert!(stage.processes().is_empty());
}

#[tokio::test]
async fn a_cli_that_says_nothing_at_first_is_a_stall() {
    let folder = tempfile::tempdir().unwrap();
    let binary = testkit::roles::install_fake_codex(folder.path()).unwrap();
    let stage = Stage::new(&binary, |config| {
        config.deadlines.first_progress = Duration::from_millis(300)
    });
    let (_, result) = stage.run(&turn("#fake:hang", None)).await;
    assert_eq!(result.unwrap_err().class(), ErrorClass::Timeout);
}

#[tokio::test]
async fn an_idle_server_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let binary = testkit::roles::install_fake_codex(folder.path()).unwrap();
    let stage = Stage::new(&binary, |config| config.idle = Duration::from_millis(100));
    completed(stage.run(&turn("#fake:say hi", None)).await.1);
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(5))
        .await
        .unwrap();
    let (_, result) = stage.run(&turn("#fake:history", None)).await;
    assert!(completed(result).contains("#fake:say hi"));
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let stage = Stage::new(std::path::Path::new("/nowhere/codex"), |_| {});
    let error = stage.run(&turn("hi", None)).await.1.unwrap_err();
    assert!(
        error.chain().contains("/nowhere/codex"),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn a_dropped_turn_leaves_nothing_running() {
    let (stage, _cli) = Stage::with_fake();
    let (_handle, cancel) = CancelHandle::new();
    let hanging = turn("#fake:hang", None);
    let running = stage.run_until(&hanging, cancel, |_| {});
    assert!(
        tokio::time::timeout(Duration::from_secs(1), running)
            .await
            .is_err()
    );
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(4))
        .await
        .unwrap();
}
