//! What the real CLI can't be made to do.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use agent_core::{
    AgentError, AgentEvent, CancelHandle, CancelReason, ErrorClass, Outcome, StopStep,
};
use claude_code_agent::ClaudeConfig;
use testkit::{ModelServer, model::Options, procs};

use crate::stage::{Stage, text, turn};

/// A stage with the fake CLI, and a model that is never asked.
async fn stage(change: impl FnOnce(&mut ClaudeConfig)) -> (Stage, ModelServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let binary = testkit::roles::install_fake_claude(folder.path()).unwrap();
    let model = ModelServer::start(Options::default()).await.unwrap();
    (Stage::new(Path::new(&binary), change), model, folder)
}

#[tokio::test]
async fn garbage_is_survived_and_half_a_line_is_an_end() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let (events, done) = stage
        .complete(&turn("#fake:garbage\n#fake:say fine", &model))
        .await;
    assert_eq!(
        (text(&events).as_str(), done.text.as_str()),
        ("fine", "fine")
    );
    let (_, result) = stage
        .run(&turn("#fake:say first\n#fake:halfline", &model))
        .await;
    assert!(
        matches!(result, Err(AgentError::Exited { .. })),
        "{result:?}"
    );
    let (_, done) = stage.complete(&turn("#fake:history", &model)).await;
    assert!(done.text.contains("#fake:garbage"), "{done:?}");
    stage.close().await;
}

#[tokio::test]
async fn a_cli_that_dies_says_why_and_the_next_turn_resumes() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let (events, result) = stage
        .run(&turn(
            "#fake:say half\n#fake:stderr the reason\n#fake:exit 7",
            &model,
        ))
        .await;
    let error = result.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Agent);
    assert!(error.to_string().contains("the reason"), "{error}");
    assert_eq!(text(&events), "half");
    let (_, done) = stage.complete(&turn("#fake:say again", &model)).await;
    assert_eq!(done.text, "again");
    stage.close().await;
}

#[tokio::test]
async fn a_cli_that_ignores_the_interrupt_is_killed_within_four_seconds() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let (handle, cancel) = CancelHandle::new();
    let mut cancelled = None;
    let asked = turn("#fake:ignore-interrupt\n#fake:say deaf\n#fake:hang", &model);
    let (_, result) = stage
        .run_until(&asked, cancel, |event| {
            if matches!(event, AgentEvent::BlockEnd { .. }) {
                cancelled.get_or_insert_with(Instant::now);
                handle.cancel(CancelReason::User);
            }
        })
        .await;
    let Ok(Outcome::Cancelled {
        stopped_by: StopStep::Kill,
        survivors: 0,
        ..
    }) = result
    else {
        panic!("{result:?}")
    };
    let took = cancelled.unwrap().elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(4))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_turn_that_nobody_asked_for_is_told_to_nobody() {
    let (stage, model, _cli) = stage(|_| {}).await;
    stage
        .complete(&turn(
            "#fake:later millis=200 say uninvited\n#fake:say first",
            &model,
        ))
        .await;
    // It comes while nobody is there.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let (events, done) = stage.complete(&turn("#fake:say second", &model)).await;
    assert_eq!(
        (text(&events).as_str(), done.text.as_str()),
        ("second", "second")
    );
    stage.close().await;
}

#[tokio::test]
async fn a_process_that_lingers_after_its_result_holds_up_nobody() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let began = Instant::now();
    stage
        .complete(&turn("#fake:linger millis=60000\n#fake:say done", &model))
        .await;
    stage.close().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn text_that_no_message_confirms_is_followed_by_what_one_says() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let (events, done) = stage
        .complete(&turn(
            "#fake:void one two\n#fake:whole one two three",
            &model,
        ))
        .await;
    assert_eq!(done.text, "one two three");
    assert_eq!(text(&events), "one two three");
    stage.close().await;
}

#[tokio::test]
async fn a_line_of_many_megabytes_is_a_line() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let (events, done) = stage
        .complete(&turn("#fake:big bytes=20000000", &model))
        .await;
    assert!(text(&events).len() >= 20_000_000);
    assert_eq!(text(&events), done.text);
    stage.close().await;
}

#[tokio::test]
async fn an_idle_process_is_given_back_and_the_conversation_goes_on() {
    let (stage, model, _cli) = stage(|config| config.idle = Duration::from_millis(300)).await;
    stage.complete(&turn("#fake:say one", &model)).await;
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(5))
        .await
        .unwrap();
    let (_, done) = stage.complete(&turn("#fake:history", &model)).await;
    assert!(done.text.contains("#fake:say one"), "{done:?}");
    stage.close().await;
}

#[tokio::test]
async fn an_idle_process_that_was_killed_costs_no_turn() {
    let (stage, model, _cli) = stage(|_| {}).await;
    stage.complete(&turn("#fake:say one", &model)).await;
    for process in stage.processes() {
        crate::ends::kill(process.pid);
    }
    let (_, done) = stage.complete(&turn("#fake:say two", &model)).await;
    assert_eq!(done.text, "two");
    stage.close().await;
}

#[tokio::test]
async fn a_failure_by_the_clis_own_fault_is_tried_again_three_times() {
    let (stage, model, _cli) = stage(|_| {}).await;
    let (_, result) = stage
        .run(&turn("#fake:fail - unknown Cannot read properties", &model))
        .await;
    // The fake takes "Retry to proceed" as any prompt, and answers it.
    let Ok(Outcome::Completed(done)) = result else {
        panic!("{result:?}")
    };
    assert!(done.text.contains("Retry to proceed"), "{done:?}");
    stage.close().await;
}
