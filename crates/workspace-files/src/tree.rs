//! A folder that others look into.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, OpenOptions, OpenOptionsExt, PermissionsExt},
};

use crate::STATE;

/// A folder, and everything below it but the executor's own state.
#[derive(Debug)]
pub struct Tree {
    dir: Dir,
    real: PathBuf,
}

/// What is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; what of it is no UTF-8 is replaced.
    pub name: String,
    /// What it is. A link that stays in the tree is what it leads to.
    pub kind: Kind,
    /// How long a file is, in bytes; 0 for all else.
    pub size: u64,
    /// When it was changed last.
    pub modified: Option<SystemTime>,
    /// Its permission bits.
    pub mode: u32,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file, or what is neither: a link that leads nowhere or out, a pipe, a socket.
    File,
}

/// Why something in a tree can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// There is nothing of that name.
    #[error("there is no such file or folder")]
    NotFound,
    /// It is no folder.
    #[error("it is no folder")]
    NotAFolder,
    /// It is neither file nor folder.
    #[error("it is neither a file nor a folder")]
    NotAFile,
    /// It lies outside of the tree.
    #[error("it lies outside of the workspace")]
    Outside,
    /// The system says no.
    #[error("it can't be read")]
    Io(#[source] io::Error),
}

impl From<io::Error> for TreeError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
        match error.kind() {
            NotFound | InvalidInput => Self::NotFound,
            NotADirectory => Self::NotAFolder,
            // The kernel's `EXDEV`, or this of the library's: a link or a `..` leads out.
            io::ErrorKind::CrossesDevices => Self::Outside,
            PermissionDenied if error.raw_os_error().is_none() => Self::Outside,
            _ => Self::Io(error),
        }
    }
}

/// The path below `root` that is meant by `asked`, which may name the root by its own path or as `shown`, or be relative.
///
/// ```
/// # use workspace_files::below;
/// # use std::path::Path;
/// let below = |asked| below("/data".as_ref(), "/workspace".as_ref(), asked);
/// assert_eq!(below("/workspace/1/a"), Some("1/a".into()));
/// assert_eq!(below("/data/1"), Some("1".into()));
/// assert_eq!(below("/workspace"), Some("".into()));
/// assert_eq!(below("/workspaces"), None);
/// assert_eq!(below("1/../2"), Some("1/../2".into()));
/// ```
pub fn below(root: &Path, shown: &Path, asked: &str) -> Option<PathBuf> {
    let asked = Path::new(asked);
    if asked.is_relative() {
        return Some(asked.to_path_buf());
    }
    let inner = asked
        .strip_prefix(root)
        .or_else(|_| asked.strip_prefix(shown));
    inner.ok().map(Path::to_path_buf)
}

impl Tree {
    /// The folder at `path`, which is trusted.
    ///
    /// # Errors
    /// [`TreeError`] if it can't be opened.
    pub fn open(path: &Path) -> Result<Self, TreeError> {
        Self::of(Dir::open_ambient_dir(path, ambient_authority())?)
    }

    fn of(dir: Dir) -> Result<Self, TreeError> {
        let real = real_path(&dir)?;
        Ok(Self { dir, real })
    }

    /// A folder of the tree as a tree of its own.
    ///
    /// # Errors
    /// [`TreeError`] saying why there is none.
    pub fn folder(&self, path: &Path) -> Result<Self, TreeError> {
        let dir = match is_root(path) {
            true => self.dir.try_clone()?,
            false => self.dir.open_dir(path)?,
        };
        self.check(&dir)?;
        Self::of(dir)
    }

    /// What is in the tree's own folder: folders first, then by name.
    ///
    /// # Errors
    /// [`TreeError`] if it can't be read.
    pub fn list(&self) -> Result<Vec<Entry>, TreeError> {
        let mut entries = Vec::new();
        for entry in self.dir.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            // What has gone meanwhile was never there.
            if let Ok(metadata) = entry.metadata()
                && name != STATE
            {
                // A link that stays below is what it leads to.
                let target = match metadata.is_symlink() {
                    true => self.dir.metadata(&name).unwrap_or(metadata),
                    false => metadata,
                };
                entries.push(described(name.as_bytes(), &target));
            }
        }
        entries.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(entries)
    }

    /// One thing in the tree.
    ///
    /// # Errors
    /// [`TreeError`] if there is none.
    pub fn entry(&self, path: &Path) -> Result<Entry, TreeError> {
        if is_root(path) {
            return Ok(described(b"", &self.dir.dir_metadata()?));
        }
        let metadata = self.dir.metadata(path)?;
        let parent = match path.parent() {
            Some(parent) if !is_root(parent) => self.dir.open_dir(parent)?,
            _ => self.dir.try_clone()?,
        };
        self.check(&parent)?;
        let name = path.file_name().unwrap_or_default();
        if name == STATE {
            return Err(TreeError::NotFound);
        }
        Ok(described(name.as_bytes(), &metadata))
    }

    /// A file of the tree, opened for reading, and its length. Pipes and the like are never waited for.
    ///
    /// # Errors
    /// [`TreeError`] if there is none.
    pub fn file(&self, path: &Path) -> Result<(File, u64), TreeError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let file = self.dir.open_with(path, &options)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(TreeError::NotAFile);
        }
        self.check(&file)?;
        Ok((file.into_std(), metadata.len()))
    }

    /// The folder's handle, for those who walk it.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// A link may lead to the executor's state by another name.
    fn check(&self, opened: &impl AsFd) -> Result<(), TreeError> {
        let real = real_path(opened)?;
        let inner = real.strip_prefix(&self.real).unwrap_or(Path::new(""));
        match inner.components().any(|part| part.as_os_str() == STATE) {
            true => Err(TreeError::NotFound),
            false => Ok(()),
        }
    }
}

fn described(name: &[u8], metadata: &Metadata) -> Entry {
    let folder = metadata.is_dir();
    let modified = metadata.modified().ok();
    Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        kind: if folder { Kind::Folder } else { Kind::File },
        size: if metadata.is_file() {
            metadata.len()
        } else {
            0
        },
        modified: modified.map(|time| time.into_std()),
        mode: metadata.permissions().mode() & 0o7777,
    }
}

fn is_root(path: &Path) -> bool {
    path.components().all(|part| part == Component::CurDir)
}

fn real_path(opened: &impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd()))
}
