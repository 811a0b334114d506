//! The folder: its owner, its files, its tombstones.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use journal::{JournalError, Retention, Seq, Store, StoreError};

use crate::{drain, files, name};

#[test]
fn a_folder_has_one_owner_until_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a/b");
    let store = Store::open(&root).unwrap();
    let Err(StoreError::Locked { path }) = Store::open(&root) else {
        panic!("two owners")
    };
    assert_eq!(path, root.join("lock"));
    // A log keeps the folder as well.
    let log = store.create::<String>(&name("a")).unwrap();
    drop(store);
    assert!(matches!(Store::open(&root), Err(StoreError::Locked { .. })));
    drop(log);
    Store::open(&root).unwrap();
}

#[test]
fn files_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a/b");
    let store = Store::open(&root).unwrap();
    let _log = store.create::<String>(&name("a")).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&folder.path().join("a")), mode(&root)),
        (0o700, 0o700)
    );
    assert_eq!(files(&root), ["a.cursor", "a.log", "lock"]);
    for file in files(&root) {
        assert_eq!(mode(&root.join(&file)), 0o600, "{file}");
    }
}

#[test]
fn a_log_exists_once_and_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(matches!(
        store.open_log::<String>(&name("a")),
        Err(JournalError::Missing(_))
    ));
    let log = store.create::<String>(&name("a")).unwrap();
    assert!(matches!(
        store.open_log::<String>(&name("a")),
        Err(JournalError::Open(_))
    ));
    assert!(matches!(store.remove(&name("a")), Err(StoreError::Open(_))));
    drop(log);
    assert!(matches!(
        store.create::<String>(&name("a")),
        Err(JournalError::Exists(_))
    ));
    store.create::<String>(&name("b")).unwrap();
    assert_eq!(store.existing().unwrap(), [name("a"), name("b")]);
    store.remove(&name("a")).unwrap();
    assert_eq!(files(folder.path()), ["b.cursor", "b.log", "lock"]);
}

#[test]
fn a_log_is_shared_by_who_attaches_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let attach = || store.attach::<String>(&name("a"));
    assert!(matches!(attach(), Err(JournalError::Missing(_))));
    let log = store.create::<String>(&name("a")).unwrap();
    let mut writer = log.writer().unwrap();
    let shared = attach().unwrap();
    writer.append(&"said".to_owned()).unwrap();
    log.cursor().unwrap().ack(Seq(1)).unwrap();
    assert_eq!(shared.position().acked, Seq(1));
    assert!(matches!(shared.writer(), Err(JournalError::Taken { .. })));
    drop((log, writer));
    // The other one keeps it open, for a third one too.
    assert!(matches!(
        store.open_log::<String>(&name("a")),
        Err(JournalError::Open(_))
    ));
    let third = attach().unwrap();
    drop(shared);
    assert_eq!(drain(&mut third.reader(Seq::START)).len(), 1);
    drop(third);
    let again = attach().unwrap();
    assert_eq!(drain(&mut again.reader(Seq::START)).len(), 1);
    assert_eq!(again.position().acked, Seq(1));
}

#[test]
fn to_read_a_log_again_does_not_make_it_younger() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let log = store.create::<String>(&name("a")).unwrap();
    log.writer()
        .unwrap()
        .append_last(&"end".to_owned())
        .unwrap();
    drop(log);
    let path = folder.path().join("a.log");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(long_ago).unwrap();
    store.attach::<String>(&name("a")).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
}

#[test]
fn reserved_space_is_given_back_at_the_end() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let log = store.create::<String>(&name("a")).unwrap();
    let mut writer = log.writer().unwrap();
    writer.append_last(&"end".to_owned()).unwrap();
    let metadata = fs::metadata(folder.path().join("a.log")).unwrap();
    assert!(
        metadata.blocks() * 512 <= 64 * 1024,
        "{} blocks",
        metadata.blocks()
    );
    assert_eq!(metadata.len(), 8 + 16 + 5);
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    fs::write(folder.path().join("a.log"), "something else entirely").unwrap();
    assert!(matches!(
        store.open_log::<String>(&name("a")),
        Err(JournalError::Format(_))
    ));
    assert_eq!(
        fs::read(folder.path().join("a.log")).unwrap(),
        b"something else entirely"
    );
}

#[test]
fn a_damaged_record_is_reported_and_kept_aside_with_all_that_follows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let log = store.create::<String>(&name("a")).unwrap();
    let mut writer = log.writer().unwrap();
    (0..3).for_each(|n| _ = writer.append(&format!("record {n}")).unwrap());
    drop((writer, log));
    let path = folder.path().join("a.log");
    let mut bytes = fs::read(&path).unwrap();
    let second = 8 + (bytes.len() - 8) / 3;
    bytes[second + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let log = store.open_log::<String>(&name("a")).unwrap();
    let cut = log.recovery().cut.unwrap();
    assert_eq!(
        (cut.offset, cut.bytes, cut.torn),
        (second as u64, (bytes.len() - second) as u64, false)
    );
    assert_eq!(
        drain(&mut log.reader(Seq::START)),
        [(Seq(1), "record 0".to_owned())]
    );
    assert_eq!(
        fs::read(folder.path().join("a.damaged")).unwrap(),
        &bytes[second..]
    );
}

#[test]
fn ended_logs_become_tombstones_by_age_and_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let now = SystemTime::now();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (log, age) in [
        ("old", 30),
        ("big-1", 20),
        ("big-2", 10),
        ("big-3", 5),
        ("running", 40),
    ] {
        let mut writer = store
            .create::<String>(&name(log))
            .unwrap()
            .writer()
            .unwrap();
        writer.append_last(&"x".repeat(1000)).unwrap();
        let file = fs::File::options()
            .write(true)
            .open(folder.path().join(format!("{log}.log")))
            .unwrap();
        file.set_modified(now - hours(age)).unwrap();
    }
    let open = store.create::<String>(&name("open")).unwrap();
    let keep = Retention {
        age: hours(24),
        bytes: 2500,
        tombstones: 9,
    };
    let ended = |log: &journal::LogName| (log.as_str() != "running").then(|| log.as_str().into());
    let swept = store.sweep(&keep, now, ended).unwrap();
    assert_eq!(swept.buried, [name("big-1"), name("old")]);
    let kept = ["big-2", "big-3", "open", "running"].map(name);
    assert_eq!(store.existing().unwrap(), kept);
    assert_eq!(store.tombstones().unwrap(), [name("big-1"), name("old")]);
    assert_eq!(store.tombstone(&name("old")).unwrap().unwrap(), b"old");
    assert!(matches!(
        store.create::<String>(&name("old")),
        Err(JournalError::Exists(_))
    ));

    let swept = store
        .sweep(
            &Retention {
                tombstones: 1,
                ..keep
            },
            now,
            ended,
        )
        .unwrap();
    assert_eq!((swept.buried.len(), swept.forgotten.len()), (0, 1));
    drop(open);
}

#[test]
fn a_burial_or_removal_that_was_cut_short_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "a.log",
        "a.cursor",
        "a.tomb",
        "b.cursor",
        "b.damaged",
        "c.log",
        "c.tomb-new",
    ] {
        fs::write(folder.path().join(file), b"").unwrap();
    }
    Store::open(folder.path()).unwrap();
    assert_eq!(files(folder.path()), ["a.tomb", "c.log", "lock"]);
}
