//! Processes: what a turn started ends with it, what an executor started ends with that, however it ends.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    View,
    model::Options,
    oracle::Terminal,
    procs::{self, Proc},
};
use wegent_executor_tests::{Sleeper, TurnBody, World, signal, until};

use crate::MCP_SERVER;

/// How long what has to go may take to go.
const LIMIT: Duration = Duration::from_secs(4);
/// How long an executor may take to exit. Docker kills after ten seconds.
const EXIT_LIMIT: Duration = Duration::from_secs(8);

const TASK: i64 = 1;
const TURN: i64 = 2;

/// A turn that runs a command.
fn shell(world: &World, subtask: i64, command: &str) -> TurnBody {
    world.turn(
        TASK,
        subtask,
        &format!("Run it. #script:shell\n#cmd:{command}"),
    )
}

/// Dispatches a turn with a command that sleeps in two sessions, and waits until it does and is shown.
async fn asleep(world: &World) -> Sleeper {
    let sleeper = Sleeper::new();
    world
        .dispatch(&shell(
            world,
            TURN,
            &format!("setsid {sleeper} & {sleeper} & {sleeper}"),
        ))
        .await;
    sleeper.appear(3).await;
    world
        .wait_for(TURN, "the command is shown", |view| {
            view.tools().count() == 1
        })
        .await;
    sleeper
}

/// Code and message of an error.
fn error(view: &View) -> (&str, &str) {
    match &view.terminal {
        Some(Terminal::Failed { code, message }) => (code, message),
        other => panic!("no error: {other:?}"),
    }
}

/// Runs another turn of the task, after which there is still one terminal event of the first.
async fn ended_once(world: &World) {
    let next = world
        .run(&world.turn(TASK, 99, "And now? #script:remember"))
        .await;
    assert!(
        next.completed() && next.text.contains("And now?"),
        "{next:#?}\n{}",
        world.executor.log()
    );
    let terminals = world.backend.callbacks(TURN);
    let terminals: Vec<_> = terminals
        .iter()
        .filter(|callback| callback.is_terminal())
        .collect();
    assert_eq!(terminals.len(), 1, "{terminals:#?}");
}

fn pids(procs: &[Proc]) -> Vec<i32> {
    procs.iter().map(|proc| proc.pid).collect()
}

#[tokio::test]
async fn what_a_tool_left_in_the_background_ends_with_the_turn_and_codex_stays() {
    let test = "what_a_tool_left_in_the_background_ends_with_the_turn_and_codex_stays";
    let Some(world) = World::build(test).await else {
        return;
    };
    let sleeper = Sleeper::new();
    let command = format!(
        "{sleeper} >/dev/null 2>&1 & \
         setsid {sleeper} >/dev/null 2>&1 & \
         (setsid env -i sh -c 'trap \"\" TERM; {sleeper}' </dev/null >/dev/null 2>&1 &) ; \
         while ! test -e looked; do sleep 0.01; done"
    );
    world.dispatch(&shell(&world, TURN, &command)).await;
    sleeper.appear(3).await;
    let codex = world.app_servers();
    fs::write(world.workspace(TASK).join("looked"), "").unwrap();
    let view = world.finished(TURN).await;
    assert!(view.completed(), "{view:#?}");
    let left = sleeper.running();
    assert!(left.is_empty(), "left when the end was told: {left:#?}");
    assert_eq!(codex.len(), 1, "{codex:#?}");
    assert_eq!(
        pids(&world.marked()),
        pids(&[world.guards(), codex.clone()].concat())
    );
    ended_once(&world).await;
    assert_eq!(
        pids(&world.app_servers()),
        pids(&codex),
        "the next turn did not find it warm"
    );
}

/// The turn's bot with an MCP server that is started by `sh -c`.
fn with_server(turn: TurnBody, command: &str) -> TurnBody {
    turn.with_bot(
        "mcp_servers",
        json!([{ "name": "demo", "type": "stdio", "command": "sh", "args": ["-c", command] }]),
    )
}

