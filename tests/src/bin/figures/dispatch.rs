//! Starting, and what a turn costs before its first word.

use std::{
    fs,
    time::{Duration, Instant},
};

use testkit::{Backend, clock, roles};
use wegent_executor_tests::{Executor, Settings, World, binary, private_folder};

use crate::{
    copier,
    machine::resident,
    sample::{Row, Sample},
    sink::Post,
    stage::{PATIENCE, Shell, Stage},
};

const STARTS: usize = 20;
const TURNS: i64 = 200;
/// After how many turns the memory is looked at again.
const MANY_TURNS: i64 = 1000;
const REAL_TURNS: i64 = 20;
/// How long an executor is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(2);

/// From the start of the process to its first healthy answer, and its memory then.
pub(crate) async fn start() -> Vec<Row> {
    let backend = Backend::start().await.expect("the fake backend can listen");
    let mut times = Sample::default();
    let mut idle = 0.0;
    for number in 1..=STARTS {
        let root = private_folder();
        let codex = roles::install_fake_codex(root.path()).expect("the folder is writable");
        let settings = Settings::new(root.path(), &codex, &backend);
        let from = Instant::now();
        let mut executor = Executor::start_and_ask(settings, Duration::ZERO).await;
        times.push(from.elapsed());
        if number == STARTS {
            tokio::time::sleep(REST).await;
            idle = resident(executor.pid());
        }
        executor.terminate().await;
    }
    let how = format!("{STARTS} starts with empty folders, `GET /` over and over");
    let size = fs::metadata(binary()).map_or(0, |metadata| metadata.len());
    vec![
        Row::new("process start to healthy", times.tell(&[50]), how).target("≤ 10 ms"),
        Row::new(
            "resident memory, idle",
            format!("{idle:.1} MiB"),
            format!("VmRSS {} s after the start", REST.as_secs()),
        )
        .target("≤ 8 MB"),
        Row::new(
            "size of the binary",
            format!("{:.1} MiB", size as f64 / f64::from(1 << 20)),
            "file size",
        )
        .target("≤ 15 MB"),
    ]
}

/// Memory after many turns.
pub(crate) async fn memory() -> Vec<Row> {
    let stage = Stage::new().await;
    for subtask in 1..=MANY_TURNS {
        stage
            .run(&stage.turn(Shell::Codex, 1, subtask, "#fake:say hello"))
            .await;
    }
    tokio::time::sleep(REST).await;
    let after = resident(stage.world.executor.pid());
    let guards = stage.world.guards();
    let guard = guards.first().map_or(0.0, |guard| resident(guard.pid));
    vec![
        Row::new(
            "resident memory after turns",
            format!("{after:.1} MiB"),
            format!("VmRSS {} s after turn {MANY_TURNS}", REST.as_secs()),
        )
        .target("≤ 16 MB"),
        Row::new(
            "resident memory of a guard",
            format!("{guard:.1} MiB"),
            "VmRSS; one guard per running CLI",
        ),
    ]
}

/// From a dispatch to its answer, to what the backend gets first, and to the CLI.
pub(crate) async fn turns() -> Vec<Row> {
    let stage = Stage::new().await;
    let (mut answers, mut created, mut heard, mut texts) = Default::default();
    for subtask in 1..=TURNS {
        let turn = stage.turn(Shell::Codex, 1, subtask, "#fake:heard");
        let (posts, stamp, answer) = timed(&stage, &turn).await;
        if subtask == 1 {
            // The first one starts the app-server.
            continue;
        }
        Sample::push(&mut answers, answer);
        Sample::push_between(&mut created, stamp, arrival(&posts, "response.created"));
        Sample::push_between(&mut heard, stamp, told(&posts));
        Sample::push_between(&mut texts, stamp, arrival(&posts, TEXT));
    }
    let how = format!(
        "{} warm turns of one Codex task, one after the other",
        TURNS - 1
    );
    vec![
        Row::new(
            "dispatch to HTTP answer",
            answers.tell(&[50, 99]),
            how.clone(),
        )
        .target("p50 ≤ 1 ms and one fdatasync"),
        Row::new(
            "dispatch to response.created",
            created.tell(&[50, 99]),
            how.clone(),
        )
        .target("≤ 3 ms"),
        Row::new(
            "dispatch to `turn/start` read by Codex",
            heard.tell(&[50, 99]),
            how.clone(),
        )
        .target("≤ 2 ms"),
        Row::new("dispatch to first text, Codex", texts.tell(&[50, 99]), how),
        process_start(&stage).await,
    ]
}

