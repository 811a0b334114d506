//! Text on its way: how late it is, how much of it goes through, what that costs.

use std::time::Duration;

use testkit::clock;

use crate::{
    copier::{self, Copied, Form},
    machine::Used,
    sample::{Row, Sample},
    sink::Post,
    stage::{PATIENCE, Shell, Stage},
};

/// Deltas a second, as a fast model writes them.
const RATE: usize = 200;
const PACED: usize = 2000;
const BULK: usize = 100_000;
const SIZE: usize = 20;
/// How late the slow endpoint answers.
const SLOW: Duration = Duration::from_millis(20);
/// Seconds that many turns at once write for.
const SECONDS: usize = 5;

fn deltas(count: usize, rate: usize) -> String {
    format!("#fake:deltas count={count} rate={rate} size={SIZE}")
}

/// From the CLI's writing of a delta to its arrival.
pub(crate) async fn latency() -> Vec<Row> {
    let stage = Stage::new().await;
    let prompt = deltas(PACED, RATE);
    let mut rows = Vec::new();
    let copied = copier::run(Form::Lines, &prompt, 1, PATIENCE).await;
    for shell in [Shell::Claude, Shell::Codex] {
        stage.warm_up(shell, 1).await;
        let posts = stage.run(&stage.turn(shell, 1, 2, &prompt)).await;
        let times = Sample::of_deltas(&posts, PACED);
        let how = format!(
            "{} deltas at {RATE} a second in {} callbacks; the copier sends each line, and only ClaudeCode's",
            times.len(),
            texts(&posts)
        );
        rows.push(
            Row::new(
                format!("delta written to delta at the sink, {}", shell.name()),
                times.tell(&[50, 95, 99]),
                how,
            )
            .target("p50 ≤ 1.5 × copier, p99 ≤ 3 × copier")
            .limit(copied.deltas(PACED).tell(&[50, 95, 99])),
        );
    }
    rows
}

/// As much as goes through.
pub(crate) async fn bulk() -> Vec<Row> {
    let stage = Stage::new().await;
    let mut rows = Vec::new();
    let prompt = deltas(BULK, 0);
    let copied = copier::run(Form::Chunks, &prompt, 1, PATIENCE).await;
    let limit = tell_copied(&copied);
    for shell in [Shell::Claude, Shell::Codex] {
        stage.warm_up(shell, 1).await;
        let run = Run::of(&stage, shell, &prompt).await;
        rows.push(
            Row::new(
                format!("{BULK} deltas of {SIZE} bytes flat out, {}", shell.name()),
                run.tell(),
                run.how(),
            )
            .target("wall ≤ 1.5 × writing; CPU ≤ 0.4 s; peak ≤ 24 MB")
            .limit(limit.clone()),
        );
        stage.sink.slow(SLOW);
        let slow = Run::of(&stage, shell, &prompt).await;
        stage.sink.slow(Duration::ZERO);
        rows.push(
            Row::new(
                format!(
                    "the same with the sink {} ms slow, {}",
                    SLOW.as_millis(),
                    shell.name()
                ),
                format!(
                    "{}; end {:.0} ms after the last writing",
                    slow.tell(),
                    slow.late * 1e3
                ),
                slow.how(),
            )
            .target("no slower for the agent; end ≤ 100 ms after"),
        );
    }
    let wholes = format!("#fake:wholes count={BULK} size={SIZE}");
    let copied = copier::run(Form::Chunks, &wholes, 1, PATIENCE).await;
    let run = Run::of(&stage, Shell::Claude, &wholes).await;
    rows.push(
        Row::new(
            format!("{BULK} whole messages, ClaudeCode"),
            run.tell(),
            run.how(),
        )
        .target("wall ≤ 1.2 × writing; memory flat")
        .limit(tell_copied(&copied)),
    );
    rows
}

/// How much dearer ten times as much is.
pub(crate) async fn growth() -> Vec<Row> {
    let stage = Stage::new().await;
    stage.warm_up(Shell::Claude, 1).await;
    let mut cpu = Vec::new();
    for count in [BULK, 10 * BULK] {
        cpu.push(
            Run::of(&stage, Shell::Claude, &deltas(count, 0))
                .await
                .used
                .cpu,
        );
    }
    let ratio = cpu[1] / cpu[0].max(0.01);
    vec![
        Row::new(
            "10 × the deltas",
            format!("{ratio:.1} × the CPU"),
            format!("{BULK}: {:.2} s, {}: {:.2} s", cpu[0], 10 * BULK, cpu[1]),
        )
        .target("≤ 11 ×"),
    ]
}

/// One turn flat out.
struct Run {
    /// Seconds from the first delta's writing to the last one's.
    writing: f64,
    /// Seconds from the first delta's writing to the end's arrival.
    wall: f64,
    /// Seconds from the last delta's writing to the end's arrival.
    late: f64,
    used: Used,
    deltas: usize,
    requests: usize,
    bytes: usize,
}

