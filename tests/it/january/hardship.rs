//! What goes wrong around a turn, and what stays of it.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::{Value, json};
use testkit::{
    backend::{Fault, Rule},
    http::client,
    model::{Ending, Options},
    roles,
};
use tokio::time::Instant;
use wegent_executor_tests::{API_KEY, PATIENCE, World, private_folder};

use super::{AGENTS, TASK, TURN, completed, real_world};

/// A world with both agents and another model.
async fn world_with(test: &str, model: Options) -> Option<World> {
    testkit::cli::require_codex(test)?;
    World::with_claude(test, model, |settings| {
        settings.set("CLAUDE_CODE_MAX_RETRIES", "5");
        settings.set("CODEX_PERSIST_EVENT_STREAM", "on");
    })
    .await
}

fn retries(stored: &testkit::cumulative::Stored) -> Vec<&Value> {
    let steps = stored.result["thinking"].as_array();
    let steps = steps.into_iter().flatten();
    steps
        .filter(|step| step["title"] == "thinking.api_error_retry")
        .map(|step| &step["details"])
        .collect()
}

#[tokio::test]
async fn each_failure_of_the_model_that_is_tried_again_is_a_step() {
    let test = "each_failure_of_the_model_that_is_tried_again_is_a_step";
    let Some(world) = world_with(test, Options::default()).await else {
        return;
    };
    let scripts = ["disconnect\n#cmd:times=2", "flaky"];
    for (task, ((agent, payload, _), script)) in (1..).zip(AGENTS.into_iter().zip(scripts)) {
        let turn = payload(&world, task, task * 10, &format!("Go. #script:{script}"));
        let stored = completed(&world, &turn).await;
        let retries = retries(&stored);
        let counts: Vec<Option<u64>> = retries
            .iter()
            .map(|details| details["retry_count"].as_u64())
            .collect();
        assert_eq!(counts, [Some(1), Some(2)], "{agent}: {stored:#?}");
        let told = |details: &&Value| {
            details["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty())
        };
        assert!(retries.iter().all(told), "{agent}: {retries:?}");
    }
}

#[tokio::test]
async fn an_outage_in_the_middle_of_an_answer_costs_nothing_but_time() {
    let test = "an_outage_in_the_middle_of_an_answer_costs_nothing_but_time";
    let model = Options {
        slow_delay: Duration::from_millis(50),
        slow_count: 60,
        ..Options::default()
    };
    let Some(world) = world_with(test, model).await else {
        return;
    };
    // Long, and for as long as the answer takes.
    let outages = [Duration::from_secs(20), Duration::ZERO];
    for (task, ((agent, payload, _), outage)) in (1..).zip(AGENTS.into_iter().zip(outages)) {
        let subtask = task * 10;
        world.model.forget();
        let turn = payload(&world, task, subtask, "Count. #script:slow");
        streams(&world, &turn.0, subtask).await;
        world.backend.go_away().await;
        let back = Instant::now() + outage;
        let finished = world.model.wait_for(PATIENCE, |requests| {
            let over = |request: &testkit::model::SeenRequest| request.ending == Ending::Finished;
            !requests.is_empty() && requests.iter().all(over)
        });
        assert!(finished.await, "{agent}: {}", world.executor.log());
        tokio::time::sleep_until(back).await;
        world.backend.come_back().await.unwrap();
        let stored = world.stored(subtask).await;
        assert_eq!(stored.status, "COMPLETED", "{agent}");
        assert_eq!(stored.value(), world.model.spoken().text(), "{agent}");
    }
    // A cancel is answered although nobody can be told.
    let subtask = 50;
    streams(
        &world,
        &world.flat(5, subtask, "Count. #script:slow").0,
        subtask,
    )
    .await;
    world.backend.go_away().await;
    let url = format!("{}/api/tasks/cancel?task_id=5", world.executor.url());
    let limit = Duration::from_secs(10);
    let answer = client::request("POST", &url, &[], b"", limit).await;
    assert_eq!(answer.unwrap().status, 200);
    world.backend.come_back().await.unwrap();
    assert_eq!(world.stored(subtask).await.status, "CANCELLED");
}

/// Posts a turn and waits until some of its text was taken.
async fn streams(world: &World, payload: &Value, subtask: i64) {
    let answer = world.backend.execute(&world.executor.url(), payload).await;
    assert_eq!(answer.unwrap().status, 200);
    let shown = world.backend.wait_for(PATIENCE, |callbacks| {
        callbacks.iter().any(|callback| {
            let value = callback.body["result"]["value"].as_str();
            callback.subtask() == Some(subtask) && value.is_some_and(|value| !value.is_empty())
        })
    });
    assert!(shown.await, "{}", world.executor.log());
}

/// The manager answers 502 for whatever its backend refuses, however often it is asked.
#[tokio::test]
async fn what_can_never_be_taken_does_not_keep_the_end_back() {
    let test = "what_can_never_be_taken_does_not_keep_the_end_back";
    let Some(world) = real_world(test).await else {
        return;
    };
    // So many that the first callback is passed over.
    world.backend.inject(Rule::next(14, Fault::Status(502)));
    let turn = world.flat(TASK, TURN, "Hello. #script:text");
    world.execute(&turn).await;
    let end = world.backend.wait_terminal(TURN, 2 * PATIENCE).await;
    assert_eq!(end.status(), "COMPLETED");
    assert_eq!(end.body["result"]["value"], world.model.spoken().text());
    assert!(world.executor.log().contains("callback passed over"));
}

#[tokio::test]
async fn very_long_lines_and_garbage_are_survived() {
    let test = "very_long_lines_and_garbage_are_survived";
    let model = Options {
        huge_bytes: 1 << 20,
        ..Options::default()
    };
    let Some(world) = world_with(test, model).await else {
        return;
    };
    // A tool's output of one line of 20 MB, which is no text.
    let line = "head -c 20000000 /dev/zero | tr '\\0' '\\377'; echo over";
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        let prompt = format!("Run. #script:shell\n#cmd:{line}");
        let stored = completed(&world, &payload(&world, task, task * 10, &prompt)).await;
        assert_eq!(
            stored.blocks("tool_result").len(),
            1,
            "{agent}: {stored:#?}"
        );
        world.model.forget();
        let turn = payload(&world, task, task * 10 + 1, "Go. #script:one_big");
        let stored = completed(&world, &turn.with("retry_mode", json!("new_session"))).await;
        let (value, said) = (stored.value(), world.model.spoken().text());
        assert!(
            value == said,
            "{agent}: {} of {} bytes",
            value.len(),
            said.len()
        );
    }
    let folder = private_folder();
    let codex = roles::install_fake_codex(folder.path()).unwrap();
    let world = World::with_cli(&codex, Options::default(), |_| {}).await;
    let prompt = "#fake:garbage\n#fake:big bytes=1000000\n#fake:say still here";
    let stored = completed(&world, &world.flat(1, 10, prompt)).await;
    let length = stored.value().len();
    assert!(stored.value().contains("still here"), "{length} bytes");
}

