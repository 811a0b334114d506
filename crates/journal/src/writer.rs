//! Appending to a log.

use std::{fmt, io, marker::PhantomData, mem, sync::Arc};

use serde::Serialize;

use crate::{
    JournalError, MAX_RECORD, MEMORY_LIMIT, Seq,
    disk::{Reserved, is_full},
    frame::{self, HEADER},
    log::{Shared, Use},
};

/// Disk space set aside for the record that ends a log, in bytes.
pub const RESERVED_FOR_LAST: u64 = 64 * 1024;

/// Disk space is set aside in steps of this many bytes, so that most records need no call for it.
const STEP: u64 = 256 * 1024;

/// What has to be free, in bytes, beside what is appended, for an outage of space to be over. Less would be used up by the
/// next few records.
pub(crate) const OVER: u64 = MEMORY_LIMIT as u64 / 16;

/// The buffer keeps this much memory after a large record.
const BUFFER: usize = 64 * 1024;

/// Appends to a log. A log has one writer, see [`TurnLog::writer`](crate::TurnLog::writer).
///
/// Dropping it leaves the log unfinished; another writer can go on.
pub struct Writer<R> {
    shared: Arc<Shared>,
    /// The record being appended, with its header.
    frame: Vec<u8>,
    /// Where the space set aside ends.
    reserved: u64,
    record: PhantomData<fn(&R)>,
}

/// Whether something could be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    DiskFull,
}

