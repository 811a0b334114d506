//! What a deployment does with a task from its first message on: stages, files, follow-ups, another container.

use std::{fs, ops::RangeFrom};

use serde_json::json;
use testkit::cumulative::Stored;
use wegent_executor_tests::{FlatTurn, World};

use super::{AGENTS, completed, real_world};

/// Whether the model was asked with exactly this text of the person's.
fn was_asked(world: &World, text: &str) -> bool {
    let requests = world.model.requests();
    let asked = |request: &testkit::model::SeenRequest| {
        let texts = request.user_texts();
        texts.iter().any(|said| said.contains(text))
    };
    requests.iter().any(asked)
}

#[tokio::test]
async fn from_the_payload_to_the_file_on_disk() {
    let Some(world) = real_world("from_the_payload_to_the_file_on_disk").await else {
        return;
    };
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        let folder = world.workspace(task);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.txt"), "first\nold\nlast\n").unwrap();
        let prompt = "Edit. #script:edit\n#cmd:a.txt|old|new";
        let stored = completed(&world, &payload(&world, task, task * 10, prompt)).await;
        let text = fs::read_to_string(folder.join("a.txt")).unwrap();
        assert_eq!(text, "first\nnew\nlast\n", "{agent}");
        let edits: Vec<&str> = stored
            .blocks("tool_use")
            .iter()
            .filter(|block| block["name"] == "Edit")
            .filter_map(|block| block["input"]["file_path"].as_str())
            .collect();
        let path = folder.join("a.txt").display().to_string();
        assert_eq!(edits, [path.as_str()], "{agent}: {stored:#?}");
    }
}

#[tokio::test]
async fn what_an_earlier_stage_said_is_passed_on_unchanged() {
    let test = "what_an_earlier_stage_said_is_passed_on_unchanged";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        world.model.forget();
        let prompt =
            "Go on.\nPrevious execution result: {\"a\": \"ü <b>\\n\"}\n\n\u{1F600} #script:text";
        completed(&world, &payload(&world, task, task * 10, prompt)).await;
        assert!(
            was_asked(&world, prompt),
            "{agent}: {:#?}",
            world.model.requests()
        );
    }
}

/// The captured bodies of a task's second message, which know the first one's conversation, or leave it to us.
fn follow_up(world: &World, agent: &str, task: i64, before: &Stored) -> FlatTurn {
    let (subtask, prompt) = (task * 10 + 1, "And now? #script:remember");
    match agent {
        "Codex" => {
            let thread = before.result["resume_session_id"].clone();
            FlatTurn::codex_follow_up(task, subtask, prompt, &world.model.base_url())
                .with("resume_session_id", thread)
        }
        _ => FlatTurn::claude_follow_up(task, subtask, prompt, &world.model.anthropic_url()),
    }
}

#[tokio::test]
async fn a_captured_follow_up_goes_on_in_the_same_process_with_its_own_prompt() {
    let test = "a_captured_follow_up_goes_on_in_the_same_process_with_its_own_prompt";
    let Some(world) = real_world(test).await else {
        return;
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let first = payload(&world, task, task * 10, "The word is heron. #script:text");
        let first = completed(&world, &first).await;
        let guards = || -> Vec<i32> { world.guards().iter().map(|guard| guard.pid).collect() };
        let processes = guards();
        // What a tool or the person left there is not set up anew.
        let left = world.workspace(task).join("left.txt");
        fs::write(&left, "as it was").unwrap();
        world.model.forget();
        let next = completed(&world, &follow_up(&world, agent, task, &first)).await;
        assert!(next.value().contains("heron"), "{agent}: {}", next.value());
        assert_eq!(next.result[key], first.result[key], "{agent}");
        assert!(was_asked(&world, "And now? #script:remember"), "{agent}");
        assert_eq!(guards(), processes, "{agent}");
        assert_eq!(fs::read_to_string(left).unwrap(), "as it was", "{agent}");
    }
}

/// All that a new container has of the old one is the workspace.
#[tokio::test]
async fn the_conversation_goes_on_in_a_new_container() {
    let test = "january: the_conversation_goes_on_in_a_new_container";
    let Some(mut world) = real_world(test).await else {
        return;
    };
    let mut before = Vec::new();
    for (task, (_, payload, _)) in (1..).zip(AGENTS) {
        let first = payload(&world, task, task * 10, "The word is heron. #script:text");
        before.push(completed(&world, &first).await);
    }
    world.executor.kill().await;
    fs::remove_dir_all(world.root.path().join("home")).unwrap();
    let home = world.root.path().join("another home");
    fs::create_dir(&home).unwrap();
    let name = format!("{}-2", world.executor.name());
    let settings = world.executor.settings_mut();
    settings
        .set("HOME", home.display().to_string())
        .set("EXECUTOR_NAME", name);
    world.executor.start_again().await;
    for (task, ((agent, ..), first)) in (1..).zip(AGENTS.into_iter().zip(&before)) {
        let retry = follow_up(&world, agent, task, first).with("retry_mode", json!("resume"));
        let next = completed(&world, &retry).await;
        assert!(next.value().contains("heron"), "{agent}: {}", next.value());
        assert!(
            next.value().starts_with("I remember"),
            "{agent}: {}",
            next.value()
        );
    }
}

/// Whether a second turn of each agent knows what the first one was told.
async fn knows_of_the_first(
    world: &World,
    tasks: RangeFrom<i64>,
    change: fn(FlatTurn, &str) -> FlatTurn,
) -> [bool; 2] {
    let mut known = [true; 2];
    for (task, (known, (_, payload, key))) in tasks.zip(known.iter_mut().zip(AGENTS)) {
        let first = payload(world, task, task * 10, "The word is heron. #script:text");
        let first = completed(world, &first).await;
        let next = payload(world, task, task * 10 + 1, "And now? #script:remember");
        let next = next.with(key, first.result[key].clone());
        let next = completed(world, &change(next, key)).await;
        *known = next.value().contains("heron");
        assert_eq!(next.result[key] == first.result[key], *known, "{next:#?}");
        // What was asked for is nothing to tell of.
        assert!(next.value().starts_with("I remember"), "{}", next.value());
    }
    known
}

#[tokio::test]
async fn going_on_can_be_switched_off_by_the_platform_and_by_the_operator() {
    let test = "going_on_can_be_switched_off_by_the_platform_and_by_the_operator";
    let Some(mut world) = real_world(test).await else {
        return;
    };
    // As the platform sends it: no id for Codex, a random one for Claude Code.
    let platform = |mut turn: FlatTurn, key: &str| {
        match key {
            "resume_session_id" => drop(turn.0.as_object_mut().unwrap().remove(key)),
            _ => turn.0[key] = json!("f4b1c9b2-6a39-4be0-9d0a-1f7a2c5d8e60"),
        }
        turn.with("retry_mode", json!("new_session"))
    };
    assert_eq!(knows_of_the_first(&world, 1.., platform).await, [false; 2]);
    world.executor.kill().await;
    let settings = world.executor.settings_mut();
    settings.set("CODE_SHELL_RESUME_ENABLED", "false");
    world.executor.start_again().await;
    let as_it_is = |turn: FlatTurn, _: &str| turn;
    assert_eq!(knows_of_the_first(&world, 3.., as_it_is).await, [false; 2]);
}
