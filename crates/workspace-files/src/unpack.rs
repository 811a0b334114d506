//! Putting an archive back.

use std::{
    fs::{File, FileTimes, Permissions},
    io::{self, BufReader, Read, Seek, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt},
};
use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::{HomePart, STATE, Stop, choice, survey::survey};

/// What is to be free on the disk afterwards, in bytes.
const KEPT_FREE: u64 = 64 << 20;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Where an archive is unpacked.
#[derive(Clone, Debug)]
pub struct Target {
    /// The task's workspace; made if it isn't there.
    pub workspace: PathBuf,
    /// The home folder, and what is put there; made if it isn't there.
    pub home: Option<(PathBuf, HomePart)>,
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// How many files and links.
    pub members: u64,
    /// Whether there was an agent's conversation.
    pub conversation: bool,
    /// Whether there was a repository, in the workspace itself or in a folder of it.
    pub repository: bool,
    /// How many entries were passed over: they lead elsewhere, or are nobody's here.
    pub skipped: u64,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// It is no archive, or not a whole one. Nothing was written.
    #[error("the archive is damaged")]
    Damaged(#[source] io::Error),
    /// It has an entry with a name that nobody needs. Nothing was written.
    #[error("the archive has an entry whose name is longer than 64 KiB")]
    LongName,
    /// It doesn't fit. Nothing was written.
    #[error("the archive's files take {needed} bytes, and {free} are free")]
    NoRoom {
        /// What they take.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// A file can't be written.
    #[error("`{}` can't be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It was told to stop.
    #[error("the archive is not wanted any more")]
    Stopped,
}

/// Unpacks an archive: first it is read to its end, then it is written. What is there already and not in the archive
/// stays; a file of the same name is replaced.
///
/// # Errors
/// [`UnpackError`]
pub fn unpack(mut archive: File, target: &Target, stop: &Stop) -> Result<Unpacked, UnpackError> {
    let needed = survey(decoded(&archive), stop)?;
    std::fs::create_dir_all(&target.workspace).map_err(unwritten(&target.workspace))?;
    room(&target.workspace, needed)?;
    archive.rewind().map_err(UnpackError::Damaged)?;
    let mut unpacking = Unpacking {
        workspace: Place::open(&target.workspace)?,
        home: match &target.home {
            Some((path, part)) => {
                std::fs::create_dir_all(path).map_err(unwritten(path))?;
                Some((Place::open(path)?, *part))
            }
            None => None,
        },
        unpacked: Unpacked::default(),
        stop,
    };
    let mut archive = Archive::new(decoded(&archive));
    for entry in archive.entries().map_err(UnpackError::Damaged)? {
        unpacking.entry(entry.map_err(UnpackError::Damaged)?)?;
    }
    Ok(unpacking.unpacked)
}

fn decoded(archive: &File) -> MultiGzDecoder<BufReader<&File>> {
    MultiGzDecoder::new(BufReader::with_capacity(CHUNK, archive))
}

/// Whether so much can be written.
fn room(folder: &Path, needed: u64) -> Result<(), UnpackError> {
    let disk =
        nix::sys::statvfs::statvfs(folder).map_err(|error| unwritten(folder)(error.into()))?;
    let free = disk.blocks_available() * disk.fragment_size();
    match needed.saturating_add(KEPT_FREE) > free {
        true => Err(UnpackError::NoRoom { needed, free }),
        false => Ok(()),
    }
}

/// A folder that is written.
struct Place {
    dir: Dir,
    path: PathBuf,
    /// The folder that was written last: each part of it is a folder and no link.
    checked: PathBuf,
}

struct Unpacking<'a> {
    workspace: Place,
    home: Option<(Place, HomePart)>,
    unpacked: Unpacked,
    stop: &'a Stop,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, entry: Entry<'_, R>) -> Result<(), UnpackError> {
        if self.stop.is_set() {
            return Err(UnpackError::Stopped);
        }
        let stop = self.stop;
        let name = entry.path().map_err(UnpackError::Damaged)?.into_owned();
        let Some((place, path)) = self.place(&name) else {
            self.unpacked.skipped += 1;
            return Ok(());
        };
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let (session, repository) = found(&name, &path);
        let written = place.write(entry, &path, stop)?;
        match written {
            Written::Skipped => self.unpacked.skipped += 1,
            Written::Folder => {}
            Written::Member => {
                self.unpacked.members += 1;
                self.unpacked.conversation |= session;
            }
        }
        self.unpacked.repository |= repository;
        Ok(())
    }

