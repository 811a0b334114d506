//! A task is one conversation, whatever happens to the processes that hold it.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::model::Options;
use wegent_executor_tests::{World, signal};

use super::{TASK, TURN, claude, error, knows, next_turn_knows, world};

const WORD: &str = "The word is alpha.";

async fn first(world: &World) {
    let turn = world.claude_turn(TASK, TURN, &format!("{WORD} #script:text"));
    assert!(world.run(&turn).await.completed());
}

#[tokio::test]
async fn a_warm_second_turn_knows_the_first() {
    let Some(world) = world("a_warm_second_turn_knows_the_first").await else {
        return;
    };
    first(&world).await;
    let process = claude(&world).pid;
    next_turn_knows(&world, WORD).await;
    assert_eq!(claude(&world).pid, process, "it was not kept warm");
}

#[tokio::test]
async fn the_conversation_survives_a_crash_of_the_executor_and_of_the_cli_between_turns() {
    let test = "the_conversation_survives_a_crash_of_the_executor_and_of_the_cli_between_turns";
    let Some(mut world) = world(test).await else {
        return;
    };
    first(&world).await;
    world.executor.restart().await;
    knows(&world, TURN + 1, WORD).await;
    signal(claude(&world).pid, "KILL");
    knows(&world, TURN + 2, WORD).await;
}

#[tokio::test]
async fn the_clis_death_ends_the_turn_with_a_reason_and_the_next_one_goes_on() {
    let test = "the_clis_death_ends_the_turn_with_a_reason_and_the_next_one_goes_on";
    let options = Options {
        slow_delay: Duration::from_millis(50),
        ..Options::default()
    };
    let Some(world) = World::with_claude(test, options, |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.claude_turn(TASK, TURN, &format!("{WORD} #script:slow")))
        .await;
    world
        .wait_for(TURN, "text streams", |view| view.text.contains("tick3"))
        .await;
    let killed = Instant::now();
    signal(claude(&world).pid, "KILL");
    let view = world.finished(TURN).await;
    let took = killed.elapsed();
    println!("kill -9 of claude → terminal event: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let (code, message) = error(&view);
    assert_eq!(code, "container_error", "{message}");
    assert!(
        message.contains("signal 9") || message.contains("SIGKILL"),
        "no reason is given: {message}"
    );
    assert!(view.text.contains("tick3"), "{view:#?}");
    next_turn_knows(&world, WORD).await;
}

#[tokio::test]
async fn a_new_session_forgets_without_a_word() {
    let Some(world) = world("a_new_session_forgets_without_a_word").await else {
        return;
    };
    first(&world).await;
    let turn = world
        .claude_turn(TASK, TURN + 1, "Which word? #script:remember")
        .with("new_session", json!(true));
    let view = world.run(&turn).await;
    assert!(
        view.completed() && view.text.starts_with("I remember: ") && !view.text.contains("alpha"),
        "{view:#?}"
    );
    // From here on the new one is the task's conversation.
    let view = world
        .run(&world.claude_turn(TASK, TURN + 2, "And now? #script:remember"))
        .await;
    assert!(
        view.text.contains("Which word?") && !view.text.contains("alpha"),
        "{}",
        view.text
    );
}
