//! An append-only log per turn, with a cursor: crash-safe, bounded, generic over the record.
//!
//! # Theory of operation
//! A [`Store`] is a folder of logs with one owner. Each log ([`TurnLog`]) has one [`Writer`], any number of
//! [`Reader`]s and one [`Cursor`]. The writer puts a record into the page cache with one `write` and wakes the
//! readers, who read the file up to what was committed and so never see half a record. Nothing that a reader
//! does can slow the writer.
//!
//! The page cache survives the death of the process, so a `kill -9` loses nothing that was appended. Against
//! power loss there is [`TurnLog::sync`], for the few records that are worth it.
//!
//! # Format
//! `<name>.log` is the 8 bytes `journal1`, then records: length of the JSON (u32), CRC-32 of everything else in
//! the record (u32), sequence number (u64), JSON; numbers are little endian. Sequence numbers rise. They usually
//! rise by one; a jump says that the records between were never written (see below).
//!
//! `<name>.cursor` has two slots, 512 bytes apart, written in turn: generation, acked, sending (u64 each) and
//! their CRC-32. `<name>.damaged` keeps what was cut off a log. `<name>.tomb` is what is left of a log after its
//! time. `lock` is locked for as long as the store or one of its logs lives.
//!
//! # Guarantees
//! * After a crash at any moment the log is a prefix of what was appended, in whole records. A torn or damaged
//!   rest is cut, kept aside and reported by [`TurnLog::recovery`], never guessed at.
//! * A sequence number that was acked, or that the cursor notes as being sent, is never given to another record,
//!   even if the log lost its end.
//! * While the disk is full, records go to [`MEMORY_LIMIT`] bytes of memory, from which readers read on. Acked
//!   ones make room there without ever being written. Only when that is full too, [`Writer::append`] refuses
//!   with [`JournalError::Full`] and the caller has to merge, or to say what is missing once there is room again
//!   ([`Writer::append_after_outage`]).
//! * [`RESERVED_FOR_LAST`] bytes of disk are set aside for the record that ends the log
//!   ([`Writer::append_last`]), where the file system can do that.
//!
//! ```
//! use journal::{LogName, Seq, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path())?;
//! let log = store.create::<String>(&LogName::new("7-42-1")?)?;
//! let mut writer = log.writer()?;
//! let mut reader = log.reader(Seq::START);
//!
//! writer.append(&"hello".to_owned())?;
//! writer.finish();
//!
//! while reader.wait().await == journal::Wait::More {
//!     for (seq, record) in reader.next_batch(100, 64 * 1024)? {
//!         println!("{seq}: {record}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod cursor;
mod disk;
mod error;
mod frame;
mod log;
mod memory;
mod name;
mod reader;
mod recovery;
mod store;
mod sweep;
mod window;
mod writer;

pub use cursor::{Cursor, Position};
pub use error::{JournalError, StoreError};
pub use frame::{MAX_RECORD, Seq};
pub use log::TurnLog;
pub use memory::MEMORY_LIMIT;
pub use name::{InvalidLogName, LogName};
pub use reader::{Reader, Wait};
pub use recovery::{Cut, Recovery};
pub use store::Store;
pub use sweep::{MAX_TOMBSTONE, Retention, Swept};
pub use writer::{RESERVED_FOR_LAST, Writer};
