//! Archives of skills.

use std::{
    fs::{self, File},
    io::{Seek, Write},
    path::Path,
};

/// A zip archive: whatever is in it, nothing lies outside its folder afterwards, no link is made, and no more is written
/// than may be.
pub(crate) fn skill(data: &[u8]) {
    const BYTES: u64 = 1 << 16;
    const MEMBERS: usize = 64;
    let around = tempfile::tempdir().expect("there is room for a few bytes");
    let folder = around.path().join("skill");
    fs::create_dir(&folder).expect("the folder is ours");
    let mut file = tempfile::tempfile_in(around.path()).expect("the folder is ours");
    file.write_all(data).expect("there is room");
    file.rewind().expect("it is a file");
    let unpacked = unpack(file, &folder, MEMBERS, BYTES);
    let beside: Vec<_> = fs::read_dir(around.path()).expect("it is ours").collect();
    assert_eq!(beside.len(), 1, "something was written beside the folder");
    let (files, bytes) = measure(&folder);
    assert!(bytes <= BYTES, "{bytes} bytes");
    if let Some(count) = unpacked {
        assert_eq!(files, count);
    }
}

/// How many files it came to.
fn unpack(file: File, folder: &Path, members: usize, bytes: u64) -> Option<usize> {
    let unpacked = agent_core::skills::fuzzing::unpack(file, folder, members, bytes);
    unpacked.ok().map(|files| files.len())
}

/// How many files there are, and of how many bytes.
fn measure(folder: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder).expect("it is ours") {
        let path = entry.expect("it is ours").path();
        let found = fs::symlink_metadata(&path).expect("it is there");
        assert!(found.is_dir() || found.is_file(), "{}", path.display());
        if found.is_dir() {
            let (inner, more) = measure(&path);
            (files, bytes) = (files + inner, bytes + more);
        } else {
            (files, bytes) = (files + 1, bytes + found.len());
        }
    }
    (files, bytes)
}
