//! The same subtask again, and another one while the task is busy.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{View, model::Options, oracle::Terminal};
use wegent_executor_tests::{PATIENCE, TurnBody, World};

/// The state of the turn, as a dispatch was answered.
fn state(answer: &Value) -> &str {
    assert_eq!(
        answer["status"], "queued",
        "the captured request asks for the background: {answer}"
    );
    let message = answer["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    message
        .strip_prefix("Task execution status: ")
        .unwrap_or_else(|| panic!("{answer}"))
}

/// What the model was asked, in order: the last text of each request.
fn asked(world: &World) -> Vec<String> {
    world
        .model
        .requests()
        .iter()
        .map(|request| request.user_texts().pop().unwrap_or_default())
        .collect()
}

fn slow(count: u32) -> Options {
    Options {
        slow_delay: Duration::from_millis(40),
        slow_count: count,
        ..Options::default()
    }
}

/// A turn that streams for as long as the world's model is set to be slow.
fn streaming(world: &World) -> TurnBody {
    world.turn(1, 2, "Slowly. #script:slow")
}

async fn streams(world: &World) {
    world
        .wait_for(2, "text streams", |view| view.text.contains("tick1"))
        .await;
}

/// Runs a further turn of the task: what had been dispatched before it has happened by then, or never will.
async fn settled(world: &World, subtask: i64) {
    let view = world
        .run(&world.turn(1, subtask, "Last. #script:text"))
        .await;
    assert!(view.completed(), "{view:#?}");
}

/// The turn of subtask 2 after it ran once and was asked for again: one run, one end.
fn ran_once(world: &World) -> View {
    let callbacks = world.backend.callbacks(2);
    let count = |kind: &str| {
        callbacks
            .iter()
            .filter(|callback| callback.event_type() == kind && callback.shown)
            .count()
    };
    assert_eq!(count("response.created"), 1);
    assert_eq!(
        callbacks
            .iter()
            .filter(|callback| callback.is_terminal() && callback.shown)
            .count(),
        1
    );
    let view = world.backend.view(2);
    testkit::oracle::assert_clean(&view);
    view
}

#[tokio::test]
async fn whatever_comes_for_a_running_turn_is_answered_with_its_state() {
    let test = "whatever_comes_for_a_running_turn_is_answered_with_its_state";
    let Some(world) = World::build_with(test, slow(15), |_| {}).await else {
        return;
    };
    let turn = streaming(&world);
    assert_eq!(state(&world.dispatch(&turn).await), "RUNNING");
    streams(&world).await;
    assert_eq!(state(&world.dispatch(&turn).await), "RUNNING");
    let other = world
        .turn(1, 2, "Something else. #script:text")
        .with("auth_token", json!("another-token-0123456789"));
    assert_eq!(state(&world.dispatch(&other).await), "RUNNING");
    world.finished(2).await;
    settled(&world, 9).await;
    assert_eq!(
        asked(&world),
        ["Slowly. #script:slow", "Last. #script:text"]
    );
    assert!(ran_once(&world).text.ends_with("tick14 "));
}

#[tokio::test]
async fn a_repeat_after_the_end_is_answered_with_how_it_ended() {
    let Some(world) = World::build("a_repeat_after_the_end_is_answered_with_how_it_ended").await
    else {
        return;
    };
    let turn = world.turn(1, 2, "Hello. #script:text");
    world.run(&turn).await;
    // The manager fills these in; they say nothing about the request.
    let elsewhere = turn.clone().with("executor_namespace", json!("another"));
    for body in [&turn, &elsewhere] {
        world.dispatch_until(body, "COMPLETED").await;
    }
    let failing = world.turn(1, 3, "Fail. #script:err404");
    world.run(&failing).await;
    world.dispatch_until(&failing, "FAILED").await;
    settled(&world, 9).await;
    assert_eq!(
        asked(&world),
        [
            "Hello. #script:text",
            "Fail. #script:err404",
            "Last. #script:text"
        ]
    );
    ran_once(&world);
}

#[tokio::test]
async fn a_repeat_under_another_executors_name_is_a_repeat() {
    let Some(world) = World::build("a_repeat_under_another_executors_name_is_a_repeat").await
    else {
        return;
    };
    let turn = world.turn(1, 2, "Hello. #script:text");
    world.run(&turn).await;
    world.dispatch_until(&turn, "COMPLETED").await;
    // Not by `dispatch`: the callbacks that were sent bear the first name, and rightly so.
    let renamed = turn.with("executor_name", json!("wegent-task-renamed"));
    let url = format!("{}/v1/responses", world.executor.url());
    let answer = testkit::http::client::post(&url, &renamed.0, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!((answer.status, state(&answer.json())), (200, "COMPLETED"));
    settled(&world, 9).await;
    assert_eq!(asked(&world).len(), 2);
    ran_once(&world);
}

#[tokio::test]
async fn a_changed_request_after_the_end_is_a_new_attempt_from_the_start() {
    let test = "a_changed_request_after_the_end_is_a_new_attempt_from_the_start";
    let Some(world) = World::build(test).await else {
        return;
    };
    world.run(&world.turn(1, 2, "Hello. #script:text")).await;
    let retry = world.turn(1, 2, "Hello again. #script:echo");
    world.dispatch_anew(&retry).await;
    let view = world.finished_attempt(2, 2).await;
    assert_eq!(
        (view.attempts, view.text.as_str()),
        (2, "echo: Hello again. #script:echo"),
        "{view:#?}"
    );
    let callbacks = world.backend.callbacks(2);
    let again = callbacks
        .iter()
        .rposition(|callback| callback.event_type() == "response.created")
        .unwrap();
    let text = callbacks[again..]
        .iter()
        .find(|callback| callback.event_type() == "response.output_text.delta");
    assert_eq!(text.unwrap().data()["offset"], 0);
    // The callbacks of both have their own keys: a platform that drops repeats must not drop the second run.
    let mut keys: Vec<_> = callbacks
        .iter()
        .map(|callback| header(callback, "idempotency-key"))
        .collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all, "{keys:?}");
}

fn header<'a>(callback: &'a testkit::Callback, name: &str) -> &'a str {
    let found = callback.headers.iter().find(|(header, _)| header == name);
    found
        .map(|(_, value)| value.as_str())
        .unwrap_or_else(|| panic!("no {name}: {callback:#?}"))
}

