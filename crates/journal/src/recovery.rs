//! Opening a log that was written before: find its whole records, cut the rest.

use std::io;

use crate::{
    JournalError, LogName, Seq,
    disk::Disk,
    frame::MAGIC,
    window::{Found, Window},
};

/// Distance of the index's entries in bytes.
const INDEX_DISTANCE: u64 = 64 * 1024;

/// What opening a log found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// How many records were whole.
    pub records: u64,
    /// What was cut off, if anything.
    pub cut: Option<Cut>,
}

/// The end that was cut off a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it began, in bytes.
    pub offset: u64,
    /// How long it was, in bytes.
    pub bytes: u64,
    /// Whether it was one record that had been written in part, as a crash leaves it. If not, records that had
    /// been whole were lost.
    pub torn: bool,
}

/// Where records begin, sparsely: a search goes on from the nearest entry.
#[derive(Debug, Default)]
pub(crate) struct Index(Vec<(Seq, u64)>);

impl Index {
    /// Notes that the record `seq` begins at `offset`. Both rise from call to call.
    pub(crate) fn note(&mut self, seq: Seq, offset: u64) {
        if self
            .0
            .last()
            .is_none_or(|(_, last)| offset - last >= INDEX_DISTANCE)
        {
            self.0.push((seq, offset));
        }
    }

    /// An offset at or before the first record after `seen`.
    pub(crate) fn before(&self, seen: Seq) -> u64 {
        let after = self.0.partition_point(|(seq, _)| *seq <= seen.next());
        after
            .checked_sub(1)
            .map_or(MAGIC.len() as u64, |at| self.0[at].1)
    }
}

/// The whole records of a log.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Where they end.
    pub(crate) end: u64,
    /// The last one's number.
    pub(crate) last: Seq,
    pub(crate) index: Index,
    pub(crate) recovery: Recovery,
}

impl Scan {
    /// Reads a log up to the first place that is no whole record. Changes nothing.
    pub(crate) fn run(name: &LogName, disk: &dyn Disk) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io {
            name: name.clone(),
            action: "read",
            source,
        };
        let length = disk.len().map_err(failed)?;
        let mut start = [0; MAGIC.len()];
        let known = start
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        disk.read_exact_at(&mut start[..known], 0).map_err(failed)?;
        if start != *MAGIC {
            // A crash leaves a part of the start, and zeros in place of the rest.
            let kept = start.iter().zip(MAGIC).take_while(|(is, was)| is == was);
            let rest = &start[..known][kept.count().min(known)..];
            if rest.iter().any(|byte| *byte != 0) {
                return Err(JournalError::Format(name.clone()));
            }
            let torn = length < MAGIC.len() as u64;
            let cut = (length > 0).then_some(Cut {
                offset: 0,
                bytes: length,
                torn,
            });
            return Ok(Self {
                recovery: Recovery { records: 0, cut },
                ..Self::default()
            });
        }
        Self {
            end: MAGIC.len() as u64,
            ..Self::default()
        }
        .records(disk, length)
        .map_err(failed)
    }

    fn records(mut self, disk: &dyn Disk, length: u64) -> io::Result<Self> {
        let mut window = Window::default();
        while self.end < length {
            let torn = match window.frame_at(disk, self.end, length)? {
                Found::Whole(header, _) if header.seq > self.last => {
                    self.index.note(header.seq, self.end);
                    self.last = header.seq;
                    self.end += header.frame_len() as u64;
                    self.recovery.records += 1;
                    continue;
                }
                Found::Torn => true,
                Found::Whole(..) | Found::Damaged => false,
            };
            self.recovery.cut = Some(Cut {
                offset: self.end,
                bytes: length - self.end,
                torn,
            });
            break;
        }
        Ok(self)
    }

    /// Makes the file what the scan found, after its other bytes went to `aside`.
    pub(crate) fn repair(
        &mut self,
        disk: &dyn Disk,
        aside: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some(cut) = self.recovery.cut {
            let mut bytes = vec![0; usize::try_from(cut.bytes).map_err(io::Error::other)?];
            disk.read_exact_at(&mut bytes, cut.offset)?;
            aside(&bytes)?;
        }
        // Also gives back what the last owner had reserved.
        disk.truncate(self.end)?;
        if self.end == 0 {
            disk.write_all_at(MAGIC, 0)?;
            self.end = MAGIC.len() as u64;
        }
        Ok(())
    }
}