const TEXT: &str = "response.output_text.delta";

/// From a dispatch to the first instruction of a CLI that has to be started.
async fn process_start(stage: &Stage) -> Row {
    let mut born = Sample::default();
    for task in 0..i64::try_from(STARTS).unwrap_or(0) {
        let turn = stage.turn(Shell::Claude, 1000 + task, 1000 + task, "#fake:born");
        let (posts, stamp, _) = timed(stage, &turn).await;
        born.push_between(stamp, told(&posts));
    }
    let limit = copier::starts(STARTS, PATIENCE).await;
    Row::new(
        "dispatch to the CLI's first instruction, ClaudeCode, cold",
        born.tell(&[50, 99]),
        format!("{STARTS} tasks, one after the other; both start the CLI by the same shell script"),
    )
    .target("≤ 1.2 × copier + 2 ms")
    .limit(limit.tell(&[50, 99]))
}

async fn timed(
    stage: &Stage,
    turn: &wegent_executor_tests::TurnBody,
) -> (Vec<Post>, u64, Duration) {
    stage.sink.clear();
    let (from, stamp) = (Instant::now(), clock::now_micros());
    stage.world.dispatch(turn).await;
    let answer = from.elapsed();
    stage.sink.ended(1, PATIENCE).await;
    (stage.sink.posts(turn.subtask()), stamp, answer)
}

/// The first stamp in a turn's answer.
fn told(posts: &[Post]) -> u64 {
    let text: String = posts.iter().map(|post| post.text.as_str()).collect();
    let stamps = clock::stamps_in(&text);
    *stamps.first().expect("the fake tells a time")
}

/// When the first callback of this type arrived.
fn arrival(posts: &[Post], event: &str) -> u64 {
    let first = posts.iter().find(|post| post.event == event);
    first
        .map(|post| post.arrived)
        .expect("every turn has this event")
}

/// From a dispatch to the first text with the real CLIs and the scripted model.
pub(crate) async fn real() -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(world) = World::build("dispatch to first text with the real Codex").await {
        rows.extend(real_turns(&world, Shell::Codex).await);
    }
    let none = |_: &mut Settings| {};
    if let Some(world) =
        World::with_claude("the same with Claude Code", Default::default(), none).await
    {
        rows.extend(real_turns(&world, Shell::Claude).await);
    }
    rows
}

async fn real_turns(world: &World, shell: Shell) -> Vec<Row> {
    let (mut cold, mut warm) = (Sample::default(), Sample::default());
    for subtask in 1..=REAL_TURNS + 1 {
        let prompt = "Hello. #script:text";
        let turn = match shell {
            Shell::Codex => world.turn(1, subtask, prompt),
            Shell::Claude => world.claude_turn(1, subtask, prompt),
        };
        let stamp = clock::now_micros();
        world.dispatch(&turn).await;
        world.finished(subtask).await;
        let callbacks = world.backend.callbacks(subtask);
        let first = callbacks
            .iter()
            .find(|callback| callback.event_type() == TEXT);
        let times = if subtask == 1 { &mut cold } else { &mut warm };
        times.push_between(stamp, first.expect("every turn has text").arrived);
    }
    let name = shell.name();
    vec![
        Row::new(
            format!("dispatch to first text, real {name}, cold"),
            cold.tell(&[50]),
            "1 turn, scripted model, at the backend",
        ),
        Row::new(
            format!("dispatch to first text, real {name}, warm"),
            warm.tell(&[50]),
            format!("the {REAL_TURNS} turns after it"),
        ),
    ]
}
