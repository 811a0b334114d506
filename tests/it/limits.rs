//! Limits of a turn: whichever agent runs it, each ends it with its own code and leaves nothing running, and the
//! conversation goes on.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{model::Options, oracle::Terminal};
use wegent_executor_tests::{Settings, Sleeper, TurnBody, World};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// How long what has to go may take to go.
const GONE: Duration = Duration::from_secs(4);

/// A model that says something every few milliseconds and does not come to an end.
fn talkative() -> Options {
    Options {
        slow_delay: Duration::from_millis(20),
        slow_count: 100_000,
        ..Options::default()
    }
}

/// A world for both agents.
async fn world(test: &str, change: impl FnOnce(&mut Settings)) -> Option<World> {
    testkit::cli::require_codex(test)?;
    World::with_claude(test, talkative(), change).await
}

type Request = fn(&World, i64, i64, &str) -> TurnBody;

/// Both agents, each with a task of its own.
const AGENTS: [(i64, Request); 2] = [(TASK, World::turn), (TASK + 10, World::claude_turn)];

/// Runs a turn that a limit ends, and gives what the person reads.
async fn ended_by(world: &World, turn: &TurnBody, expected: &str) -> String {
    let view = world.run(turn).await;
    match view.terminal {
        Some(Terminal::Failed { code, message }) if code == expected => message,
        other => panic!("{expected}: {other:?}\n{}", world.executor.log()),
    }
}

/// Runs each agent's turn into the limit, and then one that stays within it.
async fn each(world: &World, prompt: &str, code: &str, then: Option<&str>) {
    for (task, request) in AGENTS {
        let turn = request(world, task, task + 1, prompt);
        let message = ended_by(world, &turn, code).await;
        assert!(
            message.starts_with("The turn was ended because"),
            "{message}"
        );
        world.gone(Instant::now(), GONE, || world.tools()).await;
        let Some(then) = then else { continue };
        let view = world.run(&request(world, task, task + 2, then)).await;
        assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    }
}

#[tokio::test]
async fn the_time_of_a_turn() {
    let limit = |settings: &mut Settings| _ = settings.set("WEGENT_LIMIT_SECONDS", "6");
    let Some(world) = world("the_time_of_a_turn", limit).await else {
        return;
    };
    let hello = Some("And now? #script:text");
    each(&world, "Count. #script:slow", "limit_wall_time", hello).await;
}

#[tokio::test]
async fn the_time_in_which_nothing_happens_also_while_a_tool_runs() {
    let test = "the_time_in_which_nothing_happens_also_while_a_tool_runs";
    let limit = |settings: &mut Settings| _ = settings.set("WEGENT_LIMIT_IDLE_SECONDS", "5");
    let Some(world) = world(test, limit).await else {
        return;
    };
    let sleeper = Sleeper::new();
    let prompt =
        format!("Sleep. #script:shell\n#cmd:(setsid {sleeper} &) ; trap '' TERM; {sleeper}");
    each(&world, &prompt, "limit_idle_time", None).await;
    assert_eq!(sleeper.running().len(), 0);
}

#[tokio::test]
async fn the_bytes_that_are_given_out() {
    let limit = |settings: &mut Settings| _ = settings.set("WEGENT_LIMIT_OUTPUT_BYTES", "300");
    let Some(world) = world("the_bytes_that_are_given_out", limit).await else {
        return;
    };
    let hello = Some("And now? #script:text");
    each(&world, "Count. #script:slow", "limit_output", hello).await;
    let tool = "Print. #script:shell\n#cmd:head -c 1000 /dev/zero | tr '\\0' x";
    for (task, request) in AGENTS {
        ended_by(
            &world,
            &request(&world, task, task + 5, tool),
            "limit_output",
        )
        .await;
    }
}

#[tokio::test]
async fn the_tokens_of_a_turn() {
    let limit = |settings: &mut Settings| _ = settings.set("WEGENT_LIMIT_TOKENS", "1");
    let Some(world) = world("the_tokens_of_a_turn", limit).await else {
        return;
    };
    let prompt = "Run. #script:shell\n#cmd:sleep 2";
    each(&world, prompt, "limit_tokens", None).await;
}

#[tokio::test]
async fn the_models_answers_by_the_request_and_by_the_configuration() {
    let test = "the_models_answers_by_the_request_and_by_the_configuration";
    let limit = |settings: &mut Settings| _ = settings.set("WEGENT_LIMIT_TURNS", "4");
    let Some(world) = world(test, limit).await else {
        return;
    };
    for (task, request) in AGENTS {
        let prompt = "Run. #script:shell\n#cmd:true";
        let within = world.run(&request(&world, task, task + 1, prompt)).await;
        assert!(within.completed(), "{within:#?}\n{}", world.executor.log());
        let turn = request(&world, task, task + 2, prompt).with("max_turns", json!(1));
        let message = ended_by(&world, &turn, "limit_turns").await;
        assert!(message.contains("(1)"), "{message}");
    }
}

/// Codex doesn't tell what a turn costs: it is run, and the log says so.
#[tokio::test]
async fn the_cost_of_a_turn_where_the_agent_tells() {
    let test = "the_cost_of_a_turn_where_the_agent_tells";
    let limit = |settings: &mut Settings| _ = settings.set("WEGENT_LIMIT_COST_USD", "0.0000001");
    let Some(world) = world(test, limit).await else {
        return;
    };
    let prompt = "Run. #script:shell\n#cmd:true";
    let turn = world.claude_turn(TASK, TURN, prompt);
    ended_by(&world, &turn, "limit_cost").await;
    let view = world.run(&world.turn(77, 78, prompt)).await;
    assert!(view.completed());
    assert!(
        world
            .executor
            .log()
            .contains("the limit of the cost is not kept")
    );
}

#[tokio::test]
async fn questions_that_are_left_open() {
    let limit = |settings: &mut Settings| {
        settings.set("WEGENT_LIMIT_QUESTIONS", "0");
        settings.set("WEGENT_CODEX_APPROVALS", "untrusted");
    };
    let Some(world) = world("questions_that_are_left_open", limit).await else {
        return;
    };
    let turn = world.turn(TASK, TURN, "Run. #script:shell\n#cmd:touch made");
    ended_by(&world, &turn, "limit_questions").await;
    assert!(!world.workspace(TASK).join("made").exists());
    let option = |label: &str| json!({"label": label, "description": ""});
    let question = json!({"question": "Which?", "header": "H", "multiSelect": false, "options": [option("One"), option("Two")]});
    let calls = json!([["AskUserQuestion", {"questions": [question]}]]);
    let prompt = format!("Ask. #script:calls\n#cmd:{calls}");
    let turn = world.claude_turn(TASK + 10, TURN + 10, &prompt);
    ended_by(&world, &turn, "limit_questions").await;
}
