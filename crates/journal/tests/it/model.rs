//! The journal against a model, under cuts and flipped bytes.

use std::{fs, path::Path};

use journal::{Position, Seq, Store, TurnLog};
use proptest::prelude::*;

use crate::{drain, name};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Notes that everything is being sent.
    Sending,
    /// Acks this share of what there is.
    Ack(prop::sample::Index),
    /// Ends the process and starts it again.
    Reopen,
    /// Cuts the log's file while it is closed.
    CutLog(prop::sample::Index),
    /// Flips a bit of the log's file, behind its first 8 bytes, while it is closed.
    FlipLog(prop::sample::Index, u8),
    /// Cuts the cursor's file while it is closed.
    CutCursor(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..300_usize).prop_map(Step::Append),
        2 => Just(Step::Sending),
        2 => any::<prop::sample::Index>().prop_map(Step::Ack),
        2 => Just(Step::Reopen),
        1 => any::<prop::sample::Index>().prop_map(Step::CutLog),
        1 => (any::<prop::sample::Index>(), 0..8_u8).prop_map(|(at, bit)| Step::FlipLog(at, bit)),
        1 => any::<prop::sample::Index>().prop_map(Step::CutCursor),
    ]
}

/// What must be there: records with the place at which each ends, and the cursor.
struct Model {
    records: Vec<(Seq, String, usize)>,
    end: usize,
    next: u64,
    positions: Vec<Position>,
}

impl Model {
    fn position(&self) -> Position {
        *self.positions.last().expect("there is always one")
    }

    /// The log's file is as it was only up to `length`.
    fn lose_from(&mut self, length: usize) {
        self.records.retain(|(_, _, end)| *end <= length);
        self.end = self.records.last().map_or(8, |(_, _, end)| *end);
    }

    /// What opening does to the numbers.
    fn reopen(&mut self) {
        let last = self.records.last().map_or(0, |(seq, ..)| seq.0);
        let position = self.position();
        self.next = last
            .max(position.acked.0)
            .max(position.sending.map_or(0, |seq| seq.0))
            + 1;
    }
}

struct Run {
    folder: tempfile::TempDir,
    model: Model,
    log: TurnLog<String>,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Store::open(folder.path())
            .unwrap()
            .create(&name("a"))
            .unwrap();
        let model = Model {
            records: Vec::new(),
            end: 8,
            next: 1,
            positions: vec![Position::default()],
        };
        Self { folder, model, log }
    }

    /// Closes the log, changes a file, opens the log again and looks at it.
    fn reopen(self, change: impl FnOnce(&Path, &mut Model)) -> Self {
        let Self {
            folder,
            mut model,
            log,
        } = self;
        drop(log);
        change(folder.path(), &mut model);
        let log = Store::open(folder.path())
            .unwrap()
            .open_log::<String>(&name("a"))
            .unwrap();
        // Only a file that was cut may fall back, and only to what it said before.
        let position = log.cursor().unwrap().position();
        assert!(
            model.positions.contains(&position),
            "{position:?} was never noted"
        );
        model.positions.push(position);
        model.reopen();
        assert_eq!(log.recovery().records as usize, model.records.len());
        Self { folder, model, log }
    }

    fn step(mut self, step: &Step) -> Self {
        match step {
            Step::Append(length) => {
                let record = "x".repeat(*length);
                let seq = self.log.writer().unwrap().append(&record).unwrap();
                assert_eq!(seq, Seq(self.model.next));
                self.model.next += 1;
                self.model.end += 16 + length + 2;
                self.model.records.push((seq, record, self.model.end));
                self
            }
            Step::Sending => {
                let through = self.log.last().max(self.model.position().acked);
                self.log.cursor().unwrap().note_sending(through).unwrap();
                let sending = (through > Seq::START).then_some(through);
                self.model.positions.push(Position {
                    acked: self.model.position().acked,
                    sending,
                });
                self
            }
            Step::Ack(share) => {
                let through = Seq(share.index(self.log.last().0 as usize + 1) as u64);
                self.log.cursor().unwrap().ack(through).unwrap();
                let acked = self.model.position().acked.max(through);
                self.model.positions.push(Position {
                    acked,
                    sending: None,
                });
                self
            }
            Step::Reopen => {
                let before = self.model.position();
                let run = self.reopen(|_, _| ());
                assert_eq!(run.model.position(), before);
                assert_eq!(run.log.recovery().cut, None);
                run
            }
            Step::CutLog(at) => self.reopen(|folder, model| {
                let length = change(&folder.join("a.log"), |bytes| {
                    let length = at.index(bytes.len() + 1);
                    bytes.truncate(length);
                    length
                });
                model.lose_from(length);
            }),
            Step::FlipLog(at, bit) => self.reopen(|folder, model| {
                let flipped = change(&folder.join("a.log"), |bytes| {
                    let at = (bytes.len() > 8).then(|| 8 + at.index(bytes.len() - 8));
                    at.inspect(|&at| bytes[at] ^= 1 << bit)
                });
                if let Some(at) = flipped {
                    model.lose_from(at);
                }
            }),
            Step::CutCursor(at) => self.reopen(|folder, _| {
                change(&folder.join("a.cursor"), |bytes| {
                    bytes.truncate(at.index(bytes.len() + 1))
                });
            }),
        }
    }

    fn check(&self) {
        let expected: Vec<(Seq, String)> = self
            .model
            .records
            .iter()
            .map(|(seq, record, _)| (*seq, record.clone()))
            .collect();
        assert_eq!(drain(&mut self.log.reader(Seq::START)), expected);
        assert_eq!(self.log.last_record().unwrap(), expected.last().cloned());
        let half = expected.len() / 2;
        let seen = half.checked_sub(1).map_or(Seq::START, |at| expected[at].0);
        assert_eq!(drain(&mut self.log.reader(seen)), expected[half..]);
    }
}

