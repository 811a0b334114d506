//! What the service does for Codex around its turns: many tasks at once, a spare ahead of the first task, another process
//! for one that died, turns of the other shell.

use std::{fs, time::Duration};

use serde_json::json;
use testkit::{
    model::{Options, Script},
    procs,
};
use wegent_executor_tests::{Settings, TurnBody, World, signal, until};

/// The memory that a process alone has, in KiB: what it shares with others, the program itself for one, is left out.
fn private_kib(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

/// Twenty tasks on one executor: each is told what it was asked, and the executor itself hardly grows.
#[tokio::test]
async fn twenty_tasks_at_once_all_complete_and_nothing_is_mixed() {
    const TASKS: i64 = 20;
    let test = "twenty_tasks_at_once_all_complete_and_nothing_is_mixed";
    // Slow enough that all of them are under way at the same time.
    let slow = Options {
        delta_delay: Duration::from_millis(150),
        ..Options::default()
    };
    let Some(world) = World::build_with(test, slow, |_| {}).await else {
        return;
    };
    let words = |task: i64| {
        let words: Vec<String> = (0..40).map(|word| format!("t{task}w{word}")).collect();
        words.join(" ")
    };
    let ask = |task: i64| world.turn(task, 100 + task, &format!("{} #script:echo", words(task)));
    // The first task brings what is there only once.
    world.run(&world.turn(99, 99, "Go. #script:text")).await;
    let alone = private_kib(world.executor.pid());
    for task in 1..=TASKS {
        world.dispatch(&ask(task)).await;
    }
    let servers = usize::try_from(TASKS).unwrap() + 1;
    until("all are under way", || world.app_servers().len() == servers).await;
    let mut most = private_kib(world.executor.pid());
    for task in 1..=TASKS {
        let view = world.finished(100 + task).await;
        most = most.max(private_kib(world.executor.pid()));
        assert!(view.completed(), "{view:#?}");
        let foreign = view.text.split_whitespace().find(|word| {
            word.starts_with('t') && word.contains('w') && !word.starts_with(&format!("t{task}w"))
        });
        assert_eq!(foreign, None, "task {task}: {}", view.text);
        assert!(
            view.text.contains(&words(task)),
            "task {task}: {}",
            view.text
        );
    }
    let each = most.saturating_sub(alone) / u64::try_from(TASKS).unwrap();
    println!(
        "executor: {alone} KiB with one task, {most} KiB at most with {TASKS} more: {each} KiB each"
    );
    assert!(each < 6 * 1024, "{each} KiB for each further task");
}

#[tokio::test]
async fn beyond_the_limit_of_processes_turns_wait_and_idle_ones_give_way() {
    let test = "beyond_the_limit_of_processes_turns_wait_and_idle_ones_give_way";
    let two = |settings: &mut Settings| {
        settings.set("WEGENT_CODEX_MAX_SERVERS", "2");
    };
    let Some(world) = World::build_with(test, Options::default(), two).await else {
        return;
    };
    for task in 1..=6 {
        world
            .dispatch(&world.turn(
                task,
                100 + task,
                "Go. #script:shell\n#cmd:sleep 0.3; echo done",
            ))
            .await;
    }
    for task in 1..=6 {
        assert!(world.finished(100 + task).await.completed());
        assert!(world.app_servers().len() <= 2, "{:#?}", world.app_servers());
    }
    // A task whose process gave way goes on all the same.
    world.model.set_script(Script::Remember);
    let view = world.run(&world.turn(1, 201, "Again.")).await;
    assert!(view.text.contains("sleep 0.3"), "{}", view.text);
}

#[tokio::test]
async fn in_a_warm_pool_codex_runs_before_its_task_and_the_task_gets_that_process() {
    let test = "in_a_warm_pool_codex_runs_before_its_task_and_the_task_gets_that_process";
    let warm = |settings: &mut Settings| {
        settings.set("WARM_POOL_MODE", "true");
    };
    let Some(mut world) = World::build_with(test, Options::default(), warm).await else {
        return;
    };
    until("the spare runs", || world.app_servers().len() == 1).await;
    let spare = world.app_servers()[0].pid;
    world.model.set_script(Script::Remember);
    let view = world.run(&world.turn(7, 1, "first")).await;
    assert!(view.completed(), "{view:#?}");
    let of_task: Vec<i32> = world.app_servers().iter().map(|proc| proc.pid).collect();
    assert_eq!(of_task, [spare]);
    // The conversation lies with the task, and another executor goes on with it, again by a spare for nobody else.
    world.executor.restart().await;
    let view = world.run(&world.turn(7, 2, "second")).await;
    assert_eq!(view.text, "I remember: first | second");
}

/// Nothing was done yet, so nothing can be done twice: another process takes the turn over where the text stands.
#[tokio::test]
async fn a_codex_that_is_killed_while_it_speaks_is_replaced_and_the_text_goes_on() {
    let test = "a_codex_that_is_killed_while_it_speaks_is_replaced_and_the_text_goes_on";
    let slow = Options {
        slow_delay: Duration::from_millis(50),
        slow_count: 40,
        ..Options::default()
    };
    let Some(world) = World::build_with(test, slow, |_| {}).await else {
        return;
    };
    world.dispatch(&world.turn(1, 2, "Go. #script:slow")).await;
    world
        .wait_for(2, "some text is shown", |view| view.text.len() > 10)
        .await;
    signal(world.app_servers()[0].pid, "KILL");
    let view = world.finished(2).await;
    assert!(view.completed(), "{view:#?}");
    assert_eq!(
        Some(view.text.as_str()),
        view.final_text.as_deref(),
        "the text is not shown once"
    );
}

/// Whether a command was carried out in full nobody knows, so it isn't asked for again; the conversation goes on.
#[tokio::test]
async fn a_codex_that_is_killed_while_a_command_runs_fails_the_turn_and_the_next_one_goes_on() {
    let test =
        "a_codex_that_is_killed_while_a_command_runs_fails_the_turn_and_the_next_one_goes_on";
    let Some(world) = World::build(test).await else {
        return;
    };
    let sleeper = wegent_executor_tests::Sleeper::new();
    let prompt = format!("Go. #script:shell\n#cmd:echo once >> counted; {sleeper}");
    world.dispatch(&world.turn(1, 2, &prompt)).await;
    sleeper.appear(1).await;
    signal(world.app_servers()[0].pid, "KILL");
    let view = world.finished(2).await;
    assert_eq!(view.error_code(), Some("container_error"), "{view:#?}");
    let left = procs::wait_until_gone(|| sleeper.running(), Duration::from_secs(10)).await;
    assert!(left.is_ok(), "{left:?}");
    world.model.set_script(Script::Remember);
    let view = world.run(&world.turn(1, 3, "Go on.")).await;
    assert!(view.text.ends_with("| Go on."), "{}", view.text);
    let counted = fs::read_to_string(world.workspace(1).join("counted")).unwrap();
    assert_eq!(counted, "once\n");
}

/// A ClaudeCode turn whose model speaks the Responses API.
fn other_shell(world: &World, subtask: i64) -> TurnBody {
    let mut turn = world
        .turn(1, subtask, "Go. #script:text")
        .with_bot("shell_type", json!("ClaudeCode"));
    turn.0["model_config"]["api_format"] = json!("responses");
    turn
}

#[tokio::test]
async fn a_claude_code_shell_with_a_responses_model_runs_on_codex_where_that_is_asked_for() {
    let test = "a_claude_code_shell_with_a_responses_model_runs_on_codex_where_that_is_asked_for";
    let routed = |settings: &mut Settings| {
        settings.set("WEGENT_ROUTE_RESPONSES_MODELS_TO_CODEX", "true");
        settings.set("CLAUDE_BINARY_PATH", "/nowhere/claude");
    };
    let Some(world) = World::build_with(test, Options::default(), routed).await else {
        return;
    };
    let view = world.run(&other_shell(&world, 2)).await;
    assert!(view.completed(), "{view:#?}");
    assert!(world.model.requests()[0].path.ends_with("/v1/responses"));
    // Every other turn of that shell is Claude Code's.
    let mut claude = other_shell(&world, 3);
    claude.0["model_config"]["api_format"] = json!(null);
    claude.0["model_config"]["protocol"] = json!("claude");
    let view = world.run(&claude).await;
    assert_eq!(view.error_code(), Some("container_error"), "{view:#?}");
}

#[tokio::test]
async fn without_the_switch_the_shell_decides() {
    let test = "without_the_switch_the_shell_decides";
    let no_claude = |settings: &mut Settings| {
        settings.set("CLAUDE_BINARY_PATH", "/nowhere/claude");
    };
    let Some(world) = World::build_with(test, Options::default(), no_claude).await else {
        return;
    };
    let view = world.run(&other_shell(&world, 2)).await;
    assert_eq!(view.error_code(), Some("container_error"), "{view:#?}");
}