#[tokio::test]
async fn an_mcp_server_lives_as_long_as_its_conversation_is_loaded() {
    let Some(world) =
        World::build("an_mcp_server_lives_as_long_as_its_conversation_is_loaded").await
    else {
        return;
    };
    // It has a child of its own, as servers that npx starts have.
    let marker = Sleeper::new();
    let server = format!("{marker} & python3 {MCP_SERVER}; wait");
    let call = "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}";
    let mut seen = Vec::new();
    for subtask in [TURN, TURN + 1] {
        let view = world
            .run(&with_server(world.turn(TASK, subtask, call), &server))
            .await;
        assert!(
            view.completed() && view.tool_counts()["mcp__demo__echo"] == 1,
            "{view:#?}"
        );
        let running = marker.running();
        assert!(
            !running.is_empty(),
            "the server's child did not survive the turn: {:#?}",
            world.marked()
        );
        seen.push(pids(&running));
    }
    assert_eq!(seen[0], seen[1], "the server was started again");
    // Another configuration loads the conversation anew: the server that it names no more has to go.
    let start = Instant::now();
    let view = world
        .run(&world.turn(TASK, TURN + 2, "Hello. #script:text"))
        .await;
    assert!(view.completed(), "{view:#?}");
    world.gone(start, LIMIT, || marker.running()).await;
}

#[tokio::test]
async fn a_killed_executor_leaves_nothing_and_the_next_one_says_so_once() {
    let test = "a_killed_executor_leaves_nothing_and_the_next_one_says_so_once";
    let Some(mut world) = World::build(test).await else {
        return;
    };
    let sleeper = asleep(&world).await;
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
    assert!(
        view.tools().all(|tool| tool.is_over()),
        "a card spins for ever: {view:#?}"
    );
    ended_once(&world).await;
}

