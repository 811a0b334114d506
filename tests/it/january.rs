//! Wegent of January 2026: `TASK_INFO`, `/api/tasks/execute` and cumulative callbacks.
//!
//! Every log of callbacks here passes both of that time's merge rules, which must come to the same stored result.

mod bytes;
mod hardship;
mod journey;
mod lifecycle;
mod presentation;
mod repository;
mod sessions;

use testkit::{cumulative::Stored, model::Options};
use wegent_executor_tests::{FlatTurn, World};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// A flat payload for one agent.
type Payload = fn(&World, i64, i64, &str) -> FlatTurn;

/// Both agents, with the key under which a result names the conversation.
const AGENTS: [(&str, Payload, &str); 2] = [
    ("Codex", World::flat, "resume_session_id"),
    ("ClaudeCode", World::flat_claude, "session_id"),
];

/// A world in which both agents can run.
async fn real_world(test: &str) -> Option<World> {
    testkit::cli::require_codex(test)?;
    World::with_claude(test, Options::default(), |settings| {
        settings.set("CLAUDE_CODE_MAX_RETRIES", "1");
    })
    .await
}

/// Runs a turn that completes.
async fn completed(world: &World, turn: &FlatTurn) -> Stored {
    let stored = world.run_flat(turn).await;
    assert_eq!(
        stored.status,
        "COMPLETED",
        "{stored:#?}\n{}",
        world.executor.log()
    );
    stored
}
