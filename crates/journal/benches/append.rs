//! How fast records go into a log and come out of it again.

use std::cell::RefCell;

use divan::{Bencher, counter::ItemsCount};
use journal::{LogName, Seq, Store, TurnLog, Writer};

fn main() {
    divan::main();
}

const RECORDS: usize = 10_000;
/// A delta of twenty bytes, in the words of a record.
const RECORD: &str = r#"{"kind":"text","block":"message-1","delta":"twenty bytes of text"}"#;

fn log(folder: &tempfile::TempDir) -> (TurnLog<String>, Writer<String>) {
    let store = Store::open(folder.path()).expect("a new folder opens");
    let name = LogName::new("1.2.1").expect("a plain name");
    let log = store.create(&name).expect("a new log");
    let writer = log.writer().expect("the only writer");
    (log, writer)
}

/// Buffered: what a delta costs before it is sent.
#[divan::bench(sample_count = 20)]
fn append(bencher: Bencher<'_, '_>) {
    let record = RECORD.to_owned();
    let inputs = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (log, writer) = log(&folder);
        (folder, log, RefCell::new(writer))
    };
    bencher
        .counter(ItemsCount::new(RECORDS))
        .with_inputs(inputs)
        .bench_refs(|(_, _, writer)| {
            for _ in 0..RECORDS {
                writer.borrow_mut().append(&record).expect("there is room");
            }
        });
}

/// What the courier reads.
#[divan::bench(sample_count = 20)]
fn read(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (log, mut writer) = log(&folder);
    for _ in 0..RECORDS {
        writer.append(&RECORD.to_owned()).expect("there is room");
    }
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut reader = log.reader(Seq::START);
        let mut read = 0;
        while read < RECORDS {
            read += reader.next_batch(4096, 1 << 20).expect("it reads").len();
        }
        read
    });
}
