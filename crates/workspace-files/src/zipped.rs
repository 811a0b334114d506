//! A folder as a zip file.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use zip::{CompressionMethod, ZipWriter, result::ZipError as Broken, write::SimpleFileOptions};

use crate::{STATE, Stop, Tree, TreeError};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// What a zip may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZipLimits {
    /// How many bytes the files may have together before they are compressed.
    pub size: u64,
    /// How long it may take.
    pub time: Duration,
}

/// Why there is no zip.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// The files are too large.
    #[error("the folder has more than {} MiB of files", limit >> 20)]
    TooLarge {
        /// How large they may be together, in bytes.
        limit: u64,
    },
    /// It took too long.
    #[error("it takes longer than {} s", limit.as_secs())]
    TooSlow {
        /// How long it might have taken.
        limit: Duration,
    },
    /// There is a link in the folder, and nobody could say what it should be in a zip.
    #[error("`{}` is a symbolic link", .0.display())]
    Link(PathBuf),
    /// A file can't be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The zip can't be written.
    #[error("the zip can't be written")]
    Write(#[source] io::Error),
}

/// Writes the tree's folder as a zip, with itself as the one folder at its top, named `name`.
///
/// # Errors
/// [`ZipError`]; what was written until then is of no use.
pub fn zip(
    tree: &Tree,
    name: &str,
    out: File,
    limits: ZipLimits,
    stop: &Stop,
) -> Result<File, ZipError> {
    let mut zipping = Zipping {
        tree,
        top: Path::new(name),
        writer: ZipWriter::new(BufWriter::new(out)),
        limits,
        until: Instant::now() + limits.time,
        left: limits.size,
        stop,
    };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        zipping.folder(&folder, &mut folders)?;
    }
    let written = zipping.writer.finish().map_err(broken)?;
    let mut file = written
        .into_inner()
        .map_err(|error| ZipError::Write(error.into_error()))?;
    file.rewind().map_err(ZipError::Write)?;
    Ok(file)
}

struct Zipping<'a> {
    tree: &'a Tree,
    top: &'a Path,
    writer: ZipWriter<BufWriter<File>>,
    limits: ZipLimits,
    until: Instant,
    left: u64,
    stop: &'a Stop,
}

impl Zipping<'_> {
    fn folder(&mut self, folder: &Path, more: &mut Vec<PathBuf>) -> Result<(), ZipError> {
        self.on_time()?;
        let path = self.top.join(folder).to_string_lossy().into_owned();
        let options = SimpleFileOptions::default();
        self.writer.add_directory(path, options).map_err(broken)?;
        let dir = match folder.as_os_str().is_empty() {
            true => self.tree.dir().try_clone(),
            false => self.tree.dir().open_dir(folder),
        };
        for entry in dir.and_then(|dir| dir.entries()).map_err(TreeError::from)? {
            let entry = entry.map_err(TreeError::from)?;
            if entry.file_name() == STATE {
                continue;
            }
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(TreeError::from)?;
            if kind.is_symlink() {
                return Err(ZipError::Link(path));
            } else if kind.is_dir() {
                more.push(path);
            } else if kind.is_file() {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), ZipError> {
        let mode = self.tree.entry(path)?.mode;
        let (mut file, size) = self.tree.file(path)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .unix_permissions(mode)
            .large_file(size >= u64::from(u32::MAX));
        let name = self.top.join(path).to_string_lossy().into_owned();
        self.writer.start_file(name, options).map_err(broken)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            self.on_time()?;
            let count = file.read(&mut chunk).map_err(TreeError::from)?;
            if count == 0 {
                return Ok(());
            }
            let limit = self.limits.size;
            let left = self.left.checked_sub(count as u64);
            self.left = left.ok_or(ZipError::TooLarge { limit })?;
            let written = self.writer.write_all(&chunk[..count]);
            written.map_err(ZipError::Write)?;
        }
    }

    fn on_time(&self) -> Result<(), ZipError> {
        if self.stop.is_set() || Instant::now() > self.until {
            return Err(ZipError::TooSlow {
                limit: self.limits.time,
            });
        }
        Ok(())
    }
}

fn broken(error: Broken) -> ZipError {
    ZipError::Write(error.into())
}
