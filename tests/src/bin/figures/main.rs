//! `make bench`: figures of the executor, measured from outside as its user would see them. They are printed as one table
//! and judged by nobody.
//!
//! `figures [GROUP…]` measures these groups only; `figures --list` names them.
//!
//! The executor is the one that was built with this program. Everything else runs on the same machine and shares its
//! cores: the [sink] lives in this process, and the CLIs are this program again (the test kit's fakes, which answer at once
//! and write the time into each delta), except where the table says otherwise. The [copier] does the least that any
//! program could do, and so tells what of a figure is the machine's.

mod bytes;
mod cancel;
mod copier;
mod dispatch;
mod machine;
mod sample;
mod sink;
mod stage;
mod stream;

use std::process::ExitCode;

use futures::future::{BoxFuture, FutureExt as _};
use sample::Row;

/// A group of figures: its name and how it is measured.
type Group = (&'static str, fn() -> BoxFuture<'static, Vec<Row>>);

/// Callbacks of long answers that are written slowly: it takes minutes, so it has to be asked for.
const SLOW_BYTES: &str = "bytes-slow";

const GROUPS: [Group; 11] = [
    ("start", || dispatch::start().boxed()),
    ("dispatch", || dispatch::turns().boxed()),
    ("latency", || stream::latency().boxed()),
    ("bulk", || stream::bulk().boxed()),
    ("many", || stream::many().boxed()),
    ("long-line", || stream::long_line().boxed()),
    ("cancel", || cancel::answers().boxed()),
    ("growth", || growth().boxed()),
    ("bytes", || bytes::posted(false).boxed()),
    (SLOW_BYTES, || bytes::posted(true).boxed()),
    ("real", || dispatch::real().boxed()),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == copier::ROLE => return copier::main(rest),
        Some((first, _)) if first == "--list" => {
            for (name, _) in GROUPS {
                println!("{name}");
            }
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let known = |name: &String| GROUPS.iter().any(|(group, _)| group == name);
    if let Some(unknown) = arguments.iter().find(|name| !known(name)) {
        eprintln!("figures: no group `{unknown}`; `--list` names them");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("figures: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "`make bench`, {}; load average before: {}.\n\n{}",
        machine::describe(),
        machine::load(),
        sample::HEAD
    );
    for (name, measure) in GROUPS {
        let wanted = match arguments.is_empty() {
            true => name != SLOW_BYTES,
            false => arguments.iter().any(|wanted| wanted == name),
        };
        if wanted {
            for row in runtime.block_on(measure()) {
                println!("{row}");
            }
        }
    }
    ExitCode::SUCCESS
}

/// What grows.
async fn growth() -> Vec<Row> {
    let mut rows = stream::growth().await;
    rows.extend(dispatch::memory().await);
    rows
}
