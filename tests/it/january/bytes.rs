//! What the callbacks cost: each repeats the answer so far.

use testkit::{cumulative, model::Options, roles};
use wegent_executor_tests::{PATIENCE, World, private_folder};

/// The callbacks of one answer of so many deltas of 20 bytes.
struct Posted {
    bytes: usize,
    /// Of the callbacks that are not the last two, which repeat the answer whatever its pace.
    bytes_on_the_way: usize,
    micros: u64,
    longest_gap: u64,
}

async fn posted(world: &World, subtask: i64, deltas: usize, rate: u32) -> Posted {
    let prompt = format!("#fake:deltas count={deltas} rate={rate} size=20");
    world.execute(&world.flat(subtask, subtask, &prompt)).await;
    let end = world.backend.wait_end(subtask, 1, PATIENCE).await;
    assert!(end.is_some(), "{}", world.executor.log());
    let callbacks = world.backend.callbacks(subtask);
    let stored = cumulative::assert_clean(&callbacks);
    assert_eq!(stored.value().len(), deltas * 20);
    let sizes: Vec<usize> = callbacks
        .iter()
        .map(|callback| callback.body.to_string().len())
        .collect();
    let times: Vec<u64> = callbacks.iter().map(|callback| callback.arrived).collect();
    Posted {
        bytes: sizes.iter().sum(),
        bytes_on_the_way: sizes[..sizes.len() - 2].iter().sum(),
        micros: times[times.len() - 1] - times[0],
        longest_gap: times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap(),
    }
}

#[tokio::test]
async fn answers_are_not_repeated_too_often() {
    let folder = private_folder();
    let codex = roles::install_fake_codex(folder.path()).unwrap();
    let world = World::with_cli(&codex, Options::default(), |_| {}).await;
    for (subtask, size) in (1..).zip([10_000, 100_000, 1_000_000]) {
        let posted = posted(&world, subtask, size / 20, 0).await;
        assert!(posted.bytes <= 10 * size, "{size}: {}", posted.bytes);
    }
    let slow = posted(&world, 10, 1000, 200).await;
    let per_second = slow.bytes_on_the_way as u64 * 1_000_000 / slow.micros;
    assert!(per_second <= 128_000, "{per_second} bytes a second");
    // On a machine with much to do; left alone it is 0.3 s.
    assert!(slow.longest_gap < 3_000_000, "{} µs", slow.longest_gap);
}
