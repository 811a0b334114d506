//! Claude Code: what holds of a Codex turn holds of its turns.

mod asks;
mod ends;
mod forms;
mod modes;
mod secrets;
mod sessions;
mod talk;

use std::time::Duration;

use testkit::{View, model::Options, oracle::Terminal, procs::Proc};
use wegent_executor_tests::{Settings, TurnBody, World};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// How long what has to go may take to go.
const LIMIT: Duration = Duration::from_secs(4);

async fn world(test: &str) -> Option<World> {
    World::with_claude(test, Options::default(), |_| {}).await
}

/// Claude Code tries a failed request ten times, for minutes. The image may say how often.
fn impatient(settings: &mut Settings) {
    settings.set("CLAUDE_CODE_MAX_RETRIES", "1");
}

fn deltas_that_never_end() -> Options {
    Options {
        slow_delay: Duration::from_millis(20),
        slow_count: 100_000,
        ..Options::default()
    }
}

/// A turn that runs a command.
fn shell(world: &World, command: &str) -> TurnBody {
    world.claude_turn(
        TASK,
        TURN,
        &format!("Run it. #script:shell\n#cmd:{command}"),
    )
}

/// Runs a turn that completes with what the model said: its text and reasoning, a block for each call.
async fn completed(world: &World, turn: &TurnBody) -> View {
    world.model.forget();
    let view = world.run(turn).await;
    let spoken = world.model.spoken();
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert_eq!((view.attempts, view.text.as_str()), (1, &*spoken.text()));
    assert_eq!(view.final_text.as_deref(), spoken.final_text());
    assert_eq!(view.tools().count(), spoken.tools().count(), "{view:#?}");
    assert!(view.tools().all(|tool| tool.is_over()), "{view:#?}");
    let Some(Terminal::Completed { usage, .. }) = &view.terminal else {
        panic!("{view:#?}")
    };
    assert!(
        usage["input_tokens"].as_u64() > Some(0) && usage["output_tokens"].as_u64() > Some(0),
        "{usage}"
    );
    view
}

/// Runs the task's next turn, which is to know `known` of the one before; that one ended once, and nothing of it comes
/// meanwhile.
async fn next_turn_knows(world: &World, known: &str) {
    let before = world.backend.callbacks(TURN);
    let ends = before.iter().filter(|callback| callback.is_terminal());
    assert_eq!(ends.count(), 1);
    knows(world, TURN + 1, known).await;
    assert_eq!(world.backend.callbacks(TURN).len(), before.len());
}

/// Runs the task's next turn, which is to know `known` of an earlier one.
async fn knows(world: &World, subtask: i64, known: &str) {
    let view = world
        .run(&world.claude_turn(TASK, subtask, "And now? #script:remember"))
        .await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert!(
        view.text.starts_with("I remember: ")
            && view.text.contains(known)
            && view.text.contains("And now?"),
        "{}\n{}",
        view.text,
        world.executor.log()
    );
}

/// Code and message of an error.
fn error(view: &View) -> (&str, &str) {
    match &view.terminal {
        Some(Terminal::Failed { code, message }) => (code, message),
        other => panic!("no error: {other:?}"),
    }
}

/// The one Claude Code that runs.
fn claude(world: &World) -> Proc {
    let found = world.claudes();
    let [claude] = found.as_slice() else {
        panic!("{found:#?}\n{}", world.executor.log())
    };
    claude.clone()
}
