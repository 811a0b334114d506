//! Full disks and lost writes, on a disk in memory.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    LogName, MEMORY_LIMIT, TurnLog,
    disk::{Disk, fake::FakeDisk},
};

/// Room for the records of a test and for its end.
const ROOM: u64 = RESERVED_FOR_LAST + 1000;

pub(super) fn open(disk: &FakeDisk, cursor: &FakeDisk) -> TurnLog<String> {
    let (disk, cursor) = (Box::new(disk.clone()), Box::new(cursor.clone()));
    let name = LogName::new("log").unwrap();
    TurnLog::of(Arc::new(
        Shared::open(name, disk, cursor, None, |_| Ok(())).unwrap(),
    ))
}

fn new(capacity: u64) -> (FakeDisk, FakeDisk, TurnLog<String>) {
    let disk = FakeDisk::new(capacity, Reserved::Yes);
    let cursor = FakeDisk::new(u64::MAX, Reserved::Yes);
    let log = open(&disk, &cursor);
    log.writer().unwrap().reserve_for_last().unwrap();
    (disk, cursor, log)
}

fn text(n: u64) -> String {
    format!("{n:0>98}")
}

/// All records after `seen`, read in batches of `records`.
pub(super) fn all(log: &TurnLog<String>, seen: Seq, records: usize) -> Vec<(Seq, String)> {
    let mut reader = log.reader(seen);
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(records, usize::MAX).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

fn numbers(records: &[(Seq, String)]) -> Vec<u64> {
    records.iter().map(|(seq, _)| seq.0).collect()
}

#[test]
fn a_log_without_room_for_its_end_is_not_begun() {
    let disk = FakeDisk::new(RESERVED_FOR_LAST / 2, Reserved::Yes);
    let log = open(&disk, &FakeDisk::new(u64::MAX, Reserved::Yes));
    assert!(matches!(
        log.writer().unwrap().reserve_for_last(),
        Err(JournalError::Full(_))
    ));
}

#[test]
fn on_a_full_disk_readers_read_on_from_memory() {
    for reserves in [Reserved::Yes, Reserved::Unsupported] {
        let disk = FakeDisk::new(ROOM, reserves);
        let log = open(&disk, &FakeDisk::new(u64::MAX, Reserved::Yes));
        let mut writer = log.writer().unwrap();
        let mut reader = log.reader(Seq::START);
        let mut seen = Vec::new();
        for n in 1..=2000 {
            assert_eq!(writer.append(&text(n)).unwrap(), Seq(n));
            if n.is_multiple_of(7) {
                seen.extend(reader.next_batch(5, usize::MAX).unwrap());
            }
        }
        assert!(matches!(
            log.shared_for_test().sync(),
            Err(JournalError::NotOnDisk(_))
        ));
        seen.extend(all(&log, reader.seen(), 100));
        let expected: Vec<(Seq, String)> = (1..=2000).map(|n| (Seq(n), text(n))).collect();
        assert_eq!(seen, expected);
        assert_eq!(all(&log, Seq::START, 3), expected);
    }
}

#[test]
fn when_there_is_space_again_memory_goes_to_disk_in_order() {
    let (disk, cursor, log) = new(ROOM);
    let mut writer = log.writer().unwrap();
    let mut reader = log.reader(Seq::START);
    (1..=50).for_each(|n| assert_eq!(writer.append(&text(n)).unwrap(), Seq(n)));
    // Up into memory, so that the reader meets the same records again on disk.
    assert_eq!(
        reader.next_batch(30, usize::MAX).unwrap().len()
            + reader.next_batch(20, usize::MAX).unwrap().len(),
        28
    );
    disk.set_capacity(u64::MAX);
    writer.append(&text(51)).unwrap();
    assert!(log.shared_for_test().sync().is_ok());
    let (seen, rest) = (reader.seen().0, all(&log, reader.seen(), 4));
    assert_eq!(numbers(&rest), (seen + 1..=51).collect::<Vec<_>>());
    assert_eq!(reader.next_batch(100, usize::MAX).unwrap(), rest);
    let reopened = open(&disk.crash(usize::MAX), &cursor);
    assert_eq!(
        numbers(&all(&reopened, Seq::START, 9)),
        (1..=51).collect::<Vec<_>>()
    );
    assert_eq!(reopened.recovery().cut, None);
}

#[test]
fn acked_records_make_room_and_leave_a_jump() {
    let (disk, cursor_disk, log) = new(ROOM);
    let mut writer = log.writer().unwrap();
    let mut cursor = log.cursor().unwrap();
    let large = "x".repeat(MEMORY_LIMIT / 4);
    (1..=4).for_each(|_| assert!(writer.append(&text(0)).is_ok()));
    let refused = loop {
        if let Err(refused) = writer.append(&large) {
            break refused;
        }
    };
    assert!(matches!(refused, JournalError::Full(_)), "{refused}");
    let in_memory = log.last();
    cursor.ack(in_memory).unwrap();
    // A reader that had not read them is not stuck before them.
    let mut late = log.reader(Seq(4));
    assert_eq!(late.next_batch(9, usize::MAX).unwrap(), []);
    assert_eq!(late.seen(), in_memory);
    assert_eq!(writer.append(&large).unwrap(), in_memory.next());
    cursor.ack(in_memory.next()).unwrap();
    disk.set_capacity(u64::MAX);
    writer.append(&text(9)).unwrap();
    let expected = [1, 2, 3, 4, in_memory.0 + 2];
    assert_eq!(numbers(&all(&log, Seq::START, 2)), expected);
    assert_eq!(
        numbers(&all(
            &open(&disk.crash(usize::MAX), &cursor_disk),
            Seq::START,
            2
        )),
        expected
    );
}

#[test]
fn the_last_record_is_on_a_full_disk_and_readers_get_all() {
    let (disk, cursor, log) = new(ROOM);
    let mut writer = log.writer().unwrap();
    let mut reader = log.reader(Seq::START);
    (1..=50).for_each(|n| assert_eq!(writer.append(&text(n)).unwrap(), Seq(n)));
    assert_eq!(writer.append_last(&text(51)).unwrap(), Seq(51));
    assert!(matches!(
        writer.append(&text(52)),
        Err(JournalError::Finished(_))
    ));
    drop(writer);
    assert!(matches!(log.writer(), Err(JournalError::Finished(_))));
    assert_eq!(
        numbers(&reader.next_batch(99, usize::MAX).unwrap()).last(),
        Some(&8)
    );
    assert_eq!(
        numbers(&reader.next_batch(99, usize::MAX).unwrap()),
        (9..=51).collect::<Vec<_>>()
    );
    // After the crash the last one stands behind a jump.
    let reopened = open(&disk.crash(usize::MAX), &cursor);
    assert_eq!(
        numbers(&all(&reopened, Seq::START, 5)),
        [1, 2, 3, 4, 5, 6, 7, 8, 51]
    );
    assert_eq!(reopened.last_record().unwrap(), Some((Seq(51), text(51))));
}

#[test]
fn an_outage_is_over_when_what_follows_and_more_has_room() {
    for reserves in [Reserved::Yes, Reserved::Unsupported] {
        let disk = FakeDisk::new(ROOM, reserves);
        let log = open(&disk, &FakeDisk::new(u64::MAX, Reserved::Yes));
        let mut writer = log.writer().unwrap();
        let mut cursor = log.cursor().unwrap();
        let large = "x".repeat(usize::try_from(OVER).unwrap() / 2);
        while writer.append(&large).is_ok() {}
        let last = log.last();
        let refused = |writer: &mut Writer<String>, next: &String| {
            let refused = writer.append_after_outage(&text(1), next);
            assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
        };
        // It would fit, and so would what follows.
        refused(&mut writer, &text(2));
        cursor.ack(Seq(2)).unwrap();
        refused(&mut writer, &large);
        cursor.ack(Seq(3)).unwrap();
        assert_eq!(
            writer.append_after_outage(&text(1), &large).unwrap(),
            last.next()
        );
        assert!(writer.append(&large).is_ok());
        assert!(writer.append(&large).is_ok());
        // Room on disk is as good.
        while writer.append(&large).is_ok() {}
        refused(&mut writer, &text(2));
        disk.set_capacity(u64::MAX);
        assert!(writer.append_after_outage(&text(1), &large).is_ok());
    }
}

#[test]
fn the_last_record_finds_room_even_if_memory_is_full() {
    let (_, _, log) = new(ROOM);
    let mut writer = log.writer().unwrap();
    let large = "x".repeat(MEMORY_LIMIT / 4);
    while writer.append(&large).is_ok() {}
    while writer.append(&text(0)).is_ok() {}
    assert!(matches!(
        writer.append_last(&large),
        Err(JournalError::Full(_))
    ));
    let before = writer.append_before_last(&text(1)).unwrap();
    let last = writer.append_last(&"x".repeat(60_000)).unwrap();
    assert_eq!(
        numbers(&all(&log, Seq(before.0 - 1), 9)),
        [before.0, last.0]
    );
}

proptest! {
    #[test]
    fn a_power_loss_keeps_a_prefix_with_all_that_was_synced(
        lengths in proptest::collection::vec(0..200_usize, 1..30),
        synced in any::<prop::sample::Index>(),
        kept in 0..3000_usize,
    ) {
        let (disk, cursor, log) = new(u64::MAX);
        let mut writer = log.writer().unwrap();
        let synced = synced.index(lengths.len());
        for (n, length) in lengths.iter().enumerate() {
            writer.append(&"x".repeat(*length)).unwrap();
            if n == synced {
                log.shared_for_test().sync().unwrap();
            }
        }
        let reopened = open(&disk.crash(kept), &cursor);
        let records = all(&reopened, Seq::START, 10);
        prop_assert!(records.len() > synced);
        for (n, (seq, record)) in records.iter().enumerate() {
            prop_assert_eq!((seq.0, record.len()), (n as u64 + 1, lengths[n]));
        }
        prop_assert!(reopened.recovery().cut.is_none_or(|cut| cut.torn));
        // What follows is read after it.
        let next = reopened.writer().unwrap().append(&"next".to_owned()).unwrap();
        prop_assert_eq!(next.0, records.len() as u64 + 1);
        let again = open(&disk_of(&reopened), &cursor);
        prop_assert_eq!(again.recovery().cut, None);
        prop_assert_eq!(again.last_record().unwrap(), Some((next, "next".to_owned())));
    }
}

/// A copy of what the log's disk holds.
fn disk_of(log: &TurnLog<String>) -> FakeDisk {
    let disk = &log.shared_for_test().disk;
    let mut bytes = vec![0; usize::try_from(disk.len().unwrap()).unwrap()];
    disk.read_exact_at(&mut bytes, 0).unwrap();
    let copy = FakeDisk::new(u64::MAX, Reserved::Yes);
    copy.write_all_at(&bytes, 0).unwrap();
    copy
}
