//! Turns that are cut off: nothing of theirs is left, and the conversation goes on.

use std::time::{Duration, Instant};

use testkit::{View, oracle::Terminal};
use wegent_executor_tests::{Sleeper, World};

use super::{LIMIT, TASK, TURN, deltas_that_never_end, error, next_turn_knows, shell, world};

/// What a cancel takes as long as Claude Code is well.
const TYPICAL: Duration = Duration::from_secs(2);
/// How long an executor may take to exit. Docker kills after ten seconds.
const EXIT_LIMIT: Duration = Duration::from_secs(8);

/// Claude Code refuses a bare long `sleep`, so it is a child's.
fn command(sleeper: &Sleeper) -> String {
    format!("setsid {sleeper} & tail -f /dev/null & env {sleeper}")
}

/// Dispatches a turn with a command that runs on, in two sessions, and waits until it does and is shown.
async fn asleep(world: &World) -> Sleeper {
    let sleeper = Sleeper::new();
    world.dispatch(&shell(world, &command(&sleeper))).await;
    sleeper.appear(2).await;
    world
        .wait_for(TURN, "the command is shown", |view| {
            view.tools().count() == 1
        })
        .await;
    sleeper
}

/// Cancels as Wegent's manager does: the answer comes first, then the turn's only terminal event.
pub(super) async fn cancel(world: &World, what: &str) -> View {
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    println!("{what}: answered after {:?}", report.took);
    assert_eq!(report.status(), Some(200), "{report:?}");
    assert!(
        !report.disturbed(),
        "a callback was begun before the answer: {report:?}"
    );
    assert!(
        report.took < TYPICAL,
        "{report:?}\n{}",
        world.executor.log()
    );
    let view = world.finished(TURN).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    assert!(
        view.tools().all(|tool| tool.is_over()),
        "a card spins for ever: {view:#?}"
    );
    view
}

#[tokio::test]
async fn a_cancel_cuts_off_text_that_streams_and_keeps_it() {
    let test = "a_cancel_cuts_off_text_that_streams_and_keeps_it";
    let Some(world) = World::with_claude(test, deltas_that_never_end(), |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.claude_turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick3 "))
        .await;
    let view = cancel(&world, "text streams").await;
    assert!(
        view.text.starts_with("tick0 tick1 tick2 tick3 "),
        "{view:#?}"
    );
    next_turn_knows(&world, "Count.").await;
}

#[tokio::test]
async fn a_cancel_ends_a_command_and_what_it_put_into_the_background() {
    let test = "a_cancel_ends_a_command_and_what_it_put_into_the_background";
    let Some(world) = world(test).await else {
        return;
    };
    let sleeper = asleep(&world).await;
    let start = Instant::now();
    cancel(&world, "a command runs").await;
    // What carries the mark of Claude Code's tools is the command's, whatever it is called.
    let mut left = world.marked();
    left.retain(|proc| proc.has_variable("CLAUDE_CODE_CHILD_SESSION", None));
    left.extend(sleeper.running());
    assert!(left.is_empty(), "left when the end was told: {left:#?}");
    // The CLI may just run a helper of its own.
    let gone = world.gone(start, LIMIT, || world.tools()).await;
    println!("nothing left after {gone:?}");
    next_turn_knows(&world, "Run it.").await;
}

#[tokio::test]
async fn a_background_shell_ends_with_its_turn_and_nobody_hears_of_it_again() {
    let test = "a_background_shell_ends_with_its_turn_and_nobody_hears_of_it_again";
    let Some(world) = world(test).await else {
        return;
    };
    let sleeper = Sleeper::new();
    let prompt = format!("Start. #script:background\n#cmd:{}", command(&sleeper));
    let view = world.run(&world.claude_turn(TASK, TURN, &prompt)).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    let left = [sleeper.running(), world.tools()].concat();
    assert!(left.is_empty(), "left when the end was told: {left:#?}");
    next_turn_knows(&world, "Start.").await;
}

#[tokio::test]
async fn a_killed_executor_leaves_nothing_and_the_next_one_says_so_once() {
    let test = "a_killed_executor_leaves_nothing_and_the_next_one_says_so_once";
    let Some(mut world) = world(test).await else {
        return;
    };
    let sleeper = asleep(&world).await;
    assert_eq!(world.claudes().len(), 1);
    let start = Instant::now();
    world.executor.kill().await;
    let gone = world
        .gone(start, LIMIT, || {
            [sleeper.running(), world.marked()].concat()
        })
        .await;
    println!("kill -9 of the executor: nothing left after {gone:?}");
    world.executor.start_again().await;
    let view = world.finished(TURN).await;
    let (code, message) = error(&view);
    assert_eq!(code, "executor_restarted");
    assert!(message.contains("Tools had been called"), "{message}");
    assert!(view.tools().all(|tool| tool.is_over()), "{view:#?}");
    next_turn_knows(&world, "Run it.").await;
}

#[tokio::test]
async fn sigterm_ends_a_turn_tells_it_and_leaves_nothing() {
    let Some(mut world) = world("sigterm_ends_a_turn_tells_it_and_leaves_nothing").await else {
        return;
    };
    let sleeper = asleep(&world).await;
    let (took, code) = world.executor.terminate().await;
    let left = [sleeper.running(), world.marked()].concat();
    println!("SIGTERM while a command runs: exit after {took:?}");
    assert!(
        took < EXIT_LIMIT && code == Some(0),
        "{took:?} {code:?}\n{}",
        world.executor.log()
    );
    assert!(left.is_empty(), "left when it had exited: {left:#?}");
    let view = world.finished(TURN).await;
    let (code, message) = error(&view);
    assert_eq!(code, "executor_restarted", "{message}");
    world.executor.start_again().await;
    next_turn_knows(&world, "Run it.").await;
}
