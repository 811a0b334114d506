//! Readers beside a living writer.

use std::thread;

use journal::{JournalError, Seq, Store, Wait};

use crate::{drain, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_record_in_order_while_it_is_written() {
    const RECORDS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let log = Store::open(folder.path())
        .unwrap()
        .create::<String>(&name("a"))
        .unwrap();
    let mut writer = log.writer().unwrap();
    let readers = [1, 1000].map(|batch| {
        let mut reader = log.reader(Seq::START);
        async move {
            let mut expected = 0;
            while reader.wait().await == Wait::More {
                for (seq, record) in reader.next_batch(batch, usize::MAX).unwrap() {
                    expected += 1;
                    assert_eq!((seq, record), (Seq(expected), format!("record {expected}")));
                }
            }
            expected
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    readers
        .into_iter()
        .for_each(|reader| _ = tasks.spawn(reader));
    let writing = thread::spawn(move || {
        (1..=RECORDS)
            .for_each(|n| assert_eq!(writer.append(&format!("record {n}")).unwrap(), Seq(n)));
        writer.finish();
    });
    assert_eq!(tasks.join_all().await, [RECORDS, RECORDS]);
    writing.join().unwrap();
}

#[tokio::test]
async fn a_waiting_reader_wakes_for_a_record_and_for_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = Store::open(folder.path())
        .unwrap()
        .create::<String>(&name("a"))
        .unwrap();
    let mut writer = log.writer().unwrap();
    let mut reader = log.reader(Seq::START);
    let record = "one".to_owned();
    let (wait, _) = tokio::join!(reader.wait(), async { writer.append(&record).unwrap() });
    assert_eq!(wait, Wait::More);
    assert_eq!(drain(&mut reader), [(Seq(1), record)]);
    let (wait, ()) = tokio::join!(reader.wait(), async { writer.finish() });
    assert_eq!(wait, Wait::Finished);
}

#[test]
fn a_reader_can_begin_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let log = Store::open(folder.path())
        .unwrap()
        .create::<String>(&name("a"))
        .unwrap();
    let mut writer = log.writer().unwrap();
    // More than one entry of the index, and records larger than what is read at once.
    let record = |n: u64| {
        format!(
            "{n} {}",
            "x".repeat(if n.is_multiple_of(50) { 200_000 } else { 3000 })
        )
    };
    (1..=200).for_each(|n| _ = writer.append(&record(n)).unwrap());
    for seen in (0..=200).rev() {
        let batch = log.reader(Seq(seen)).next_batch(1, 0).unwrap();
        let expected = (seen < 200).then(|| (Seq(seen + 1), record(seen + 1)));
        assert_eq!(batch, Vec::from_iter(expected));
    }
}

#[test]
fn batches_keep_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let log = Store::open(folder.path())
        .unwrap()
        .create::<String>(&name("a"))
        .unwrap();
    let mut writer = log.writer().unwrap();
    (0..10).for_each(|_| _ = writer.append(&"12345678".to_owned()).unwrap());
    let mut reader = log.reader(Seq::START);
    let mut lengths = |records, bytes| reader.next_batch(records, bytes).unwrap().len();
    assert_eq!(lengths(0, 100), 0);
    assert_eq!(lengths(3, 100), 3);
    assert_eq!(lengths(9, 29), 2);
    assert_eq!(lengths(9, 1), 1);
    assert_eq!(lengths(9, 100), 4);
}

#[test]
fn there_is_one_writer_and_one_cursor_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = Store::open(folder.path())
        .unwrap()
        .create::<String>(&name("a"))
        .unwrap();
    let (writer, cursor) = (log.writer().unwrap(), log.cursor().unwrap());
    assert!(matches!(
        log.writer(),
        Err(JournalError::Taken { what: "writer", .. })
    ));
    assert!(matches!(
        log.cursor(),
        Err(JournalError::Taken { what: "cursor", .. })
    ));
    drop((writer, cursor));
    assert!(log.writer().is_ok() && log.cursor().is_ok());
}

#[tokio::test]
async fn a_record_of_another_type_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let log = store.create::<serde_json::Value>(&name("a")).unwrap();
    let mut writer = log.writer().unwrap();
    writer.append(&"text".into()).unwrap();
    writer.append(&7.into()).unwrap();
    log.sync().await.unwrap();
    drop((writer, log));
    let mut reader = store
        .open_log::<String>(&name("a"))
        .unwrap()
        .reader(Seq::START);
    assert_eq!(
        reader.next_batch(9, 100).unwrap(),
        [(Seq(1), "text".to_owned())]
    );
    for _ in 0..2 {
        assert!(matches!(
            reader.next_batch(9, 100),
            Err(JournalError::Decode { seq: Seq(2), .. })
        ));
    }
}
