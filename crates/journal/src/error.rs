//! What can go wrong.

use std::{io, path::PathBuf};

use crate::{LogName, Seq};

/// A store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, owns the folder.
    #[error("journal folder is in use: {} is locked", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The log is open in this process.
    #[error("log `{0}` is open")]
    Open(LogName),
    /// A tombstone's payload is longer than [`MAX_TOMBSTONE`](crate::MAX_TOMBSTONE).
    #[error("tombstone of `{name}` would have {length} bytes")]
    TombstoneTooLarge {
        /// The log.
        name: LogName,
        /// The payload's length in bytes.
        length: usize,
    },
}

/// A log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A log of that name exists, or has existed and left a tombstone.
    #[error("log `{0}` exists already")]
    Exists(LogName),
    /// There is no log of that name.
    #[error("log `{0}` does not exist")]
    Missing(LogName),
    /// The log is open in this process already.
    #[error("log `{0}` is open already")]
    Open(LogName),
    /// The log's writer or cursor is in use.
    #[error("the {what} of log `{name}` is in use")]
    Taken {
        /// The log.
        name: LogName,
        /// `writer` or `cursor`.
        what: &'static str,
    },
    /// The file is no journal, or one of an unknown version.
    #[error("log `{0}` is not in a known format")]
    Format(LogName),
    /// The file system refused.
    #[error("could not {action} log `{name}`")]
    Io {
        /// The log.
        name: LogName,
        /// What was tried.
        action: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The disk is full, and so is the memory that stands in for it. The record was not appended.
    #[error("disk and memory of log `{0}` are full")]
    Full(LogName),
    /// The log has had its last record.
    #[error("log `{0}` is finished")]
    Finished(LogName),
    /// Some records are only in memory, because the disk is full.
    #[error("log `{0}` is not on disk completely: the disk is full")]
    NotOnDisk(LogName),
    /// A record is longer than [`MAX_RECORD`](crate::MAX_RECORD).
    #[error("record of {length} bytes is too large for log `{name}`")]
    TooLarge {
        /// The log.
        name: LogName,
        /// The record's length in bytes.
        length: usize,
    },
    /// A record could not be written as JSON.
    #[error("record of log `{name}` can't be written as JSON")]
    Encode {
        /// The log.
        name: LogName,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// A record is whole but not what the reader expects.
    #[error("record {seq} of log `{name}` can't be read")]
    Decode {
        /// The log.
        name: LogName,
        /// The record.
        seq: Seq,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// A committed record changed under the reader.
    #[error("log `{name}` is damaged at byte {offset}")]
    Damaged {
        /// The log.
        name: LogName,
        /// Where the record begins.
        offset: u64,
    },
}
