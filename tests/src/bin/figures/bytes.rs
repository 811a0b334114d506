//! What callbacks cost: cumulative ones each repeat the answer.

use std::time::Duration;

use testkit::{Callback, model::Options, roles};
use wegent_executor_tests::{World, private_folder};

use crate::sample::Row;

/// How long a delta is.
const DELTA: usize = 20;
/// The sizes of answers in bytes.
const ANSWERS: [(usize, &str); 3] = [(10_000, "10 KB"), (100_000, "100 KB"), (1_000_000, "1 MB")];
/// Deltas in a second; 0: as fast as it goes.
const PACES: [(u32, &str); 2] = [(0, "flat out"), (200, "at 200 deltas a second")];
/// Longer answers than this one are only written slowly where that is all that is measured: it takes minutes.
const LONG: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(600);

/// In which form the callbacks go out.
#[derive(Clone, Copy)]
enum Form {
    Cumulative,
    Responses,
}

/// Bytes posted for answers of several sizes.
pub(crate) async fn posted(long_ones: bool) -> Vec<Row> {
    let cli = private_folder();
    let codex = roles::install_fake_codex(cli.path()).expect("the folder is writable");
    let world = World::with_cli(&codex, Options::default(), |_| {}).await;
    let mut rows = Vec::new();
    let mut subtask = 0;
    for form in [Form::Cumulative, Form::Responses] {
        for (size, name) in ANSWERS {
            for (rate, pace) in PACES {
                if rate == 0 || size <= LONG || long_ones {
                    subtask += 1;
                    let how = format!("{name} {pace}");
                    rows.push(answer(&world, form, subtask, size, rate, &how).await);
                }
            }
        }
    }
    rows
}

async fn answer(world: &World, form: Form, subtask: i64, size: usize, rate: u32, how: &str) -> Row {
    let count = size / DELTA;
    let prompt = format!("#fake:deltas count={count} rate={rate} size={DELTA}");
    let figure = match form {
        Form::Cumulative => {
            world.execute(&world.flat(subtask, subtask, &prompt)).await;
            "bytes of cumulative callbacks"
        }
        Form::Responses => {
            world.dispatch(&world.turn(subtask, subtask, &prompt)).await;
            "bytes of callbacks"
        }
    };
    let end = world.backend.wait_end(subtask, 1, PATIENCE).await;
    end.expect("the turn ends");
    told(figure, size, how, &world.backend.callbacks(subtask))
}

fn told(figure: &'static str, size: usize, how: &str, callbacks: &[Callback]) -> Row {
    let length = |callback: &Callback| callback.body.to_string().len();
    let bytes: usize = callbacks.iter().map(length).sum();
    // The last two repeat the answer whatever the pace.
    let (on_the_way, _) = callbacks.split_at(callbacks.len().saturating_sub(2));
    let on_the_way: usize = on_the_way.iter().map(length).sum();
    let starts: Vec<u64> = callbacks.iter().map(|callback| callback.arrived).collect();
    let gap = starts.windows(2).map(|pair| pair[1] - pair[0]).max();
    let seconds = (starts[starts.len() - 1] - starts[0]) as f64 / 1e6;
    Row::new(
        figure,
        format!("{:.1} × the answer", bytes as f64 / size as f64),
        format!(
            "{how}: {bytes} bytes in {} callbacks and {seconds:.1} s; on the way {:.0} KB/s, {:.2} s apart at most",
            callbacks.len(),
            on_the_way as f64 / 1000.0 / seconds.max(0.001),
            gap.unwrap_or_default() as f64 / 1e6
        ),
    )
}
