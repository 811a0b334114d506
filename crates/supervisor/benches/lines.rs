//! How fast a CLI's output is cut into lines.

use divan::{Bencher, counter::BytesCount};
use supervisor::LineReader;

fn main() {
    divan::main();
}

const LINES: usize = 10_000;

/// Lines of so many bytes.
#[divan::bench(args = [200, 2_000, 20_000], sample_count = 20)]
fn read(bencher: Bencher<'_, '_>, length: usize) {
    let text = format!("{}\n", "x".repeat(length)).repeat(LINES);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        runtime.block_on(async {
            let mut lines = LineReader::new(text.as_bytes(), 1 << 20);
            let mut read = 0;
            while let Some(line) = lines.next().await.expect("memory reads") {
                divan::black_box(line);
                read += 1;
            }
            assert_eq!(read, LINES);
        });
    });
}