#[tokio::test]
async fn turns_of_a_busy_task_wait_and_run_in_their_order() {
    let test = "turns_of_a_busy_task_wait_and_run_in_their_order";
    let Some(world) = World::build_with(test, slow(15), |_| {}).await else {
        return;
    };
    world.dispatch(&streaming(&world)).await;
    streams(&world).await;
    for subtask in [5, 4, 3] {
        let answer = world
            .dispatch(&world.turn(1, subtask, &format!("Number {subtask}. #script:echo")))
            .await;
        assert_eq!(state(&answer), "PENDING");
    }
    for subtask in [2, 5, 4, 3] {
        assert!(world.finished(subtask).await.completed());
    }
    let expected = [
        "Slowly. #script:slow",
        "Number 5. #script:echo",
        "Number 4. #script:echo",
        "Number 3. #script:echo",
    ];
    assert_eq!(asked(&world), expected);
    // None was pushed into the one that ran.
    assert_eq!(world.backend.view(2).text.matches("tick").count(), 15);
}

#[tokio::test]
async fn sixteen_turns_may_wait_and_the_next_is_refused() {
    let Some(world) = World::build("sixteen_turns_may_wait_and_the_next_is_refused").await else {
        return;
    };
    let numbered =
        |subtask: i64| world.turn(1, subtask, &format!("Number {subtask}. #script:text"));
    world
        .dispatch(&world.turn(1, 2, "Wait. #script:hang"))
        .await;
    assert!(
        world
            .model
            .wait_for(PATIENCE, |requests| !requests.is_empty())
            .await
    );
    for subtask in 3..19 {
        assert_eq!(
            state(&world.dispatch(&numbered(subtask)).await),
            "PENDING",
            "{subtask}"
        );
    }
    let refused = world.post(&numbered(19).0).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("16"), "{}", refused.text());
    // One that waits already may be asked for again.
    assert_eq!(state(&world.dispatch(&numbered(10)).await), "PENDING");

    let report = world
        .backend
        .cancel(&world.executor.url(), 1, Some(2))
        .await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    for subtask in 3..19 {
        assert!(world.finished(subtask).await.completed(), "{subtask}");
    }
    let order: Vec<String> = (3..19)
        .map(|subtask| format!("Number {subtask}. #script:text"))
        .collect();
    assert_eq!(asked(&world).split_off(1), order);
    // There is room again, and the refused one left nothing behind.
    assert!(world.backend.callbacks(19).is_empty());
    assert!(world.run(&numbered(19)).await.completed());
}

