//! `make bench`: figures of the executor, measured from outside as its user would see them. They are printed as one table
//! and judged by nobody.
//!
//! The executor is the one that was built with this program. Everything else runs on the same machine and shares its
//! cores: the fake Wegent lives in this process, and the CLI is this program again (the test kit's fake Codex, which
//! answers at once and notes when it wrote a delta), except where the table says otherwise.
//!
//! `figures bytes` measures only what callbacks cost, and that of long answers that are written slowly too.

mod bytes;
mod machine;
mod measure;
mod sample;

use std::process::ExitCode;

use sample::Row;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("figures: {error}");
            return ExitCode::FAILURE;
        }
    };
    let load_before = machine::load();
    let only_bytes = std::env::args().nth(1).is_some_and(|word| word == "bytes");
    let rows = if only_bytes {
        runtime.block_on(bytes::posted(true))
    } else {
        runtime.block_on(all())
    };
    println!(
        "`make bench`, {}; load average before: {load_before}.\n",
        machine::describe()
    );
    println!("| Figure | Value | How |\n|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    ExitCode::SUCCESS
}

async fn all() -> Vec<Row> {
    let mut rows = measure::start().await;
    rows.extend(measure::turns().await);
    rows.extend(measure::real_codex().await);
    rows.extend(measure::deltas().await);
    rows.extend(bytes::posted(false).await);
    rows.push(measure::size());
    rows
}
