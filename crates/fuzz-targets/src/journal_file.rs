//! Journals that something has happened to.

use std::{fs, path::Path};

use journal::{LogName, Seq, Store, TurnLog};

const LOG: &str = "log";

/// After an even byte, the file of a log, as it stands. After an odd one a log is written, of which some bytes are changed.
/// It is opened, or why it can't be is told; what was read is there again after the next opening, with what was appended
/// behind it.
pub(crate) fn reader(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("there is room for a few bytes");
    let file = folder.path().join(format!("{LOG}.log"));
    match kind % 2 {
        0 => fs::write(&file, data).expect("the folder is ours"),
        _ => write_and_damage(folder.path(), &file, data),
    }
    let Some((before, number)) = read(folder.path(), Some("appended")) else {
        return;
    };
    let (after, _) = read(folder.path(), None).expect("it could be opened before");
    let (last, rest) = after.split_last().expect("a record was appended");
    assert_eq!((rest, last.0), (before.as_slice(), number));
    assert_eq!(last.1, "appended");
}

type Records = Vec<(Seq, serde_json::Value)>;

/// What the log holds; then something is appended to it. `None` if it can't be opened or read.
fn read(folder: &Path, append: Option<&str>) -> Option<(Records, Seq)> {
    let store = Store::open(folder).expect("nobody else is here");
    let log: TurnLog<serde_json::Value> = store.open_log(&name()).ok()?;
    let mut reader = log.reader(Seq::START);
    let mut records = Records::new();
    loop {
        let batch = reader.next_batch(16, 4096).ok()?;
        if batch.is_empty() {
            break;
        }
        records.extend(batch);
    }
    assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let mut number = log.last();
    if let Some(text) = append {
        let mut writer = log.writer().expect("there is no other");
        number = writer.append(&text.into()).ok()?;
    }
    Some((records, number))
}

fn name() -> LogName {
    LogName::new(LOG).expect("a plain name")
}

/// Three bytes are a change: where, and to what. What comes after the first zero byte are the records.
fn write_and_damage(folder: &Path, file: &Path, data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let changes = halves.next().unwrap_or_default();
    let records = halves.next().unwrap_or_default();
    {
        let store = Store::open(folder).expect("nobody else is here");
        let log = store.create::<String>(&name()).expect("there is none yet");
        let mut writer = log.writer().expect("there is no other");
        for record in records.split(|byte| *byte == b'\n') {
            let record = String::from_utf8_lossy(record).into_owned();
            writer.append(&record).expect("there is room");
        }
    }
    let mut bytes = fs::read(file).expect("it was written");
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let length = bytes.len();
        match change[2] {
            // Cut off.
            b'x' => bytes.truncate(at % (length + 1)),
            to => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = to;
                }
            }
        }
    }
    fs::write(file, bytes).expect("the folder is ours");
}
