//! The working folder as a git tree: what is staged, with what is different on disk.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use git2::{Delta, DiffOptions, FileMode, Index, IndexEntry, IndexTime, Oid, Repository};

/// Of a file larger than this only whether it changed is known, not in how many lines.
const LARGEST_FILE: u64 = 4 << 20;
/// Beyond so many files that differ from the last commit nobody wants to know each.
const MOST_DIFFERENT: usize = 20_000;
/// A file that was changed this recently may change once more without a trace in its times, in seconds.
const UNSETTLED: i64 = 2;

/// Takes pictures of a folder, one after the other. What hasn't changed meanwhile is not read again.
#[derive(Default)]
pub(super) struct Snapshots {
    seen: HashMap<Vec<u8>, Seen>,
    /// How many bytes of contents have been taken into memory.
    kept: u64,
    /// Whether there was once no room for a content.
    overflowed: bool,
}

/// A file's content, for as long as nobody touches the file.
#[derive(Clone, Copy)]
struct Seen {
    stamp: Stamp,
    id: Oid,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or_default());
        self.changed.0 + UNSETTLED < now
    }
}

impl Snapshots {
    /// How much of `limit` bytes is left for contents; nothing once there was no room for one.
    pub(super) fn room(&self, limit: u64) -> u64 {
        match self.overflowed {
            true => 0,
            false => limit.saturating_sub(self.kept),
        }
    }

    /// The folder's tree now. Contents beyond `room` bytes are not taken into memory: it's only known that they changed.
    pub(super) fn take(
        &mut self,
        repository: &Repository,
        folder: &Path,
        room: u64,
    ) -> Result<Oid, git2::Error> {
        let mut staged = repository.index()?;
        // Others write it all the time.
        staged.read(true)?;
        let (mut now, differing) = differences(repository, &staged)?;
        let full = self.kept.saturating_add(room);
        for path in differing {
            if let Some(entry) = self.entry(repository, folder, &path, full)? {
                now.add(&entry)?;
            }
        }
        now.write_tree_to(repository)
    }

    /// The file as an entry of an index; `None` for what can't be one (it's gone by now, a repository in the repository, …).
    fn entry(
        &mut self,
        repository: &Repository,
        folder: &Path,
        path: &[u8],
        full: u64,
    ) -> Result<Option<IndexEntry>, git2::Error> {
        let file = folder.join(OsStr::from_bytes(path));
        let Ok(metadata) = fs::symlink_metadata(&file) else {
            return Ok(None);
        };
        let mode = match metadata.file_type() {
            kind if kind.is_symlink() => FileMode::Link,
            kind if kind.is_file() && metadata.mode() & 0o111 != 0 => FileMode::BlobExecutable,
            kind if kind.is_file() => FileMode::Blob,
            _ => return Ok(None),
        };
        let stamp = Stamp::of(&metadata);
        let known = self.seen.get(path).filter(|seen| seen.stamp == stamp);
        let id = if let Some(known) = known {
            known.id
        } else if mode == FileMode::Link {
            let Ok(target) = fs::read_link(&file) else {
                return Ok(None);
            };
            repository.blob(target.as_os_str().as_bytes())?
        } else if stamp.length > LARGEST_FILE {
            stand_in(repository, &stamp)?
        } else if self.kept + stamp.length > full {
            self.overflowed = true;
            stand_in(repository, &stamp)?
        } else {
            self.kept += stamp.length;
            match repository.blob_path(&file) {
                Ok(id) => self.remember(path, stamp, id),
                // It went away, or may not be read.
                Err(_) => return Ok(None),
            }
        };
        Ok(Some(index_entry(path, mode, id)))
    }

    fn remember(&mut self, path: &[u8], stamp: Stamp, id: Oid) -> Oid {
        if stamp.is_settled() {
            self.seen.insert(path.to_owned(), Seen { stamp, id });
        }
        id
    }
}

/// What is staged and as it is on disk; and the paths of what differs there.
fn differences(
    repository: &Repository,
    staged: &Index,
) -> Result<(Index, Vec<Vec<u8>>), git2::Error> {
    let mut now = Index::new()?;
    let mut differing: Vec<Vec<u8>> = Vec::new();
    for entry in staged.iter() {
        // Of a conflict there are up to three entries, and what counts is on disk.
        if (entry.flags >> 12) & 3 == 0 {
            now.add(&entry)?;
        } else {
            differing.push(entry.path);
        }
    }
    let diff = repository.diff_index_to_workdir(Some(staged), Some(&mut options()))?;
    for delta in diff.deltas().take(MOST_DIFFERENT) {
        match delta.status() {
            Delta::Unmodified | Delta::Ignored => {}
            Delta::Deleted => {
                if let Some(path) = delta.old_file().path() {
                    now.remove_path(path)?;
                }
            }
            _ => differing.extend(delta.new_file().path_bytes().map(<[u8]>::to_vec)),
        }
    }
    Ok((now, differing))
}

/// Which differences count.
pub(super) fn options() -> DiffOptions {
    let mut options = DiffOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_typechange(true)
        .ignore_submodules(true)
        .context_lines(0);
    options
}

/// Stands for a content that isn't read: another one after a change, and binary.
fn stand_in(repository: &Repository, stamp: &Stamp) -> Result<Oid, git2::Error> {
    let (seconds, nanos) = stamp.modified;
    repository.blob(format!("\0{} {seconds}.{nanos}", stamp.length).as_bytes())
}

fn index_entry(path: &[u8], mode: FileMode, id: Oid) -> IndexEntry {
    let zero = IndexTime::new(0, 0);
    IndexEntry {
        ctime: zero,
        mtime: zero,
        dev: 0,
        ino: 0,
        mode: i32::from(mode) as u32,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.to_vec(),
    }
}
