//! What cumulative callbacks cost: each repeats the answer so far.

use std::time::Duration;

use wegent_executor_tests::World;

use crate::{measure::fake_world, sample::Row};

/// How long a delta is.
const DELTA: usize = 20;
/// The sizes of answers in bytes, and whether they are also written slowly.
const ANSWERS: [(usize, &str, bool); 3] = [
    (10_000, "10 KB", true),
    (100_000, "100 KB", true),
    (1_000_000, "1 MB", false),
];
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes posted for answers of several sizes.
pub(crate) async fn posted() -> Vec<Row> {
    let (world, _cli) = fake_world().await;
    let mut rows = Vec::new();
    let mut subtask = 0;
    for (size, name, slow) in ANSWERS {
        for rate in [Some(0), slow.then_some(200)].into_iter().flatten() {
            subtask += 1;
            rows.push(answer(&world, subtask, size, name, rate).await);
        }
    }
    rows
}

async fn answer(world: &World, subtask: i64, size: usize, name: &str, rate: u32) -> Row {
    let count = size / DELTA;
    let prompt = format!("#fake:deltas count={count} rate={rate} size={DELTA}");
    let turn = world.flat(subtask, subtask, &prompt);
    world.execute(&turn).await;
    let end = world.backend.wait_end(subtask, 1, PATIENCE).await;
    let end = end.expect("the turn ends");
    let callbacks = world.backend.callbacks(subtask);
    let bytes: usize = callbacks
        .iter()
        .map(|callback| callback.body.to_string().len())
        .sum();
    let starts: Vec<u64> = callbacks.iter().map(|callback| callback.arrived).collect();
    let gap = starts.windows(2).map(|pair| pair[1] - pair[0]).max();
    let seconds = (end.arrived - starts[0]) as f64 / 1e6;
    let pace = if rate == 0 {
        "flat out".to_owned()
    } else {
        format!("at {rate} deltas a second")
    };
    Row::new(
        "bytes of cumulative callbacks",
        format!("{:.1} × the answer", bytes as f64 / size as f64),
        format!(
            "{name} {pace}: {bytes} bytes in {} callbacks and {seconds:.1} s ({:.0} KB/s), {:.2} s apart at most",
            callbacks.len(),
            bytes as f64 / 1000.0 / seconds.max(0.001),
            gap.unwrap_or_default() as f64 / 1e6
        ),
    )
}
