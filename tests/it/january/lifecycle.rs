//! From a task's arrival to its end, and on to its next turn.

use serde_json::json;
use testkit::backend::{Fault, Rule};
use wegent_executor_tests::{PATIENCE, World, until};

use super::{AGENTS, TASK, TURN, completed, real_world};

#[tokio::test]
async fn a_turn_is_answered_at_once_and_stored_alike_by_both_backends() {
    let test = "a_turn_is_answered_at_once_and_stored_alike_by_both_backends";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, session)) in (1..).zip(AGENTS) {
        let turn = payload(&world, task, task * 10, "Hello. #script:text");
        world.model.forget();
        let answer = world.execute(&turn).await;
        assert_eq!(
            answer,
            json!({"task_id": task, "subtask_id": task * 10, "status": "RUNNING",
                "message": "Task execution status  : RUNNING", "progress": 50})
        );
        let stored = world.stored(task * 10).await;
        assert_eq!(stored.status, "COMPLETED", "{stored:#?}");
        assert_eq!(stored.value(), world.model.spoken().text());
        assert_eq!(stored.shown, stored.value());
        assert_eq!(stored.result["shell_type"], agent);
        assert!(
            stored.result[session]
                .as_str()
                .is_some_and(|id| id.len() > 30)
        );
    }
}

#[tokio::test]
async fn the_next_turn_goes_on_with_the_conversation_that_the_platform_names() {
    let test = "the_next_turn_goes_on_with_the_conversation_that_the_platform_names";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let first = payload(&world, task, task * 10, "The word is heron. #script:text");
        let first = completed(&world, &first).await;
        let id = first.result[key].clone();
        let next = payload(&world, task, task * 10 + 1, "And now? #script:remember");
        let next = completed(&world, &next.with(key, id.clone())).await;
        assert!(next.value().contains("heron"), "{agent}: {}", next.value());
        assert_eq!(next.result[key], id, "{agent}");
        // A retry in a new session forgets it, whatever id comes along.
        let fresh = payload(&world, task, task * 10 + 2, "And now? #script:remember");
        let fresh = fresh
            .with(key, id.clone())
            .with("retry_mode", json!("new_session"));
        let fresh = completed(&world, &fresh).await;
        assert!(
            !fresh.value().contains("heron"),
            "{agent}: {}",
            fresh.value()
        );
        assert_ne!(fresh.result[key], id, "{agent}");
    }
}

#[tokio::test]
async fn a_task_at_the_start_runs_as_a_posted_one_does_and_its_end_is_held_back() {
    let test = "a_task_at_the_start_runs_as_a_posted_one_does_and_its_end_is_held_back";
    let Some(mut world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        let (posted, at_start) = (task * 10, task * 10 + 1);
        completed(
            &world,
            &payload(&world, task, posted, "Hello. #script:text"),
        )
        .await;
        let turn = payload(&world, task + 100, at_start, "Hello. #script:text");
        world.executor.terminate().await;
        let settings = world.executor.settings_mut();
        settings.set("TASK_INFO", turn.0.to_string());
        settings.set("WEGENT_TASK_INFO_HOLD_SECONDS", "4");
        let started = testkit::clock::now_micros();
        world.executor.start_again().await;
        let stored = world.stored(at_start).await;
        assert_eq!(stored.status, "COMPLETED", "{agent}: {stored:#?}");
        let callbacks = world.backend.callbacks(at_start);
        let end = callbacks
            .iter()
            .find(|callback| callback.is_terminal())
            .unwrap();
        assert!(
            end.started - started >= 4_000_000,
            "{agent}: told too early"
        );
        // The kinds of callbacks are the same; how the text is cut is not.
        let kinds = |subtask| {
            let mut kinds: Vec<(String, bool)> = Vec::new();
            for callback in world.backend.callbacks(subtask) {
                let has_result = callback.body.get("result").is_some();
                let kind = (callback.status().to_owned(), has_result);
                if kinds.last() != Some(&kind) {
                    kinds.push(kind);
                }
            }
            kinds
        };
        assert_eq!(kinds(posted), kinds(at_start), "{agent}");
        // Its keys are in nobody's environment, and the same start again runs nothing again.
        let environment = std::fs::read(format!("/proc/{}/environ", world.executor.pid())).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(!environment.contains("TASK_INFO="), "{environment}");
        // Every run begins with one of these. The end may be told once more: its delivery need not have been noted yet.
        let begun = |world: &World| {
            let callbacks = world.backend.callbacks(at_start);
            let first = callbacks.iter().filter(|sent| sent.body["progress"] == 50);
            first.count()
        };
        assert_eq!(begun(&world), 1, "{agent}");
        world.executor.restart().await;
        completed(
            &world,
            &payload(&world, task, posted + 5, "Hello. #script:text"),
        )
        .await;
        assert_eq!(begun(&world), 1, "{agent}: run again");
        world.executor.settings_mut().env.remove("TASK_INFO");
    }
}

