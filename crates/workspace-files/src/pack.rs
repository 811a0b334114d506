//! The archive of a task.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt},
};
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use crate::{
    HomePart, Stop, choice,
    limited::{Count, Limited},
    tracked::Tracked,
};

/// A folder that goes into an archive.
#[derive(Clone, Debug)]
pub enum Source {
    /// A task's workspace; goes below `workspace/`.
    Workspace(PathBuf),
    /// A home folder; goes below `home/`.
    Home(PathBuf, HomePart),
}

/// What was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// How long the archive is, in bytes.
    pub size: u64,
    /// How many files and links are in it.
    pub members: u64,
    /// Whether there is an agent's conversation in it.
    pub conversation: bool,
    /// Whether there is a repository in it, in the workspace itself or in a folder of it.
    pub repository: bool,
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// It would be too large.
    #[error("the archive is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// How large it may be, in bytes.
        limit: u64,
    },
    /// A folder can't be read.
    #[error("`{}` can't be read", folder.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The archive can't be written.
    #[error("the archive can't be written")]
    Write(#[source] io::Error),
    /// It was told to stop.
    #[error("the archive is not wanted any more")]
    Stopped,
}

/// Writes an archive of at most `limit` bytes. Files that can't be read, as they have gone meanwhile or belong to somebody
/// else, are left out, and the log says so.
///
/// # Errors
/// [`PackError`]; what was written until then is of no use.
pub fn pack(sources: &[Source], out: File, limit: u64, stop: &Stop) -> Result<Packed, PackError> {
    let (out, count) = Limited::new(BufWriter::with_capacity(256 << 10, out), limit);
    let mut packing = Packing {
        // What matters is that it is done in time; the network is faster than a better compression.
        tar: Builder::new(GzEncoder::new(out, Compression::fast())),
        count,
        packed: Packed::default(),
        stop,
    };
    let done = packing.all(sources).and_then(|()| {
        let finished = packing.tar.into_inner().and_then(GzEncoder::finish);
        finished
            .and_then(|mut out| out.flush())
            .map_err(PackError::Write)
    });
    match done {
        Ok(()) => Ok(Packed {
            size: packing.count.bytes(),
            ..packing.packed
        }),
        Err(PackError::Write(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(PackError::TooLarge { limit })
        }
        Err(error) => Err(error),
    }
}

type Out = GzEncoder<Limited<BufWriter<File>>>;

struct Packing<'a> {
    tar: Builder<Out>,
    count: Count,
    packed: Packed,
    stop: &'a Stop,
}

/// One source being walked.
struct Walk<'a> {
    dir: Dir,
    path: &'a Path,
    prefix: &'static str,
    takes: Takes,
    tracked: Tracked,
}

/// What of a source is taken.
#[derive(Clone, Copy)]
enum Takes {
    Workspace,
    Home(HomePart),
}

impl Takes {
    fn takes(self, path: &Path) -> bool {
        match self {
            Self::Workspace => choice::of_workspace(path),
            Self::Home(part) => part.has(path),
        }
    }
}

