//! How fast text flows through the redactor, and what a secret more costs.

use divan::{Bencher, counter::BytesCount};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use redact::{Secrets, Stream};

fn main() {
    divan::main();
}

/// Random secrets as platforms make them: 24 to 48 letters and digits, every fourth with characters that encoders escape.
fn secrets(count: usize) -> Secrets {
    let secrets = Secrets::new();
    let mut random = SmallRng::seed_from_u64(7);
    for number in 0..count {
        secrets.add(secret(&mut random, number % 4 == 0));
    }
    secrets
}

fn secret(random: &mut SmallRng, escaped: bool) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let length = random.random_range(24..=48);
    let mut secret: String = (0..length)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect();
    if escaped {
        secret.insert_str(length / 2, "/+\"&");
    }
    secret
}

/// Source text: this crate's own, repeated.
fn text(length: usize) -> String {
    let source = concat!(
        include_str!("../src/needles.rs"),
        include_str!("../src/shape.rs")
    );
    source.chars().cycle().take(length).collect()
}

const TEXT: usize = 1 << 20;

/// A mebibyte in pushes of 64 KB and of 20 bytes; `0` secrets are the shapes alone.
#[divan::bench(args = [(0, 65_536), (20, 65_536), (200, 65_536), (2_000, 65_536), (200, 20)], sample_count = 20)]
fn stream(bencher: Bencher<'_, '_>, (count, push): (usize, usize)) {
    let (secrets, text) = (secrets(count), text(TEXT));
    let pieces: Vec<&str> = pieces(&text, push);
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let mut stream = Stream::new(&secrets);
        let shown: usize = pieces.iter().map(|piece| stream.push(piece).len()).sum();
        shown + stream.finish().len()
    });
}

fn pieces(mut text: &str, push: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let end = (push..text.len()).find(|&at| text.is_char_boundary(at));
        let (piece, rest) = text.split_at(end.unwrap_or(text.len()));
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// One secret more, up to where text flows again.
#[divan::bench(args = [0, 20, 200, 2_000], sample_count = 50, sample_size = 1)]
fn add(bencher: Bencher<'_, '_>, count: usize) {
    bencher
        .with_inputs(|| {
            let mut random = SmallRng::seed_from_u64(8);
            let secrets = secrets(count);
            secrets.redact_str("so that all is built");
            (secrets, secret(&mut random, true))
        })
        .bench_refs(|(secrets, secret)| {
            secrets.add(secret.as_str());
            secrets.redact_str("text").len()
        });
}

/// All secrets of a turn at once: time and memory.
#[divan::bench(args = [20, 200, 2_000], sample_count = 20, sample_size = 1)]
fn build(count: usize) -> Secrets {
    let secrets = secrets(count);
    secrets.redact_str("text");
    secrets
}
