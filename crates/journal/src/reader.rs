//! Reading a log, from any record on and while it grows.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    JournalError, Seq,
    frame::HEADER,
    log::{Progress, Shared},
    window::{Found, Window},
};

/// Reads a log in order, see [`TurnLog::reader`](crate::TurnLog::reader).
pub struct Reader<R> {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    /// The last record that was read or is not wanted.
    seen: Seq,
    /// Where to go on in the file. Records found there may have been read from memory before.
    offset: u64,
    window: Window,
    record: PhantomData<fn() -> R>,
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There is something to read.
    More,
    /// The log is finished, and everything was read.
    Finished,
}

impl<R> Reader<R> {
    pub(crate) fn new(shared: Arc<Shared>, seen: Seq) -> Self {
        let offset = shared.lock().index.before(seen);
        let progress = shared.progress.subscribe();
        Self {
            shared,
            progress,
            seen,
            offset,
            window: Window::default(),
            record: PhantomData,
        }
    }

    /// The last record that was read.
    pub fn seen(&self) -> Seq {
        self.seen
    }

    /// Waits until there is something to read, or nothing will come any more. Can be dropped and called again.
    pub async fn wait(&mut self) -> Wait {
        let seen = self.seen;
        let changed = self
            .progress
            .wait_for(|now| now.last > seen || now.finished)
            .await;
        // The sender lives in `shared`, which this reader holds.
        let now = *changed.expect("a log outlives its readers");
        if now.last > seen {
            Wait::More
        } else {
            Wait::Finished
        }
    }
}

impl<R: DeserializeOwned> Reader<R> {
    /// Returns what there is now, in order: at most `max_records`, and not more than `max_bytes` of JSON unless
    /// the first record alone is longer. Empty if there is nothing new.
    ///
    /// A jump in the numbers says that the records between are gone: the disk was full, and they had been
    /// delivered from memory, or died with the process.
    ///
    /// # Errors
    /// [`JournalError::Io`] or [`JournalError::Damaged`] if the file can't be read, [`JournalError::Decode`] if a
    /// record is no `R`. The reader stays before that record.
    pub fn next_batch(
        &mut self,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<(Seq, R)>, JournalError> {
        loop {
            let (end, last, waiting) = {
                let state = self.shared.lock();
                let at_end = self.offset >= state.end;
                let waiting = at_end.then(|| state.memory.after(self.seen, max_records, max_bytes));
                (state.end, state.last, waiting)
            };
            let Some(waiting) = waiting else {
                let batch = self.read_disk(end, max_records, max_bytes)?;
                if batch.is_empty() && max_records > 0 {
                    // All of it had been read from memory before.
                    continue;
                }
                return Ok(batch);
            };
            if waiting.is_empty() && max_records > 0 {
                self.seen = self.seen.max(last);
            }
            return self.read_memory(
                &waiting
                    .iter()
                    .map(|(seq, frame)| (*seq, &frame[HEADER..]))
                    .collect::<Vec<_>>(),
            );
        }
    }

    fn read_disk(
        &mut self,
        end: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<(Seq, R)>, JournalError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while self.offset < end && batch.len() < max_records {
            let found = self.window.frame_at(&*self.shared.disk, self.offset, end);
            let (header, payload) = match found.map_err(|source| self.shared.io("read", source))? {
                Found::Whole(header, payload) => (header, payload),
                Found::Torn | Found::Damaged => {
                    return Err(JournalError::Damaged {
                        name: self.shared.name.clone(),
                        offset: self.offset,
                    });
                }
            };
            if header.seq > self.seen {
                bytes += payload.len();
                if !batch.is_empty() && bytes > max_bytes {
                    break;
                }
                match decode(&self.shared, header.seq, payload) {
                    Ok(record) => batch.push((header.seq, record)),
                    // What was read before comes first; the error comes with the next call.
                    Err(_) if !batch.is_empty() => break,
                    Err(error) => return Err(error),
                }
                self.seen = header.seq;
            }
            self.offset += header.frame_len() as u64;
        }
        Ok(batch)
    }

    fn read_memory(&mut self, waiting: &[(Seq, &[u8])]) -> Result<Vec<(Seq, R)>, JournalError> {
        let mut batch = Vec::with_capacity(waiting.len());
        for &(seq, payload) in waiting {
            match decode(&self.shared, seq, payload) {
                Ok(record) => batch.push((seq, record)),
                Err(_) if !batch.is_empty() => break,
                Err(error) => return Err(error),
            }
            self.seen = seq;
        }
        Ok(batch)
    }
}

fn decode<R: DeserializeOwned>(
    shared: &Shared,
    seq: Seq,
    payload: &[u8],
) -> Result<R, JournalError> {
    serde_json::from_slice(payload).map_err(|source| JournalError::Decode {
        name: shared.name.clone(),
        seq,
        source,
    })
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("log", &self.shared.name)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