#[tokio::test]
async fn a_task_at_the_start_that_cannot_be_read_fails_by_callback() {
    let test = "a_task_at_the_start_that_cannot_be_read_fails_by_callback";
    let Some(mut world) = real_world(test).await else {
        return;
    };
    world.executor.terminate().await;
    let turn = world.flat(7, 70, "x").with("prompt", json!(null));
    let settings = world.executor.settings_mut();
    settings.set("TASK_INFO", turn.0.to_string());
    settings.set("WEGENT_TASK_INFO_HOLD_SECONDS", "0");
    world.executor.start_again().await;
    world.backend.wait_terminal(70, PATIENCE).await;
    let end = world.backend.callbacks(70).pop().unwrap();
    assert_eq!(end.status(), "FAILED");
    let error = end.body["error_message"].as_str().unwrap();
    assert!(error.contains("prompt: missing"), "{error}");
}

#[tokio::test]
async fn a_definite_refusal_of_the_first_callback_ends_the_turn() {
    let test = "a_definite_refusal_of_the_first_callback_ends_the_turn";
    let Some(world) = real_world(test).await else {
        return;
    };
    world.backend.inject(Rule::next(1, Fault::Status(422)));
    let turn = world.flat(TASK, TURN, "Never ends. #script:hang");
    world.execute(&turn).await;
    let end = world.backend.wait_terminal(TURN, PATIENCE).await;
    assert_eq!(end.status(), "FAILED");
    let error = end.body["result"]["error"].as_str().unwrap();
    assert!(error.contains("first callback"), "{error}");
}

#[tokio::test]
async fn an_outage_holds_nothing_up_and_loses_nothing() {
    let test = "an_outage_holds_nothing_up_and_loses_nothing";
    let Some(world) = real_world(test).await else {
        return;
    };
    world.backend.go_away().await;
    let turn = world.flat(TASK, TURN, "Go. #script:commentary_tool_final");
    let url = format!("{}/api/tasks/execute", world.executor.url());
    let answer =
        testkit::http::client::post(&url, &turn.0, std::time::Duration::from_secs(10)).await;
    assert_eq!(answer.unwrap().status, 200);
    // The model is asked although nobody takes a callback.
    let asked = || world.model.spoken().tools().count() > 0;
    until("the model is asked", asked).await;
    world.backend.come_back().await.unwrap();
    let stored = world.stored(TURN).await;
    assert_eq!(stored.status, "COMPLETED");
    assert_eq!(stored.value(), world.model.spoken().text());
}

