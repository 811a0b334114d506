//! A task's folder as others see it: what is in it, one file or a zip of a folder, and the archive that brings the task into
//! another container.
//!
//! # Theory of operation
//!
//! A [`Tree`] is a folder that nothing done through it can leave: every path is resolved by the kernel below the folder's
//! descriptor, so that neither `..` nor a link, nor one that is put there a moment later, leads out. What the executor
//! keeps for itself ([`STATE`]) is as good as absent in it.
//!
//! [`pack`] writes the archive that Wegent keeps of a task: a `tar.gz` with the workspace below `workspace/` and files of
//! the home folder below `home/`. It leaves out what can be made again (`node_modules`, `target`, …), but not what git
//! tracks, whatever its folder is called; of the executor's own state it takes the conversations. [`unpack`] puts one back.
//! It first reads the archive to its end, and writes only what was sound all through.
//!
//! # Guarantees
//!
//! * No file outside of the folders that were named is read, written or removed.
//! * Links are listed and archived as links; none is followed on the way to a place where something is written.
//! * Memory does not grow with what is packed or unpacked (but for the names in one folder, and git's index).
//! * No database, login or key of an agent is in an archive, and none that is in one is unpacked.
//!
//! What works on files blocks: it belongs on a blocking thread ([`blocking()`]), and [`Stop`] ends it from another one.
//! [`FileBody`] is a file as the body of a request or an answer, with its length.
#![warn(missing_docs)]

mod blocking;
mod choice;
mod file_body;
mod limited;
mod pack;
mod stop;
mod survey;
mod tracked;
mod tree;
mod unpack;
mod zipped;

pub use blocking::blocking;
pub use choice::{HomePart, STATE};
pub use file_body::FileBody;
pub use pack::{PackError, Packed, Source, pack};
pub use stop::Stop;
pub use tree::{Entry, Kind, Tree, TreeError, below};
pub use unpack::{Target, UnpackError, Unpacked, unpack};
pub use zipped::{ZipError, ZipLimits, zip};