#[tokio::test]
async fn a_waiting_turn_can_be_cancelled_alone() {
    let Some(world) =
        World::build_with("a_waiting_turn_can_be_cancelled_alone", slow(15), |_| {}).await
    else {
        return;
    };
    world.dispatch(&streaming(&world)).await;
    streams(&world).await;
    for subtask in [3, 4, 5] {
        world
            .dispatch(&world.turn(1, subtask, &format!("Number {subtask}. #script:echo")))
            .await;
    }
    let report = world
        .backend
        .cancel(&world.executor.url(), 1, Some(4))
        .await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    let view = world.finished(4).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    assert_eq!(
        world.backend.callbacks(4).last().unwrap().event_type(),
        "response.incomplete"
    );
    for subtask in [2, 3, 5] {
        assert!(world.finished(subtask).await.completed(), "{subtask}");
    }
    assert_eq!(
        asked(&world),
        [
            "Slowly. #script:slow",
            "Number 3. #script:echo",
            "Number 5. #script:echo"
        ]
    );
}

#[tokio::test]
async fn a_restarted_executor_knows_its_turns_again() {
    let Some(mut world) = World::build("a_restarted_executor_knows_its_turns_again").await else {
        return;
    };
    let turn = world.turn(1, 2, "Hello. #script:text");
    world.run(&turn).await;
    world.executor.terminate().await;
    world.executor.start_again().await;
    assert_eq!(state(&world.dispatch(&turn).await), "COMPLETED");
    world.executor.restart().await;
    assert_eq!(state(&world.dispatch(&turn).await), "COMPLETED");
    settled(&world, 9).await;
    assert_eq!(asked(&world), ["Hello. #script:text", "Last. #script:text"]);
    ran_once(&world);
    // And a changed one is a new attempt here, too.
    world
        .dispatch_anew(&world.turn(1, 2, "Hello again. #script:text"))
        .await;
    assert_eq!(world.finished_attempt(2, 2).await.attempts, 2);
}

#[tokio::test]
async fn a_turn_that_a_crash_ended_is_not_run_again_by_a_repeat() {
    let test = "a_turn_that_a_crash_ended_is_not_run_again_by_a_repeat";
    let Some(mut world) = World::build_with(test, slow(300), |_| {}).await else {
        return;
    };
    let turn = streaming(&world);
    world.dispatch(&turn).await;
    streams(&world).await;
    world.executor.restart().await;
    let view = world.finished(2).await;
    assert_eq!(view.error_code(), Some("executor_restarted"), "{view:#?}");
    assert_eq!(state(&world.dispatch(&turn).await), "FAILED");
    settled(&world, 9).await;
    assert_eq!(
        asked(&world),
        ["Slowly. #script:slow", "Last. #script:text"]
    );
    ran_once(&world);
}