impl Run {
    async fn of(stage: &Stage, shell: Shell, prompt: &str) -> Self {
        stage.reset_peak();
        let before = stage.used();
        let subtask = i64::try_from(clock::now_micros() % 1_000_000_000).unwrap_or(2) + 2;
        let posts = stage.run(&stage.turn(shell, 1, subtask, prompt)).await;
        let used = stage.used().since(before);
        let text: String = posts.iter().map(|post| post.text.as_str()).collect();
        let stamps = clock::stamps_in(&text);
        let (first, last) = match stamps[..] {
            [first, .., last] => (first, last),
            _ => panic!("nothing was written"),
        };
        let end = posts.last().map_or(0, |post| post.arrived);
        let seconds = |from: u64, until: u64| until.saturating_sub(from) as f64 / 1e6;
        Self {
            writing: seconds(first, last),
            wall: seconds(first, end),
            late: seconds(last, end),
            used,
            deltas: stamps.len(),
            requests: posts.len(),
            bytes: posts.iter().map(|post| post.bytes).sum(),
        }
    }

    fn tell(&self) -> String {
        format!(
            "wall {:.3} s ({:.2} × writing), CPU {:.2} s, peak {:.1} MiB",
            self.wall,
            self.wall / self.writing.max(0.001),
            self.used.cpu,
            self.used.peak
        )
    }

    fn how(&self) -> String {
        format!(
            "{} deltas written in {:.3} s, {} requests, {:.1} MB",
            self.deltas,
            self.writing,
            self.requests,
            self.bytes as f64 / 1e6
        )
    }
}

fn tell_copied(copied: &Copied) -> String {
    let posts = copied.posts.concat();
    let text: String = posts.iter().map(|post| post.text.as_str()).collect();
    let stamps = clock::stamps_in(&text);
    let first = stamps.first().copied().unwrap_or_default();
    let end = posts.last().map_or(0, |post| post.arrived);
    format!(
        "wall {:.3} s, CPU {:.2} s, peak {:.1} MiB, {} requests",
        end.saturating_sub(first) as f64 / 1e6,
        copied.used.cpu,
        copied.used.peak,
        posts.len()
    )
}

/// Many turns at once.
pub(crate) async fn many() -> Vec<Row> {
    let mut rows = Vec::new();
    for turns in [20, 200] {
        let count = RATE * SECONDS;
        let prompt = deltas(count, RATE);
        let copied = copier::run(Form::Chunks, &prompt, turns, PATIENCE).await;
        let stage = Stage::new().await;
        let before = stage.used();
        for number in (1i64..).take(turns) {
            let turn = stage.turn(Shell::Claude, number, number, &prompt);
            stage.world.dispatch(&turn).await;
        }
        stage.sink.ended(turns, PATIENCE).await;
        let used = stage.used().since(before);
        let mut times = Sample::default();
        for number in (1i64..).take(turns) {
            times.extend(Sample::of_deltas(&stage.sink.posts(number), count));
        }
        let row = Row::new(
            format!("{turns} turns at once, {RATE} deltas a second each"),
            times.tell(&[50, 99]),
            format!(
                "ClaudeCode, {} deltas, {:.1} µs of CPU each with all of the turns' starts and ends",
                times.len(),
                used.cpu * 1e6 / times.len().max(1) as f64
            ),
        );
        let target = match turns {
            20 => "p99 ≤ 10 ms",
            _ => "p99 ≤ 3 × copier",
        };
        rows.push(
            row.target(target)
                .limit(copied.deltas(count).tell(&[50, 99])),
        );
    }
    rows
}

/// One very long line, while another turn writes.
pub(crate) async fn long_line() -> Vec<Row> {
    const BYTES: usize = 50_000_000;
    let stage = Stage::new().await;
    stage.warm_up(Shell::Claude, 1).await;
    stage.sink.clear();
    stage.reset_peak();
    let other = stage.turn(Shell::Claude, 1, 2, &deltas(RATE * SECONDS, RATE));
    stage.world.dispatch(&other).await;
    let long = stage.turn(Shell::Claude, 2, 3, &format!("#fake:big bytes={BYTES}"));
    stage.world.dispatch(&long).await;
    stage.sink.ended(2, PATIENCE).await;
    let posts = stage.sink.posts(3);
    let delivered: usize = posts.iter().map(|post| post.text.len()).sum();
    let times = Sample::of_deltas(&stage.sink.posts(2), RATE * SECONDS);
    vec![
        Row::new(
            "one line of 50 MB",
            format!(
                "{:.1} MB delivered, peak {:.0} MiB",
                delivered as f64 / 1e6,
                stage.used().peak
            ),
            format!("another turn's deltas meanwhile: {}", times.tell(&[50, 99])),
        )
        .target("delivered or cut; ≤ 200 MB"),
    ]
}

fn texts(posts: &[Post]) -> usize {
    posts.iter().filter(|post| !post.text.is_empty()).count()
}