impl<R> Writer<R> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            frame: Vec::new(),
            reserved: 0,
            record: PhantomData,
        }
    }

    /// Sets space aside for the last record, so that a log that can't be ended is not begun.
    pub(crate) fn reserve_for_last(&mut self) -> Result<(), JournalError> {
        let end = self.shared.lock().end;
        match self.reserve(end + RESERVED_FOR_LAST)? {
            Written::Yes => Ok(()),
            Written::DiskFull => Err(JournalError::Full(self.shared.name.clone())),
        }
    }

    /// Says that nothing more will be appended. Readers end when they have read everything.
    pub fn finish(mut self) {
        if let Err(error) = self.drain_memory() {
            tracing::warn!(log = %self.shared.name, %error, "records stay in memory");
        }
        let end = self.shared.lock().end;
        self.close(end);
    }

    /// Marks the log as finished, keeping `end` bytes of the file.
    fn close(&mut self, end: u64) {
        if let Err(error) = self.shared.disk.truncate(end) {
            tracing::warn!(log = %self.shared.name, %error, "reserved space could not be given back");
        }
        self.shared.lock().finished = true;
        self.shared.announce();
    }

    /// Writes the records that wait in memory, as far as there is space.
    fn drain_memory(&mut self) -> Result<(), JournalError> {
        loop {
            let Some((seq, frame)) = self.shared.lock().memory.front() else {
                return Ok(());
            };
            let end = self.shared.lock().end;
            match self.write(&frame, end, RESERVED_FOR_LAST)? {
                Written::DiskFull => return Ok(()),
                Written::Yes => self.commit(seq, end, frame.len()),
            }
        }
    }

    /// Writes a frame at `end`, leaving at least `spare` bytes of the space set aside.
    fn write(&mut self, frame: &[u8], end: u64, spare: u64) -> Result<Written, JournalError> {
        if self.reserve(end + frame.len() as u64 + spare)? == Written::DiskFull {
            return Ok(Written::DiskFull);
        }
        let Err(error) = self.shared.disk.write_all_at(frame, end) else {
            return Ok(Written::Yes);
        };
        // A part may have been written. A shorter record in its place would be followed by remains.
        if let Err(error) = self.shared.disk.truncate(end) {
            tracing::warn!(log = %self.shared.name, %error, "half a record could not be cut off");
        }
        if self.reserved != u64::MAX {
            self.reserved = 0;
        }
        if is_full(&error) {
            Ok(Written::DiskFull)
        } else {
            Err(self.shared.io("append to", error))
        }
    }

    /// Sets disk space aside up to `until`.
    fn reserve(&mut self, until: u64) -> Result<Written, JournalError> {
        if until <= self.reserved {
            return Ok(Written::Yes);
        }
        let end = self.shared.lock().end;
        for target in [until + STEP, until] {
            match self.shared.disk.reserve(end, target - end) {
                Ok(Reserved::Yes) => {
                    self.reserved = target;
                    return Ok(Written::Yes);
                }
                Ok(Reserved::Unsupported) => {
                    self.reserved = u64::MAX;
                    return Ok(Written::Yes);
                }
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(self.shared.io("reserve space for", error)),
            }
        }
        Ok(Written::DiskFull)
    }

    /// Lets readers see a record that was written at `offset`.
    fn commit(&self, seq: Seq, offset: u64, length: usize) {
        let mut state = self.shared.lock();
        state.end = offset + length as u64;
        state.index.note(seq, offset);
        state.memory.release(seq);
        state.last = state.last.max(seq);
        state.next = state.next.max(seq.next());
    }

    /// Appends on disk, after what still waits in memory.
    fn append_to_disk(
        &mut self,
        seq: Seq,
        frame: &[u8],
        spare: u64,
    ) -> Result<Written, JournalError> {
        self.drain_memory()?;
        let end = {
            let state = self.shared.lock();
            if !state.memory.is_empty() {
                return Ok(Written::DiskFull);
            }
            state.end
        };
        let written = self.write(frame, end, spare)?;
        if written == Written::Yes {
            self.commit(seq, end, frame.len());
        }
        Ok(written)
    }

    /// Whether frames of `length` bytes can be appended, on disk or in memory.
    fn has_room(&mut self, length: u64) -> Result<bool, JournalError> {
        self.drain_memory()?;
        let end = {
            let state = self.shared.lock();
            if !state.memory.is_empty() {
                return Ok(
                    usize::try_from(length).is_ok_and(|length| state.memory.has_room(length))
                );
            }
            state.end
        };
        // With nothing in memory there is all of it, whatever the disk says.
        let on_disk = self.reserve(end + length + RESERVED_FOR_LAST)? == Written::Yes;
        Ok(on_disk || length <= MEMORY_LIMIT as u64)
    }

    /// Lets readers see a record that is not on disk.
    fn append_to_memory(&self, seq: Seq, frame: &[u8]) -> Result<(), JournalError> {
        let mut state = self.shared.lock();
        if !state.memory.has_room(frame.len()) {
            return Err(JournalError::Full(self.shared.name.clone()));
        }
        state.add_to_memory(seq, frame);
        Ok(())
    }

    /// Readers get the last record from memory, after those before it; the disk gets it for after a crash.
    fn append_last_on_full_disk(&mut self, seq: Seq, frame: &[u8]) -> Result<(), JournalError> {
        let mut end = self.shared.lock().end;
        let frame_end = end + frame.len() as u64;
        let on_disk = self.reserve(frame_end)? == Written::Yes
            && self.shared.disk.write_all_at(frame, end).is_ok();
        {
            let mut state = self.shared.lock();
            let small = frame.len() as u64 <= RESERVED_FOR_LAST + HEADER as u64;
            if !small && !state.memory.has_room(frame.len()) {
                return Err(JournalError::Full(self.shared.name.clone()));
            }
            state.add_to_memory(seq, frame);
        }
        if on_disk {
            end = frame_end;
        } else {
            tracing::error!(log = %self.shared.name, "the disk is full and the last record is in memory only");
        }
        self.close(end);
        Ok(())
    }
}

impl<R: Serialize> Writer<R> {
    /// Appends a record and wakes the readers. Doesn't wait for the disk.
    ///
    /// # Errors
    /// [`JournalError::Full`] when disk and memory are full, [`JournalError::Io`] when the disk fails. The log is
    /// as it was then, and appending can be tried again. [`JournalError::Encode`] and [`JournalError::TooLarge`]
    /// if the record can't be stored, [`JournalError::Finished`] after the last one.
    pub fn append(&mut self, record: &R) -> Result<Seq, JournalError> {
        self.with_frame(record, |this, seq, frame| {
            if this.append_to_disk(seq, frame, RESERVED_FOR_LAST)? == Written::DiskFull {
                this.append_to_memory(seq, frame)?;
            }
            this.shared.announce();
            Ok(())
        })
    }

