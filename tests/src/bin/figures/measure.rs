//! The measurements.

use std::{
    fs,
    time::{Duration, Instant},
};

use testkit::{Backend, Callback, clock, model::Options, roles};
use wegent_executor_tests::{Executor, Settings, World, binary, private_folder};

use crate::{
    machine::resident,
    sample::{Row, Sample},
};

const STARTS: usize = 20;
const TURNS: i64 = 50;
/// After how many turns the memory is looked at again.
const TURNS_BEFORE_RESIDENT: i64 = 20;
const DELTAS: usize = 2000;
const DELTAS_PER_SECOND: usize = 200;
const REAL_TURNS: i64 = 10;
/// How long an executor is left alone before its memory counts as idle.
const REST: Duration = Duration::from_secs(2);

/// From the start of the process to its first healthy answer, and its memory then.
pub(crate) async fn start() -> Vec<Row> {
    let backend = Backend::start().await.expect("the fake backend can listen");
    let mut times = Sample::default();
    let mut idle = String::new();
    for number in 1..=STARTS {
        let root = private_folder();
        let codex = roles::install_fake_codex(root.path()).expect("the folder is writable");
        let settings = Settings::new(root.path(), &codex, &backend);
        let from = Instant::now();
        let mut executor = Executor::start(settings).await;
        times.push(from.elapsed());
        if number == STARTS {
            tokio::time::sleep(REST).await;
            idle = resident(executor.pid());
        }
        executor.terminate().await;
    }
    let how = format!("{STARTS} starts with empty folders, GET / tried every 2 ms");
    vec![
        Row::new("process start to healthy", times.tell(&[50]), how),
        Row::new(
            "resident memory, idle",
            idle,
            format!("VmRSS {} s after the start", REST.as_secs()),
        ),
    ]
}

/// A world whose CLI is the fake one, and the folder in which that lies.
pub(crate) async fn fake_world() -> (World, tempfile::TempDir) {
    let folder = private_folder();
    let codex = roles::install_fake_codex(folder.path()).expect("the folder is writable");
    let world = World::with_cli(&codex, Options::default(), |_| {}).await;
    (world, folder)
}

/// From a dispatch to its answer and to what the backend gets first.
pub(crate) async fn turns() -> Vec<Row> {
    let (world, _cli) = fake_world().await;
    let (mut answers, mut created, mut texts) =
        (Sample::default(), Sample::default(), Sample::default());
    let mut busy = String::new();
    for subtask in 1..=TURNS {
        let turn = world.turn(1, subtask, "#fake:say hello");
        let (from, stamp) = (Instant::now(), clock::now_micros());
        world.dispatch(&turn).await;
        answers.push(from.elapsed());
        world.finished(subtask).await;
        let callbacks = world.backend.callbacks(subtask);
        created.push_between(stamp, arrival(&callbacks, "response.created"));
        texts.push_between(stamp, arrival(&callbacks, "response.output_text.delta"));
        if subtask == TURNS_BEFORE_RESIDENT {
            tokio::time::sleep(REST).await;
            busy = resident(world.executor.pid());
        }
    }
    let guard = world
        .guards()
        .first()
        .map_or_else(|| "none".to_owned(), |guard| resident(guard.pid));
    let how = format!("{TURNS} turns of one task, one after the other");
    vec![
        Row::new(
            "resident memory after turns",
            busy,
            format!(
                "VmRSS {} s after turn {TURNS_BEFORE_RESIDENT}",
                REST.as_secs()
            ),
        ),
        Row::new(
            "resident memory of a guard",
            guard,
            "VmRSS; one guard per running CLI",
        ),
        Row::new(
            "dispatch to HTTP answer",
            answers.tell(&[50, 99]),
            how.clone(),
        ),
        Row::new(
            "dispatch to response.created",
            created.tell(&[50, 99]),
            format!("{how}, at the backend"),
        ),
        Row::new(
            "dispatch to first text",
            texts.tell(&[50, 99]),
            format!("{how}, at the backend; the first one is cold"),
        ),
    ]
}

/// From the CLI's writing of a delta to the backend.
pub(crate) async fn deltas() -> Vec<Row> {
    let (world, _cli) = fake_world().await;
    let prompt = format!("#fake:deltas count={DELTAS} rate={DELTAS_PER_SECOND} size=40");
    world.dispatch(&world.turn(1, 2, &prompt)).await;
    world.finished(2).await;
    let callbacks = world.backend.callbacks(2);
    let texts: Vec<&Callback> = callbacks
        .iter()
        .filter(|callback| callback.event_type() == "response.output_text.delta")
        .collect();
    let times = latencies(&texts);
    let how = format!(
        "{} deltas at {DELTAS_PER_SECOND} per second in {} callbacks; until a delta's last character has arrived",
        times.len(),
        texts.len()
    );
    vec![Row::new(
        "delta written to delta at the backend",
        times.tell(&[50, 95, 99]),
        how,
    )]
}

/// How long each delta took. Every one is a time stamp and ends with a blank, and may come in several callbacks.
fn latencies(texts: &[&Callback]) -> Sample {
    let mut times = Sample::default();
    let mut begun = String::new();
    for callback in texts {
        begun.push_str(callback.data()["delta"].as_str().unwrap_or_default());
        while let Some(end) = begun.find(' ') {
            let delta: String = begun.drain(..=end).collect();
            for written in clock::stamps_in(&delta) {
                times.push_between(written, callback.arrived);
            }
        }
    }
    times
}

/// From a dispatch to the first text with the real CLI and the scripted model.
pub(crate) async fn real_codex() -> Vec<Row> {
    let Some(world) = World::build("dispatch to first text with the real CLI").await else {
        return Vec::new();
    };
    let (mut cold, mut warm) = (Sample::default(), Sample::default());
    for subtask in 1..=REAL_TURNS + 1 {
        let turn = world.turn(1, subtask, "Hello. #script:text");
        let stamp = clock::now_micros();
        world.dispatch(&turn).await;
        world.finished(subtask).await;
        let times = if subtask == 1 { &mut cold } else { &mut warm };
        times.push_between(
            stamp,
            arrival(
                &world.backend.callbacks(subtask),
                "response.output_text.delta",
            ),
        );
    }
    vec![
        Row::new(
            "dispatch to first text, real Codex, cold",
            cold.tell(&[50]),
            "1 turn, scripted model, at the backend",
        ),
        Row::new(
            "dispatch to first text, real Codex, warm",
            warm.tell(&[50]),
            format!("the {REAL_TURNS} turns after it"),
        ),
    ]
}

/// When the first callback of this type arrived.
fn arrival(callbacks: &[Callback], event: &str) -> u64 {
    let first = callbacks
        .iter()
        .find(|callback| callback.event_type() == event);
    first
        .map(|callback| callback.arrived)
        .expect("every turn has this event")
}

/// The size of the binary.
pub(crate) fn size() -> Row {
    let size = fs::metadata(binary()).map_or(0, |metadata| metadata.len());
    Row::new(
        "size of the binary",
        format!("{:.1} MiB", size as f64 / f64::from(1 << 20)),
        "file size",
    )
}