    /// Where an entry belongs, and its path there. `None` for what leads elsewhere or is nobody's.
    fn place(&mut self, name: &Path) -> Option<(&mut Place, PathBuf)> {
        let mut parts = Vec::new();
        for part in name.components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        let (first, rest) = parts.split_first()?;
        let rest: PathBuf = rest.iter().collect();
        match first.to_str() {
            Some("workspace") => choice::of_workspace(&rest).then_some((&mut self.workspace, rest)),
            Some("home" | "__home__") => {
                let (place, part) = self.home.as_mut()?;
                (rest.as_os_str().is_empty() || part.has(&rest)).then_some((place, rest))
            }
            // Archives of earlier times have the workspace only.
            _ => {
                let path: PathBuf = parts.iter().collect();
                choice::of_workspace(&path).then_some((&mut self.workspace, path))
            }
        }
    }
}

/// Whether an entry is a conversation's, and whether it shows a repository.
fn found(name: &Path, path: &Path) -> (bool, bool) {
    let home = name.starts_with("home") || name.starts_with("__home__");
    let old = path.to_string_lossy().starts_with(".claude_session_id");
    let repository = path.iter().take(2).any(|part| part == ".git");
    (
        !home && (old || choice::holds_conversation(path)),
        !home && repository,
    )
}

enum Written {
    Member,
    Folder,
    Skipped,
}

impl Place {
    fn open(path: &Path) -> Result<Self, UnpackError> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(unwritten(path))?;
        Ok(Self {
            dir,
            path: path.to_path_buf(),
            checked: PathBuf::new(),
        })
    }

    fn write<R: Read>(
        &mut self,
        entry: Entry<'_, R>,
        path: &Path,
        stop: &Stop,
    ) -> Result<Written, UnpackError> {
        let full = self.path.join(path);
        let failed = unwritten(&full);
        let header = entry.header();
        let mode = header.mode().unwrap_or(0o644) & 0o777;
        let modified = header.mtime().ok().map(Duration::from_secs);
        match header.entry_type() {
            EntryType::Directory => {
                self.folder(path).map_err(failed)?;
                Ok(Written::Folder)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
                if path != Path::new(STATE) =>
            {
                if header.entry_type().is_gnu_sparse() {
                    // It is longer than it looked before.
                    room(&self.path, entry.size())?;
                }
                self.make_room(path).map_err(&failed)?;
                let private = path.starts_with(STATE);
                let mode = if private { 0o600 } else { mode };
                let file = self.create(path, mode).map_err(&failed)?;
                copy(entry, file, mode, modified, stop, &failed)?;
                Ok(Written::Member)
            }
            // No link leads the executor's own writing elsewhere.
            EntryType::Symlink if !path.starts_with(STATE) => {
                let target = entry.link_name().map_err(UnpackError::Damaged)?;
                let Some(target) = target else {
                    return Ok(Written::Skipped);
                };
                self.make_room(path).map_err(&failed)?;
                // Where it leads is not looked at: nothing here follows it.
                let linked = self.dir.symlink_contents(&target, path);
                linked.map_err(failed)?;
                Ok(Written::Member)
            }
            // Hard links, devices, pipes: no archive of a workspace needs them.
            _ => Ok(Written::Skipped),
        }
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        self.dir
            .open_with(path, &options)
            .map(|file| file.into_std())
    }

    /// Makes the folder that `path` is in, and removes what is in its place.
    fn make_room(&mut self, path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        match self.dir.symlink_metadata(path) {
            Ok(found) if found.is_dir() => {
                self.checked = PathBuf::new();
                self.dir.remove_dir_all(path)
            }
            Ok(_) => self.dir.remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a folder with its parents. A link or a file in the place of one of them gives way: what belongs below it is
    /// not to land elsewhere.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || self.checked.starts_with(path) {
            return Ok(());
        }
        let mut folder = PathBuf::new();
        for part in path {
            folder.push(part);
            match self.dir.symlink_metadata(&folder) {
                Ok(found) if found.is_dir() => continue,
                Ok(_) => self.dir.remove_file(&folder)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let mode = if folder.starts_with(STATE) {
                0o700
            } else {
                0o755
            };
            self.dir
                .create_dir_with(&folder, DirBuilder::new().mode(mode))?;
        }
        self.checked = folder;
        Ok(())
    }
}

fn copy<R: Read>(
    mut entry: Entry<'_, R>,
    mut file: File,
    mode: u32,
    modified: Option<Duration>,
    stop: &Stop,
    failed: &impl Fn(io::Error) -> UnpackError,
) -> Result<(), UnpackError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        if stop.is_set() {
            return Err(UnpackError::Stopped);
        }
        let count = entry.read(&mut chunk).map_err(UnpackError::Damaged)?;
        if count == 0 {
            break;
        }
        file.write_all(&chunk[..count]).map_err(failed)?;
    }
    // The mode exactly, whatever the umask.
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(failed)?;
    if let Some(modified) = modified.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) {
        let times = FileTimes::new().set_modified(modified);
        file.set_times(times).map_err(failed)?;
    }
    Ok(())
}

fn unwritten(path: &Path) -> impl Fn(io::Error) -> UnpackError + use<> {
    let path = path.to_path_buf();
    move |source| UnpackError::Write {
        path: path.clone(),
        source,
    }
}