#[tokio::test]
async fn a_turn_without_tools_that_was_cut_off_says_that_none_was_called() {
    let test = "a_turn_without_tools_that_was_cut_off_says_that_none_was_called";
    let options = Options {
        slow_delay: Duration::from_millis(20),
        slow_count: 100_000,
        ..Options::default()
    };
    let Some(mut world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick3 "))
        .await;
    world.executor.restart().await;
    let view = world.finished(TURN).await;
    let (code, message) = error(&view);
    assert_eq!(code, "executor_restarted");
    assert!(message.contains("No tool had been called"), "{message}");
    assert!(view.text.contains("tick3 "), "{view:#?}");
    ended_once(&world).await;
}

#[tokio::test]
async fn two_restarts_in_a_row_end_the_turn_once() {
    let Some(mut world) = World::build("two_restarts_in_a_row_end_the_turn_once").await else {
        return;
    };
    asleep(&world).await;
    world.backend.go_away().await;
    world.executor.restart().await;
    world.executor.restart().await;
    world.backend.come_back().await.unwrap();
    let view = world.finished(TURN).await;
    assert_eq!(error(&view).0, "executor_restarted");
    assert_eq!(view.attempts, 1);
    ended_once(&world).await;
}

#[tokio::test]
async fn a_killed_guard_leaves_nothing_with_the_mark() {
    let Some(world) = World::build("a_killed_guard_leaves_nothing_with_the_mark").await else {
        return;
    };
    // An MCP server that does not go when its stdin ends: nothing but its mark gives it away.
    let stubborn = Sleeper::new();
    let server = format!("trap '' TERM HUP; python3 {MCP_SERVER}; {stubborn}; {stubborn}");
    let sleeper = Sleeper::new();
    world
        .dispatch(&with_server(
            shell(&world, TURN, &format!("setsid {sleeper} & {sleeper}")),
            &server,
        ))
        .await;
    sleeper.appear(2).await;
    until("the MCP server runs", || !stubborn.running().is_empty()).await;
    let start = Instant::now();
    signal(world.guards()[0].pid, "KILL");
    let gone = world
        .gone(start, LIMIT, || {
            [sleeper.running(), stubborn.running(), world.marked()].concat()
        })
        .await;
    println!("kill -9 of the guard: nothing left after {gone:?}");
    let view = world.finished(TURN).await;
    let (code, message) = error(&view);
    println!("{code}: {message}");
    assert!(!message.contains('\u{1b}'), "{message:?}");
    ended_once(&world).await;
}

#[tokio::test]
async fn sigterm_ends_a_turn_tells_it_and_leaves_nothing() {
    let Some(mut world) = World::build("sigterm_ends_a_turn_tells_it_and_leaves_nothing").await
    else {
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
    ended_once(&world).await;
}

#[tokio::test]
async fn sigterm_without_a_backend_exits_in_time_and_the_next_executor_tells_the_end() {
    let test = "sigterm_without_a_backend_exits_in_time_and_the_next_executor_tells_the_end";
    let Some(mut world) = World::build(test).await else {
        return;
    };
    let sleeper = asleep(&world).await;
    world.backend.go_away().await;
    let (took, code) = world.executor.terminate().await;
    let left = [sleeper.running(), world.marked()].concat();
    println!("SIGTERM without a backend: exit after {took:?}");
    assert!(
        took < EXIT_LIMIT && code == Some(0),
        "{took:?} {code:?}\n{}",
        world.executor.log()
    );
    assert!(left.is_empty(), "left when it had exited: {left:#?}");
    world.backend.come_back().await.unwrap();
    world.executor.start_again().await;
    let view = world.finished(TURN).await;
    assert_eq!(error(&view).0, "executor_restarted");
    assert!(
        view.tools().all(|tool| tool.is_over()),
        "a card spins for ever: {view:#?}"
    );
    ended_once(&world).await;
}

#[tokio::test]
async fn sigterm_of_an_idle_executor_takes_its_codex_along() {
    let Some(mut world) = World::build("sigterm_of_an_idle_executor_takes_its_codex_along").await
    else {
        return;
    };
    world
        .run(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    assert_eq!(world.app_servers().len(), 1);
    let (took, code) = world.executor.terminate().await;
    let left = world.marked();
    println!("SIGTERM while idle: exit after {took:?}");
    assert!(
        took < Duration::from_secs(2) && code == Some(0),
        "{took:?} {code:?}\n{}",
        world.executor.log()
    );
    assert!(left.is_empty(), "left when it had exited: {left:#?}");
}

#[tokio::test]
async fn an_idle_codex_is_given_back_and_the_conversation_goes_on() {
    let test = "an_idle_codex_is_given_back_and_the_conversation_goes_on";
    let idle_soon = |settings: &mut wegent_executor_tests::Settings| {
        settings.set("WEGENT_CODEX_IDLE_SECONDS", "1");
    };
    let Some(world) = World::build_with(test, Options::default(), idle_soon).await else {
        return;
    };
    world
        .run(&world.turn(TASK, TURN, "The word is apricot. #script:text"))
        .await;
    assert_eq!(world.app_servers().len(), 1);
    until("codex is given back", || world.marked().is_empty()).await;
    let view = world
        .run(&world.turn(TASK, TURN + 1, "Which word? #script:remember"))
        .await;
    assert!(view.text.contains("apricot"), "{}", view.text);
}

#[tokio::test]
async fn twenty_turns_leave_no_zombies_and_no_more_processes_than_one() {
    let test = "twenty_turns_leave_no_zombies_and_no_more_processes_than_one";
    let Some(world) = World::build(test).await else {
        return;
    };
    for subtask in 100..120 {
        let view = world
            .run(&shell(&world, subtask, "sleep 0 & setsid true & echo done"))
            .await;
        assert!(view.completed(), "{view:#?}");
        // Now and then it is lost and has to be started again.
        if subtask % 7 == 3 {
            signal(world.app_servers()[0].pid, "KILL");
            until("codex is gone", || world.app_servers().is_empty()).await;
        }
    }
    let below = procs::descendants(world.executor.pid());
    assert!(!below.iter().any(Proc::is_zombie), "{below:#?}");
    assert_eq!(
        pids(&below),
        pids(&[world.guards(), world.app_servers()].concat()),
        "{below:#?}"
    );
    assert_eq!(below.len(), 2);
}