#[tokio::test]
async fn a_cancelled_turn_says_so_once_and_keeps_its_conversation() {
    let test = "a_cancelled_turn_says_so_once_and_keeps_its_conversation";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let subtask = task * 10;
        world
            .execute(&payload(
                &world,
                task,
                subtask,
                "The word is heron. #script:slow",
            ))
            .await;
        let shown = world.backend.wait_for(PATIENCE, |callbacks| {
            callbacks.iter().any(|callback| {
                callback.subtask() == Some(subtask)
                    && callback.body["result"]["value"]
                        .as_str()
                        .is_some_and(|value| !value.is_empty())
            })
        });
        assert!(shown.await, "{agent}: {}", world.executor.log());
        let report = world
            .backend
            .cancel(&world.executor.url(), task, None)
            .await;
        assert_eq!(report.status(), Some(200), "{agent}");
        assert!(!report.disturbed(), "{agent}");
        let stored = world.stored(subtask).await;
        assert_eq!(stored.status, "CANCELLED", "{agent}");
        let id = stored.result[key].clone();
        assert!(
            id.as_str().is_some_and(|id| id.len() > 30),
            "{agent}: {stored:#?}"
        );
        let next = payload(&world, task, subtask + 1, "And now? #script:remember").with(key, id);
        let next = completed(&world, &next).await;
        assert!(next.value().contains("heron"), "{agent}: {}", next.value());
    }
}

#[tokio::test]
async fn an_unknown_conversation_is_begun_anew_and_that_is_said() {
    let test = "an_unknown_conversation_is_begun_anew_and_that_is_said";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let lost = json!("0199a213-81c0-7800-8aa1-bbab2a035a53");
        let turn = payload(&world, task, task * 10, "Hello. #script:text").with(key, lost.clone());
        let stored = completed(&world, &turn).await;
        assert!(
            stored.value().contains("a new one was started"),
            "{agent}: {}",
            stored.value()
        );
        assert_ne!(stored.result[key], lost, "{agent}");
    }
}

#[tokio::test]
async fn failures_are_told_with_their_text_after_the_answer() {
    let test = "failures_are_told_with_their_text_after_the_answer";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        let turn = payload(&world, task, task * 10, "Go. #script:err401");
        let stored = world.run_flat(&turn).await;
        assert_eq!(stored.status, "FAILED", "{agent}");
        assert!(!stored.result["error"].as_str().unwrap().is_empty());
    }
    // What fails at once is told only when the answer has long been there.
    let nobody = world.flat(9, 90, "x").with_bot("shell_type", json!("nope"));
    let before = testkit::clock::now_micros();
    world.execute(&nobody).await;
    let end = world.backend.wait_terminal(90, PATIENCE).await;
    assert_eq!(end.status(), "FAILED");
    assert!(
        end.started - before >= 1_000_000,
        "{}",
        end.started - before
    );
}

#[tokio::test]
async fn a_second_request_for_a_turn_is_answered_and_not_run() {
    let test = "a_second_request_for_a_turn_is_answered_and_not_run";
    let Some(world) = real_world(test).await else {
        return;
    };
    let turn = world.flat(TASK, TURN, "Never ends. #script:hang");
    assert_eq!(world.execute(&turn).await["status"], "RUNNING");
    assert_eq!(world.execute(&turn).await["status"], "RUNNING");
    let other = world.flat(TASK, TURN + 1, "And then. #script:text");
    let answer = world.execute(&other).await;
    assert_eq!(
        (&answer["status"], &answer["progress"]),
        (&json!("PENDING"), &json!(0))
    );
    let url = world.executor.url();
    let report = world.backend.cancel(&url, TASK, Some(TURN)).await;
    assert_eq!(report.status(), Some(200));
    assert_eq!(world.stored(TURN).await.attempts, 1);
    assert_eq!(world.stored(TURN + 1).await.status, "COMPLETED");
}

#[tokio::test]
async fn a_killed_executor_goes_on_in_the_same_protocol() {
    let test = "a_killed_executor_goes_on_in_the_same_protocol";
    let Some(mut world) = real_world(test).await else {
        return;
    };
    world
        .execute(&world.flat(TASK, TURN, "Never ends. #script:hang"))
        .await;
    let begun = world
        .backend
        .wait_for(PATIENCE, |callbacks| callbacks.len() >= 2);
    assert!(begun.await);
    world.executor.restart().await;
    let stored = world.stored(TURN).await;
    assert_eq!(stored.status, "FAILED");
    assert!(
        stored.result["error"]
            .as_str()
            .unwrap()
            .contains("restarted"),
        "{stored:#?}"
    );
}
