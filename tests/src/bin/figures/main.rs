//! `make bench`: figures of the executor, measured from outside as its user would see them. They are printed as one table
//! and judged by nobody.
//!
//! The executor is the one that was built with this program. Everything else runs on the same machine and shares its
//! cores: the fake Wegent lives in this process, and the CLI is this program again (the test kit's fake Codex, which
//! answers at once and notes when it wrote a delta), except where the table says otherwise.

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
    let rows = runtime.block_on(all());
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
    rows.extend(bytes::posted().await);
    rows.push(measure::size());
    rows
}
