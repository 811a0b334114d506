//! How far a log has been delivered.

use std::{fmt, io, sync::Arc};

use crate::{
    JournalError, Seq,
    disk::Disk,
    log::{Shared, Use},
};

/// Slots are this far apart, so that a torn sector can't hurt both.
const SLOT_DISTANCE: u64 = 512;
const SLOT: usize = 28;
const SLOTS: u64 = 2;

/// What a cursor remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Everything up to here has been delivered.
    pub acked: Seq,
    /// If set, the records after `acked` up to here were about to be delivered, maybe were.
    pub sending: Option<Seq>,
}

impl Position {
    /// The highest number that was mentioned.
    pub(crate) fn highest(&self) -> Seq {
        self.acked.max(self.sending.unwrap_or_default())
    }
}

/// Remembers how far a log has been delivered, also over `kill -9`. A log has one, see
/// [`TurnLog::cursor`](crate::TurnLog::cursor).
///
/// The file is as large as it will ever be from the start, so a full disk doesn't stop it.
pub struct Cursor {
    shared: Arc<Shared>,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The position noted last.
    pub fn position(&self) -> Position {
        self.shared.slots().position
    }

    /// Notes that the records up to `through` are about to be delivered in one piece, so that after a crash the
    /// same ones can be sent again.
    ///
    /// # Errors
    /// [`JournalError::Io`] if the file can't be written.
    pub fn note_sending(&mut self, through: Seq) -> Result<(), JournalError> {
        let acked = self.position().acked;
        self.note(Position {
            acked,
            sending: Some(through),
        })
    }

    /// Notes that everything up to `through` has been delivered. Never goes back.
    ///
    /// # Errors
    /// [`JournalError::Io`] if the file can't be written.
    pub fn ack(&mut self, through: Seq) -> Result<(), JournalError> {
        let acked = self.position().acked.max(through);
        self.note(Position {
            acked,
            sending: None,
        })?;
        self.shared.lock().memory.release(acked);
        Ok(())
    }

    fn note(&mut self, position: Position) -> Result<(), JournalError> {
        let written = self.shared.slots().write(position);
        written.map_err(|source| self.shared.io("move the cursor of", source))
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.give_back(Use::Cursor);
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("log", &self.shared.name)
            .finish_non_exhaustive()
    }
}

/// The cursor's file.
#[derive(Debug)]
pub(crate) struct Slots {
    file: Box<dyn Disk>,
    generation: u64,
    position: Position,
}

impl Slots {
    /// Reads the newer whole slot. If there is none, delivery begins anew: twice is better than never.
    pub(crate) fn open(file: Box<dyn Disk>) -> io::Result<Self> {
        let size = SLOT_DISTANCE * SLOTS;
        let length = file.len()?;
        if length < size {
            // Written, not only extended: the space must really be there when the disk is full.
            let missing = usize::try_from(size - length).expect("a cursor is small");
            file.write_all_at(&vec![0; missing], length)?;
        }
        let mut newest = (0, Position::default());
        for slot in 0..SLOTS {
            let mut bytes = [0; SLOT];
            file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE)?;
            newest = parse(&bytes)
                .into_iter()
                .chain([newest])
                .max_by_key(|(generation, _)| *generation)
                .unwrap_or(newest);
        }
        let (generation, position) = newest;
        Ok(Self {
            file,
            generation,
            position,
        })
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Overwrites the older slot.
    fn write(&mut self, position: Position) -> io::Result<()> {
        if position == self.position {
            return Ok(());
        }
        let generation = self.generation + 1;
        self.file.write_all_at(
            &slot(generation, position),
            generation % SLOTS * SLOT_DISTANCE,
        )?;
        self.generation = generation;
        self.position = position;
        Ok(())
    }
}

fn slot(generation: u64, position: Position) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&generation.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.acked.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&position.sending.unwrap_or_default().0.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The slot's generation and position; `None` if it is torn or was never written.
fn parse(bytes: &[u8; SLOT]) -> Option<(u64, Position)> {
    let number = |at: usize| {
        bytes[at..]
            .first_chunk()
            .map(|chunk| u64::from_le_bytes(*chunk))
    };
    let (generation, acked, sending) = (number(0)?, number(8)?, number(16)?);
    let position = Position {
        acked: Seq(acked),
        sending: (sending != 0).then_some(Seq(sending)),
    };
    (generation != 0 && slot(generation, position) == *bytes).then_some((generation, position))
}
