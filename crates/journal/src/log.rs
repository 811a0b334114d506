//! A log and what its writer, readers and cursor share.

use std::{
    fmt, io,
    marker::PhantomData,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    Cursor, JournalError, LogName, Position, Reader, Recovery, Seq, Writer,
    cursor::Slots,
    disk::Disk,
    frame::MAGIC,
    memory::MemoryTail,
    recovery::{Index, Scan},
    store::Lease,
};

/// The log of one turn. Cheap to clone; clones are the same log.
pub struct TurnLog<R> {
    shared: Arc<Shared>,
    record: PhantomData<fn(R) -> R>,
}

impl<R> TurnLog<R> {
    /// The log that is made of `shared`.
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            record: PhantomData,
        }
    }

    #[cfg(test)]
    pub(crate) fn shared_for_test(&self) -> &Shared {
        &self.shared
    }

    /// The log's name.
    pub fn name(&self) -> &LogName {
        &self.shared.name
    }

    /// The last record's number; [`Seq::START`] if there is none.
    pub fn last(&self) -> Seq {
        self.shared.lock().last
    }

    /// How far the log's cursor stands, whoever has it.
    pub fn position(&self) -> Position {
        self.shared.slots().position()
    }

    /// Whether the log has had its last record.
    pub fn is_finished(&self) -> bool {
        self.shared.lock().finished
    }

    /// What opening the log found.
    pub fn recovery(&self) -> Recovery {
        self.shared.recovery
    }

    /// The log's writer. There is one at a time; dropping it makes room for the next.
    ///
    /// # Errors
    /// [`JournalError::Taken`] while there is one, [`JournalError::Finished`] after the last record.
    pub fn writer(&self) -> Result<Writer<R>, JournalError> {
        if self.is_finished() {
            return Err(JournalError::Finished(self.shared.name.clone()));
        }
        self.shared.take(Use::Writer)?;
        Ok(Writer::new(Arc::clone(&self.shared)))
    }

    /// The log's cursor. There is one at a time; dropping it makes room for the next.
    ///
    /// # Errors
    /// [`JournalError::Taken`] while there is one.
    pub fn cursor(&self) -> Result<Cursor, JournalError> {
        self.shared.take(Use::Cursor)?;
        Ok(Cursor::new(Arc::clone(&self.shared)))
    }

    /// A reader of the records after `seen`. There can be many.
    pub fn reader(&self, seen: Seq) -> Reader<R> {
        Reader::new(Arc::clone(&self.shared), seen)
    }

    /// The last record, if there is one.
    ///
    /// # Errors
    /// As [`Reader::next_batch`].
    pub fn last_record(&self) -> Result<Option<(Seq, R)>, JournalError>
    where
        R: DeserializeOwned,
    {
        let before = Seq(self.last().0.saturating_sub(1));
        Ok(self.reader(before).next_batch(1, 0)?.pop())
    }

    /// Waits until all that was appended would outlive a power loss. The first time also the file's name.
    ///
    /// # Errors
    /// [`JournalError::NotOnDisk`] if records are in memory only, [`JournalError::Io`] if the disk fails.
    pub async fn sync(&self) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.sync())
            .await
            .unwrap_or_else(|stopped| Err(self.shared.io("sync", io::Error::other(stopped))))
    }
}

impl<R> Clone for TurnLog<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            record: PhantomData,
        }
    }
}

impl<R> fmt::Debug for TurnLog<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnLog")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

/// What a log has one of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    Writer,
    Cursor,
}

/// What readers wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) last: Seq,
    pub(crate) finished: bool,
}

/// What a log's writer, readers and cursor share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: LogName,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) progress: watch::Sender<Progress>,
    state: Mutex<State>,
    /// Apart from `state`, so that no write to the cursor's file can hold up the writer.
    slots: Mutex<Slots>,
    recovery: Recovery,
    folder_synced: AtomicBool,
    /// Keeps the store's lock, and the log from being opened twice. A test may do without.
    lease: Option<Lease>,
}

/// Never locked over I/O.
#[derive(Debug)]
pub(crate) struct State {
    /// The end of the records on disk that readers see.
    pub(crate) end: u64,
    /// The last record, on disk or in memory.
    pub(crate) last: Seq,
    /// The next record's number; may be more than one above `last`.
    pub(crate) next: Seq,
    pub(crate) index: Index,
    pub(crate) memory: MemoryTail,
    pub(crate) finished: bool,
    writer_taken: bool,
    cursor_taken: bool,
}

impl State {
    pub(crate) fn add_to_memory(&mut self, seq: Seq, frame: &[u8]) {
        self.memory.push(seq, frame);
        self.last = seq;
        self.next = seq.next();
    }
}

impl Shared {
    /// Opens a log; an empty file is an empty log. What doesn't belong to it goes to `aside`.
    pub(crate) fn open(
        name: LogName,
        disk: Box<dyn Disk>,
        cursor: Box<dyn Disk>,
        lease: Option<Lease>,
        aside: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io {
            name: name.clone(),
            action: "open",
            source,
        };
        let slots = Slots::open(cursor).map_err(failed)?;
        let mut scan = Scan::run(&name, &*disk)?;
        scan.repair(&*disk, aside).map_err(failed)?;
        debug_assert!(scan.end >= MAGIC.len() as u64);
        let state = State {
            end: scan.end,
            last: scan.last,
            // Numbers that were delivered before the log lost them must not be given out again.
            next: scan.last.max(slots.position().highest()).next(),
            index: scan.index,
            memory: MemoryTail::default(),
            finished: false,
            writer_taken: false,
            cursor_taken: false,
        };
        Ok(Self {
            name,
            disk,
            progress: watch::Sender::new(Progress {
                last: scan.last,
                finished: false,
            }),
            state: Mutex::new(state),
            slots: Mutex::new(slots),
            recovery: scan.recovery,
            folder_synced: AtomicBool::new(false),
            lease,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells readers what the state says.
    pub(crate) fn announce(&self) {
        let (last, finished) = {
            let state = self.lock();
            (state.last, state.finished)
        };
        self.progress.send_replace(Progress { last, finished });
    }

    fn take(&self, what: Use) -> Result<(), JournalError> {
        let mut state = self.lock();
        let (taken, what) = match what {
            Use::Writer => (&mut state.writer_taken, "writer"),
            Use::Cursor => (&mut state.cursor_taken, "cursor"),
        };
        if std::mem::replace(taken, true) {
            return Err(JournalError::Taken {
                name: self.name.clone(),
                what,
            });
        }
        Ok(())
    }

    pub(crate) fn give_back(&self, what: Use) {
        let mut state = self.lock();
        match what {
            Use::Writer => state.writer_taken = false,
            Use::Cursor => state.cursor_taken = false,
        }
    }

    pub(crate) fn io(&self, action: &'static str, source: io::Error) -> JournalError {
        JournalError::Io {
            name: self.name.clone(),
            action,
            source,
        }
    }

    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.disk.sync().map_err(|source| self.io("sync", source))?;
        if let Some(lease) = &self.lease
            && !self.folder_synced.load(Ordering::Acquire)
        {
            lease
                .sync_folder()
                .map_err(|source| self.io("sync the folder of", source))?;
            self.folder_synced.store(true, Ordering::Release);
        }
        if !self.lock().memory.is_empty() {
            return Err(JournalError::NotOnDisk(self.name.clone()));
        }
        Ok(())
    }
}
