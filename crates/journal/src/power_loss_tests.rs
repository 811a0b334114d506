//! The journal against a model, on a disk that forgets what was not synced, in any order, and that may be full.

use proptest::prelude::*;

use super::{
    full_disk_tests::{all, open},
    *,
};
use crate::{
    Position, TurnLog,
    disk::{
        Disk,
        fake::{FakeDisk, Kept},
    },
};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    /// Notes that everything is being sent.
    Sending,
    /// Acks this share of what there is.
    Ack(prop::sample::Index),
    /// From now on so many bytes beyond the log's end are free.
    Fill(u64),
    /// There is room again.
    Free,
    /// The process is killed and started again.
    Kill,
    /// The power is lost: of each write that was not synced, this is left.
    PowerLoss(Vec<Kept>),
}

fn step() -> impl Strategy<Value = Step> {
    let kept = prop_oneof![
        3 => Just(Kept::All),
        1 => (0..400_usize).prop_map(Kept::Part),
        1 => Just(Kept::Nothing),
    ];
    prop_oneof![
        10 => (0..300_usize).prop_map(Step::Append),
        2 => Just(Step::Sync),
        2 => Just(Step::Sending),
        2 => any::<prop::sample::Index>().prop_map(Step::Ack),
        1 => (0..2000_u64).prop_map(Step::Fill),
        1 => Just(Step::Free),
        1 => Just(Step::Kill),
        2 => prop::collection::vec(kept, 1..6).prop_map(Step::PowerLoss),
    ]
}

struct Run {
    disk: FakeDisk,
    cursor: FakeDisk,
    log: TurnLog<String>,
    /// Everything that was appended and not lost.
    appended: Vec<(Seq, String)>,
    /// How many of them must outlive a power loss.
    synced: usize,
    /// All that the cursor has ever said.
    positions: Vec<Position>,
}

impl Run {
    fn new() -> Self {
        let disk = FakeDisk::new(u64::MAX, Reserved::Yes);
        let cursor = FakeDisk::new(u64::MAX, Reserved::Yes);
        let log = open(&disk, &cursor);
        Self {
            disk,
            cursor,
            log,
            appended: Vec::new(),
            synced: 0,
            positions: vec![Position::default()],
        }
    }

    fn position(&self) -> Position {
        *self.positions.last().expect("there is always one")
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(length) => self.append(&"x".repeat(*length)),
            Step::Sync => match self.log.shared_for_test().sync() {
                Ok(()) => self.synced = self.appended.len(),
                Err(error) => assert!(matches!(error, JournalError::NotOnDisk(_)), "{error}"),
            },
            Step::Sending => {
                let through = self.log.last().max(self.position().acked);
                if through == Seq::START {
                    return;
                }
                let mut cursor = self.log.cursor().unwrap();
                cursor.note_sending(through).unwrap();
                self.positions.push(cursor.position());
            }
            Step::Ack(share) => {
                let through = Seq(share.index(self.log.last().0 as usize + 1) as u64);
                let mut cursor = self.log.cursor().unwrap();
                cursor.ack(through).unwrap();
                self.positions.push(cursor.position());
            }
            Step::Fill(free) => {
                let length = self.disk.len().unwrap();
                self.disk.set_capacity(length + free);
            }
            Step::Free => self.disk.set_capacity(u64::MAX),
            Step::Kill => {
                // The page cache outlives the process.
                let position = self.position();
                self.reopen(self.disk.clone(), self.cursor.clone(), self.synced);
                assert_eq!(self.position(), position);
                assert_eq!(self.log.recovery().cut, None);
            }
            Step::PowerLoss(kept) => {
                let mut left = kept.iter().copied().cycle();
                let mut next = || left.next().expect("there is at least one");
                let disk = self.disk.crash_in_disorder(&mut next);
                let cursor = self.cursor.crash_in_disorder(&mut next);
                self.reopen(disk, cursor, self.synced);
                // What is there now was read from the disk.
                self.synced = self.appended.len();
            }
        }
    }

    fn append(&mut self, record: &str) {
        let seq = self
            .log
            .writer()
            .unwrap()
            .append(&record.to_owned())
            .unwrap();
        let last = self.appended.last().map_or(Seq::START, |(seq, _)| *seq);
        // What was delivered, or was being, never means another record.
        let taken = last.max(self.position().highest());
        assert!(seq > taken, "{seq} after {taken}");
        self.appended.push((seq, record.to_owned()));
    }

    /// Opens what is on disk. At least `due` records are there, and nothing that was never appended.
    fn reopen(&mut self, disk: FakeDisk, cursor: FakeDisk, due: usize) {
        (self.disk, self.cursor) = (disk, cursor);
        self.disk.set_capacity(u64::MAX);
        self.log = open(&self.disk, &self.cursor);
        let found = all(&self.log, Seq::START, 7);
        self.check_order(&found);
        let due = &self.appended[..due];
        let position = self.position();
        for record in due.iter().filter(|(seq, _)| *seq > position.acked) {
            assert!(found.contains(record), "{record:?} was synced");
        }
        assert_eq!(self.log.recovery().records as usize, found.len());
        let position = self.log.cursor().unwrap().position();
        assert!(
            self.positions.contains(&position),
            "{position:?} was never noted"
        );
        self.positions.push(position);
        // What was acked from memory is on no disk, synced or not.
        self.synced = found.iter().filter(|record| due.contains(record)).count();
        self.appended = found;
    }

    /// What is read was appended, in that order; what is left out before its end was acked, and never on disk.
    fn check_order(&self, found: &[(Seq, String)]) {
        let acked = self.positions.iter().map(|position| position.acked).max();
        let mut rest = self.appended.iter();
        for record in found {
            assert!(self.appended.contains(record), "{record:?} is nobody's");
            let mut skipped = rest.by_ref().take_while(|appended| *appended != record);
            assert!(skipped.all(|(seq, _)| Some(*seq) <= acked), "{record:?}");
        }
    }

    /// A reader that comes now gets everything, but what was acked and had no room on disk.
    fn check(&self) {
        let found = all(&self.log, Seq::START, 5);
        self.check_order(&found);
        let acked = self.position().acked;
        for record in self.appended.iter().filter(|(seq, _)| *seq > acked) {
            assert!(found.contains(record), "{record:?} is there to be sent");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_what_was_synced_is_there_and_no_number_means_two_records(
        steps in prop::collection::vec(step(), 1..50),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
            run.check();
        }
        run.reopen(run.disk.clone(), run.cursor.clone(), 0);
        run.check();
    }
}