impl Packing<'_> {
    fn all(&mut self, sources: &[Source]) -> Result<(), PackError> {
        for source in sources {
            let (path, prefix, takes) = match source {
                Source::Workspace(path) => (path, "workspace", Takes::Workspace),
                Source::Home(path, part) => (path, "home", Takes::Home(*part)),
            };
            let dir = match Dir::open_ambient_dir(path, ambient_authority()) {
                Ok(dir) => dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unread(path)(error)),
            };
            self.walk(Walk {
                dir,
                path,
                prefix,
                takes,
                tracked: Tracked::default(),
            })?;
        }
        Ok(())
    }

    fn walk(&mut self, mut walk: Walk<'_>) -> Result<(), PackError> {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let mut names = match names(&walk.dir, &folder) {
                Ok(names) => names,
                Err(error) if folder.as_os_str().is_empty() => {
                    return Err(unread(walk.path)(error));
                }
                Err(error) => {
                    left_out(&folder, &error);
                    continue;
                }
            };
            names.sort();
            if names.iter().any(|name| name.as_os_str() == ".git") {
                walk.tracked
                    .add_repository(&walk.path.join(&folder), &folder);
            }
            for name in names {
                self.entry(&walk, folder.join(name), &mut folders)?;
            }
        }
        Ok(())
    }

    /// Packs one thing; of a folder its own entry, and it is walked later.
    fn entry(
        &mut self,
        walk: &Walk<'_>,
        path: PathBuf,
        folders: &mut Vec<PathBuf>,
    ) -> Result<(), PackError> {
        if self.stop.is_set() {
            return Err(PackError::Stopped);
        }
        if !walk.takes.takes(&path) {
            return Ok(());
        }
        let metadata = match walk.dir.symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                left_out(&path, &error);
                return Ok(());
            }
        };
        let free = choice::is_gits(&path);
        if metadata.is_dir() {
            if !free && choice::is_made_again(&path) {
                for tracked in walk.tracked.below(&path) {
                    self.tracked(walk, tracked)?;
                }
                return Ok(());
            }
            self.note(&path);
            self.folder(walk, &path, &metadata)?;
            folders.push(path);
            return Ok(());
        }
        if !free && choice::is_ballast(&path) && !walk.tracked.has(&path) {
            return Ok(());
        }
        self.leaf(walk, &path, &metadata)
    }

    /// A tracked file in a folder that is left out otherwise. One that was deleted is no file.
    fn tracked(&mut self, walk: &Walk<'_>, path: &Path) -> Result<(), PackError> {
        match walk.dir.symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(metadata) => self.leaf(walk, path, &metadata),
            Err(_) => Ok(()),
        }
    }

    fn leaf(&mut self, walk: &Walk<'_>, path: &Path, metadata: &Metadata) -> Result<(), PackError> {
        let name = Path::new(walk.prefix).join(path);
        if metadata.is_symlink() {
            let target = match walk.dir.read_link_contents(path) {
                Ok(target) => target,
                Err(error) => {
                    left_out(path, &error);
                    return Ok(());
                }
            };
            let mut header = header(EntryType::Symlink, metadata, 0);
            let linked = self.tar.append_link(&mut header, name, target);
            linked.map_err(PackError::Write)?;
        } else if metadata.is_file() {
            let mut options = OpenOptions::new();
            // Something else may be there by now; it is not waited for, and not followed.
            let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
            OpenOptionsExt::custom_flags(options.read(true), flags);
            let file = match walk.dir.open_with(path, &options) {
                Ok(file) => file.into_std(),
                Err(error) => {
                    left_out(path, &error);
                    return Ok(());
                }
            };
            let content = Exactly::new(file, metadata.len(), self.stop);
            let mut header = header(EntryType::Regular, metadata, metadata.len());
            let appended = self.tar.append_data(&mut header, name, content);
            appended.map_err(|error| match self.stop.is_set() {
                true => PackError::Stopped,
                false => PackError::Write(error),
            })?;
        } else {
            return Ok(());
        }
        self.packed.members += 1;
        self.packed.conversation |= matches!(walk.takes, Takes::Workspace)
            && choice::holds_conversation(path)
            || path.to_string_lossy().starts_with(".claude_session_id");
        Ok(())
    }

    fn folder(
        &mut self,
        walk: &Walk<'_>,
        path: &Path,
        metadata: &Metadata,
    ) -> Result<(), PackError> {
        let mut header = header(EntryType::Directory, metadata, 0);
        let name = Path::new(walk.prefix).join(path);
        let appended = self.tar.append_data(&mut header, name, io::empty());
        appended.map_err(PackError::Write)
    }

    fn note(&mut self, folder: &Path) {
        let near = folder.components().count() <= 2;
        self.packed.repository |= near && folder.ends_with(".git");
    }
}

fn names(dir: &Dir, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match folder.as_os_str().is_empty() {
        true => dir.entries()?,
        false => dir.read_dir(folder)?,
    };
    entries
        .map(|entry| Ok(PathBuf::from(entry?.file_name())))
        .collect()
}

fn header(kind: EntryType, metadata: &Metadata, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

fn unread(folder: &Path) -> impl FnOnce(io::Error) -> PackError {
    let folder = folder.to_path_buf();
    move |source| PackError::Read { folder, source }
}

fn left_out(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "left out of the archive");
}

/// A file's content, as long as its entry says: one that grows is cut, one that shrinks is filled with zeros.
struct Exactly<'a> {
    file: File,
    left: u64,
    ended: bool,
    stop: &'a Stop,
}

impl<'a> Exactly<'a> {
    fn new(file: File, length: u64, stop: &'a Stop) -> Self {
        Self {
            file,
            left: length,
            ended: false,
            stop,
        }
    }
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_set() {
            return Err(io::Error::other("stopped"));
        }
        let want = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..want];
        let mut count = 0;
        if !self.ended {
            count = self.file.read(buffer)?;
            self.ended = count == 0;
        }
        if self.ended {
            buffer.fill(0);
            count = want;
        }
        self.left -= count as u64;
        Ok(count)
    }
}
