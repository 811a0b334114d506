//! A way in for the fuzzer, which is no part of what the crate is for.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::archive::{self, Limits};

/// Unpacks an archive of at most `members` members and `bytes` bytes into an empty folder.
///
/// # Errors
/// If it is refused.
pub fn unpack(file: File, folder: &Path, members: usize, bytes: u64) -> io::Result<Vec<PathBuf>> {
    archive::unpack(file, folder, Limits { members, bytes }).map_err(io::Error::other)
}