    /// Appends a small record that says that others are missing, once the outage of space is over: if `next` fits behind
    /// it, and [a sixteenth of the memory](MEMORY_LIMIT) more. Else small records would find room between large ones, and
    /// one outage be stated again and again.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`JournalError::Full`] while the outage goes on.
    pub fn append_after_outage(&mut self, record: &R, next: &R) -> Result<Seq, JournalError> {
        let length = self.length(next)?;
        self.with_frame(record, |this, seq, frame| {
            if !this.has_room(frame.len() as u64 + length + OVER)? {
                return Err(JournalError::Full(this.shared.name.clone()));
            }
            if this.append_to_disk(seq, frame, RESERVED_FOR_LAST)? == Written::DiskFull {
                this.append_to_memory(seq, frame)?;
            }
            this.shared.announce();
            Ok(())
        })
    }

    /// Appends the one small record that has to stand before the last: what says that others are missing. If disk and
    /// memory are full, it goes to memory nevertheless.
    ///
    /// # Errors
    /// As [`append`](Self::append); a record of at most [`RESERVED_FOR_LAST`] bytes is never refused as
    /// [`JournalError::Full`].
    pub fn append_before_last(&mut self, record: &R) -> Result<Seq, JournalError> {
        self.with_frame(record, |this, seq, frame| {
            if this.append_to_disk(seq, frame, RESERVED_FOR_LAST)? == Written::DiskFull {
                match frame.len() as u64 <= RESERVED_FOR_LAST {
                    true => this.shared.lock().add_to_memory(seq, frame),
                    false => this.append_to_memory(seq, frame)?,
                }
            }
            this.shared.announce();
            Ok(())
        })
    }

    /// Appends the record that ends the log, and finishes the log. It may use the space set aside for it.
    ///
    /// If the disk is full, it is on disk nevertheless, behind a jump in the sequence numbers if records before
    /// it are in memory only. Living readers get all of them in order.
    ///
    /// # Errors
    /// As [`append`](Self::append); a record of at most [`RESERVED_FOR_LAST`] bytes is never refused as
    /// [`JournalError::Full`].
    pub fn append_last(&mut self, record: &R) -> Result<Seq, JournalError> {
        self.with_frame(record, |this, seq, frame| {
            if this.append_to_disk(seq, frame, 0)? == Written::DiskFull {
                return this.append_last_on_full_disk(seq, frame);
            }
            let end = this.shared.lock().end;
            this.close(end);
            Ok(())
        })
    }

    /// Writes `record` as a frame with the next number and appends that.
    fn with_frame(
        &mut self,
        record: &R,
        append: impl FnOnce(&mut Self, Seq, &[u8]) -> Result<(), JournalError>,
    ) -> Result<Seq, JournalError> {
        let seq = {
            let state = self.shared.lock();
            if state.finished {
                return Err(JournalError::Finished(self.shared.name.clone()));
            }
            state.next
        };
        let mut frame = mem::take(&mut self.frame);
        frame.clear();
        frame.resize(HEADER, 0);
        let appended = self
            .encode(record, seq, &mut frame)
            .and_then(|()| append(self, seq, &frame));
        frame.shrink_to(BUFFER);
        self.frame = frame;
        appended.map(|()| seq)
    }

    /// The bytes that the record takes.
    fn length(&self, record: &R) -> Result<u64, JournalError> {
        let mut counted = Counted(HEADER as u64);
        serde_json::to_writer(&mut counted, record).map_err(|source| JournalError::Encode {
            name: self.shared.name.clone(),
            source,
        })?;
        Ok(counted.0)
    }

    fn encode(&self, record: &R, seq: Seq, frame: &mut Vec<u8>) -> Result<(), JournalError> {
        let name = || self.shared.name.clone();
        serde_json::to_writer(&mut *frame, record).map_err(|source| JournalError::Encode {
            name: name(),
            source,
        })?;
        let length = frame.len() - HEADER;
        if length > MAX_RECORD {
            return Err(JournalError::TooLarge {
                name: name(),
                length,
            });
        }
        frame::seal(frame, seq);
        Ok(())
    }
}

/// Counts the bytes that are written to it.
struct Counted(u64);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R> Drop for Writer<R> {
    fn drop(&mut self) {
        self.shared.give_back(Use::Writer);
    }
}

impl<R> fmt::Debug for Writer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("log", &self.shared.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "full_disk_tests.rs"]
mod full_disk_tests;

#[cfg(test)]
#[path = "power_loss_tests.rs"]
mod power_loss_tests;