fn change<T>(path: &Path, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut bytes = fs::read(path).unwrap();
    let changed = change(&mut bytes);
    fs::write(path, bytes).unwrap();
    changed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_appended_is_there_up_to_the_first_damage(steps in proptest::collection::vec(step(), 1..40)) {
        let run = steps.iter().fold(Run::new(), |run, step| {
            let run = run.step(step);
            run.check();
            run
        });
        run.reopen(|_, _| ()).check();
    }
}

#[test]
fn a_cursor_cut_at_any_byte_falls_back_to_what_it_noted_before() {
    let folder = tempfile::tempdir().unwrap();
    let log = Store::open(folder.path())
        .unwrap()
        .create::<String>(&name("a"))
        .unwrap();
    let mut noted = vec![Position::default()];
    let mut cursor = log.cursor().unwrap();
    for n in 1..=3 {
        cursor.note_sending(Seq(n * 10)).unwrap();
        noted.push(cursor.position());
        cursor.ack(Seq(n * 10)).unwrap();
        noted.push(cursor.position());
    }
    drop((cursor, log));
    let path = folder.path().join("a.cursor");
    let whole = fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let log = Store::open(folder.path())
            .unwrap()
            .open_log::<String>(&name("a"))
            .unwrap();
        let position = log.cursor().unwrap().position();
        assert!(
            noted.contains(&position),
            "{position:?} after a cut at {length}"
        );
        if length == whole.len() {
            assert_eq!(
                position,
                Position {
                    acked: Seq(30),
                    sending: None
                }
            );
        }
    }
}

#[test]
fn a_torn_note_falls_back_to_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cursor");
    let store = Store::open(folder.path()).unwrap();
    let open = || store.open_log::<String>(&name("a")).unwrap();
    drop(store.create::<String>(&name("a")).unwrap());
    for n in 1..=4 {
        let before = fs::read(&path).unwrap();
        open().cursor().unwrap().ack(Seq(n)).unwrap();
        let after = fs::read(&path).unwrap();
        // The write stops after each of its bytes; the last ones differ in the checksum.
        let changed = (0..after.len())
            .filter(|&at| before[at] != after[at])
            .collect::<Vec<_>>();
        for stop in 0..changed.len() {
            let mut torn = before.clone();
            changed[..stop].iter().for_each(|&at| torn[at] = after[at]);
            fs::write(&path, &torn).unwrap();
            assert_eq!(
                open().cursor().unwrap().position().acked,
                Seq(n - 1),
                "{n} torn at {stop}"
            );
        }
        fs::write(&path, &after).unwrap();
        assert_eq!(open().cursor().unwrap().position().acked, Seq(n));
    }
}