#[tokio::test]
async fn a_question_is_the_end_of_its_turn_and_the_next_message_its_answer() {
    let test = "a_question_is_the_end_of_its_turn_and_the_next_message_its_answer";
    if testkit::cli::require_codex(test).is_none() {
        return;
    }
    let world = World::with_claude(test, Options::default(), |settings| {
        // Only then Codex's model may ask.
        settings.set("WEGENT_CODEX_APPROVALS", "on-request");
    });
    let Some(world) = world.await else {
        return;
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let turn = payload(&world, task, task * 10, "Ask me. #script:ask");
        let asked = completed(&world, &turn).await;
        let (value, id) = (asked.value(), asked.result[key].clone());
        assert!(
            value.contains("color?") && value.contains("\n- Blue"),
            "{agent}: {value}"
        );
        let answer = payload(&world, task, task * 10 + 1, "Blue. #script:remember");
        let next = completed(&world, &answer.with(key, id.clone())).await;
        assert!(next.value().contains("Ask me."), "{agent}: {next:#?}");
        assert_eq!(next.result[key], id, "{agent}");
    }
}

#[tokio::test]
async fn codex_events_are_kept_in_a_file_without_secrets() {
    let test = "codex_events_are_kept_in_a_file_without_secrets";
    let Some(world) = world_with(test, Options::default()).await else {
        return;
    };
    let prompt = format!("The key is {API_KEY} #script:echo");
    let stored = completed(&world, &world.flat(TASK, TURN, &prompt)).await;
    let failed = world.flat(TASK, TURN + 1, "Go. #script:err401");
    let failed = world.run_flat(&failed).await;
    let state = world.workspace(TASK).join(".wegent-executor");
    let file = state.join("codex-events.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = |stored: &testkit::cumulative::Stored| stored.result["codex_events"].clone();
    let all: Vec<Value> = [told(&stored), told(&failed)]
        .iter()
        .flat_map(|events| events.as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(lines, all);
    assert!(
        text.contains("The key is") && !text.contains(API_KEY),
        "{text}"
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // Claude Code has no such events.
    completed(&world, &world.flat_claude(7, 70, "Hello. #script:text")).await;
    assert!(
        !world
            .workspace(7)
            .join(".wegent-executor/codex-events.jsonl")
            .exists()
    );
}
