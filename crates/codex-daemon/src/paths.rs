//! The daemon's files and folders: its user's alone, or not used at all.
//!
//! Whoever can write beside our socket could put another in its place. So a folder has to be a real folder, ours, with mode
//! 0700; a file a real file, ours, with mode 0600. What isn't is not repaired behind the user's back: it might be a trap, or
//! somebody's on purpose. The error says which command mends it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::config::folder_of;

/// A path that can't be trusted, or used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// A symbolic link is where a folder or a file should be.
    #[error("`{path}` is a symbolic link; mend it with: rm '{path}'")]
    Link {
        /// The path.
        path: String,
    },
    /// Something else is where it should be.
    #[error("`{path}` is no {expected}; mend it with: mv '{path}' '{path}.old'")]
    Kind {
        /// The path.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// It belongs to somebody else.
    #[error(
        "`{path}` belongs to user {owner}, not to you; mend it with: sudo chown {own} '{path}'"
    )]
    Owner {
        /// The path.
        path: String,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// Others may read or write it.
    #[error(
        "`{path}` has mode {mode:04o}, others can get at it; mend it with: chmod {right:o} '{path}'"
    )]
    Mode {
        /// The path.
        path: String,
        /// Its mode.
        mode: u32,
        /// What it should be.
        right: u32,
    },
    /// A socket's path has to fit into 107 bytes.
    #[error(
        "the socket's path `{path}` has {length} bytes, more than the 107 that the system allows; choose a shorter one with --socket"
    )]
    TooLong {
        /// The path.
        path: String,
        /// Its length.
        length: usize,
    },
    /// The system refuses.
    #[error("`{path}` can't be used")]
    Io {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PathError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        |source| Self::Io { path, source }
    }
}

/// Makes a folder for its owner only, or checks the one that is there.
///
/// # Errors
/// [`PathError`] says what is wrong with it, and what mends it.
pub fn private_folder(path: &Path) -> Result<(), PathError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(PathError::io(parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_folder(path),
        other => other.map_err(PathError::io(path)),
    }
}

/// Checks a folder that may be there.
///
/// # Errors
/// [`PathError`]. A folder that isn't there is fine.
pub fn check_folder(path: &Path) -> Result<(), PathError> {
    check(path, 0o700, "folder", fs::FileType::is_dir)
}

/// Checks a file that may be there.
///
/// # Errors
/// [`PathError`]. A file that isn't there is fine.
pub fn check_file(path: &Path) -> Result<(), PathError> {
    check(path, 0o600, "file", fs::FileType::is_file)
}

/// Checks a socket that may be there.
///
/// # Errors
/// [`PathError`]. A socket that isn't there is fine.
pub fn check_socket(path: &Path) -> Result<(), PathError> {
    let length = path.as_os_str().len();
    if length > 107 {
        let path = path.display().to_string();
        return Err(PathError::TooLong { path, length });
    }
    check(path, 0o600, "socket", |kind| kind.is_socket())
}

fn check(
    path: &Path,
    right: u32,
    expected: &'static str,
    is: fn(&fs::FileType) -> bool,
) -> Result<(), PathError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PathError::io(path)(error)),
    };
    let own = nix::unistd::geteuid().as_raw();
    let path = path.display().to_string();
    if metadata.file_type().is_symlink() {
        return Err(PathError::Link { path });
    }
    if !is(&metadata.file_type()) {
        return Err(PathError::Kind { path, expected });
    }
    if metadata.uid() != own {
        let owner = metadata.uid();
        return Err(PathError::Owner { path, owner, own });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PathError::Mode { path, mode, right });
    }
    Ok(())
}

/// Opens a file for its owner only, to be read and appended to. A link is never followed.
///
/// # Errors
/// [`PathError`].
pub fn private_file(path: &Path) -> Result<File, PathError> {
    check_file(path)?;
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .map_err(PathError::io(path))
}

/// Whether a file has to be on the disk, or may still be in the system's memory when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// On the disk; takes some milliseconds.
    Yes,
    /// Safe from our own death only.
    No,
}

/// Replaces a file by a new one with this content, at once: a reader sees the old or the new one.
///
/// # Errors
/// What the system says, such as that the disk is full; the old file is then still there.
pub fn replace_file(path: &Path, content: &[u8], durable: Durable) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = folder_of(path).join(name);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(content)?;
            if durable == Durable::Yes {
                file.sync_data()?;
            }
            Ok(())
        })
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn message(result: Result<(), PathError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_what_mends_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let wrong = message(private_folder(&folder));
        assert!(
            wrong.contains("0755") && wrong.contains("chmod 700"),
            "{wrong}"
        );

        let link = root.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(message(private_folder(&link)).contains("symbolic link"));
        assert!(message(check_file(&link)).contains("rm '"));
        assert!(message(check_file(&folder)).contains("no file"));

        let file = root.path().join("file");
        private_file(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(message(check_file(&file)).contains("chmod 600"));
        assert!(message(check_socket(&file)).contains("no socket"));
        assert!(message(check_socket(Path::new(&"x".repeat(108)))).contains("108"));
    }

    #[test]
    fn a_replaced_file_is_whole_or_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        replace_file(&file, b"one", Durable::Yes).unwrap();
        replace_file(&file, b"two", Durable::No).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert!(replace_file(&root.path().join("no/file"), b"x", Durable::No).is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
