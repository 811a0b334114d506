//! Files below one folder, and never outside of it.
//!
//! Names come from requests, archives and repositories. Whoever checks a path and opens it afterwards loses to the link
//! that is put there in between, so nothing here works with whole paths: a folder is opened once, and everything is
//! reached from its descriptor (`openat2` with `RESOLVE_BENEATH`, or step by step where the kernel has no such thing). A
//! link may stay below the folder; one that leads out of it is an error.
//!
//! What a *name* may look like is another question: [`plain_relative`] answers it, without looking at the disk.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt},
};

/// A folder that nothing done through it can leave. All calls block; those that move much belong on a blocking thread.
#[derive(Debug)]
pub struct Confined {
    dir: Dir,
    path: PathBuf,
}

/// Why a path can't be one below a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It is empty, or means the folder itself.
    #[error("it names no file")]
    Empty,
    /// It begins at the root.
    #[error("it is absolute")]
    Absolute,
    /// It has a part `..`.
    #[error("it leads upwards")]
    Upwards,
    /// It has a NUL in it.
    #[error("it has a NUL character in it")]
    Nul,
}

/// The path without its `.` parts, if all its parts are plain names.
///
/// ```
/// # use agent_core::confine::{BadPath, plain_relative};
/// # use std::path::Path;
/// assert_eq!(plain_relative("./a//b".as_ref()).as_deref(), Ok(Path::new("a/b")));
/// assert_eq!(plain_relative("a/../../b".as_ref()), Err(BadPath::Upwards));
/// assert_eq!(plain_relative("/etc/passwd".as_ref()), Err(BadPath::Absolute));
/// assert_eq!(plain_relative(".".as_ref()), Err(BadPath::Empty));
/// ```
///
/// # Errors
/// [`BadPath`] saying what is wrong with it.
pub fn plain_relative(path: &Path) -> Result<PathBuf, BadPath> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(BadPath::Nul);
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(BadPath::Upwards),
            Component::RootDir | Component::Prefix(_) => return Err(BadPath::Absolute),
        }
    }
    if plain.as_os_str().is_empty() {
        return Err(BadPath::Empty);
    }
    Ok(plain)
}

impl Confined {
    /// The folder at `path`, which is trusted: it is reached as any other, through whatever links it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            dir: Dir::open_ambient_dir(path, ambient_authority())?,
            path: path.to_path_buf(),
        })
    }

    /// Where it is; for messages, and for those who are told to work there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder below, made with its parents if it isn't there. New folders get `mode`.
    ///
    /// # Errors
    /// What the system says; also when the path leads out.
    pub fn folder(&self, relative: &Path, mode: u32) -> io::Result<Self> {
        self.dir.create_dir_with_parents(relative, mode)?;
        self.existing_folder(relative)
    }

    /// A folder below that is there.
    ///
    /// # Errors
    /// What the system says; also when the path leads out.
    pub fn existing_folder(&self, relative: &Path) -> io::Result<Self> {
        Ok(Self {
            dir: self.dir.open_dir(relative)?,
            path: self.path.join(relative),
        })
    }

    /// Opens a regular file for reading. Anything else (a pipe, a device) is an error, and never waited for.
    ///
    /// # Errors
    /// What the system says; also when the path leads out.
    pub fn file(&self, relative: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let file = self.dir.open_with(relative, &options)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(file.into_std())
    }

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::FileTooLarge`] if it is longer.
    pub fn read(&self, relative: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.file(relative)?
            .take(limit + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    }

    /// A new file for writing, with `mode`. It must not be there; a link in its place counts as there.
    ///
    /// # Errors
    /// What the system says; also when the path leads out.
    pub fn create(&self, relative: &Path, mode: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        Ok(self.dir.open_with(relative, &options)?.into_std())
    }

    /// Puts `content` in the place of whatever file or link is there, at once: a reader sees the old or the new.
    ///
    /// # Errors
    /// What the system says; the old file is then still in place.
    pub fn replace(&self, relative: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let temporary = temporary_beside(relative);
        let mut file = self.create(&temporary, mode)?;
        // The mode exactly, whatever the umask.
        let written = file
            .set_permissions(std::fs::Permissions::from_mode(mode))
            .and_then(|()| file.write_all(content))
            .and_then(|()| self.dir.rename(&temporary, &self.dir, relative));
        if written.is_err() {
            let _ = self.dir.remove_file(&temporary);
        }
        written
    }

    /// Puts a link in the place of whatever file or link is there, at once. Where it points to is not looked at.
    ///
    /// # Errors
    /// What the system says; what was there is then still in place.
    pub fn replace_with_link(&self, relative: &Path, target: &Path) -> io::Result<()> {
        let temporary = temporary_beside(relative);
        self.dir.symlink_contents(target, &temporary)?;
        let renamed = self.dir.rename(&temporary, &self.dir, relative);
        if renamed.is_err() {
            let _ = self.dir.remove_file(&temporary);
        }
        renamed
    }

    /// What is at `relative`, a link itself and not what it points to; `None` if there is nothing.
    ///
    /// # Errors
    /// What the system says; also when the path leads out.
    pub fn kind(&self, relative: &Path) -> io::Result<Option<Kind>> {
        match self.dir.symlink_metadata(relative) {
            Ok(found) if found.is_symlink() => Ok(Some(Kind::Link)),
            Ok(found) if found.is_dir() => Ok(Some(Kind::Folder)),
            Ok(found) if found.is_file() => Ok(Some(Kind::File)),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves what is at `from` to `to`, both below. A file at `to` is replaced; a folder only if it is empty.
    ///
    /// # Errors
    /// What the system says; also when a path leads out.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.dir.rename(from, &self.dir, to)
    }

    /// Removes what is at `relative`, with all that is in it. Links are removed, not followed. That nothing is there is
    /// no error.
    ///
    /// # Errors
    /// What the system says; also when the path leads out.
    pub fn remove(&self, relative: &Path) -> io::Result<()> {
        let removed = match self.kind(relative)? {
            None => return Ok(()),
            Some(Kind::Folder) => self.dir.remove_dir_all(relative),
            Some(_) => self.dir.remove_file(relative),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

trait DirExt {
    fn create_dir_with_parents(&self, path: &Path, mode: u32) -> io::Result<()>;
}

impl DirExt for Dir {
    fn create_dir_with_parents(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.create_dir_with(path, DirBuilder::new().recursive(true).mode(mode))
    }
}

/// A name that nothing else has, in the same folder.
fn temporary_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".wegent-{:x}-{number:x}.new", std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use proptest::prelude::*;

    use super::*;

    /// A folder with a secret beside it, and ways to it.
    fn stage() -> (tempfile::TempDir, Confined) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        let inside = root.path().join("inside");
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::write(inside.join("a/file"), "content").unwrap();
        symlink("../secret", inside.join("up")).unwrap();
        symlink(root.path().join("secret"), inside.join("absolute")).unwrap();
        symlink("..", inside.join("parent")).unwrap();
        symlink("file", inside.join("a/beside")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        let confined = Confined::open(&inside).unwrap();
        (root, confined)
    }

    #[test]
    fn links_may_stay_below_and_not_lead_out() {
        let (_root, confined) = stage();
        let read = |path: &str| confined.read(path.as_ref(), 100);
        assert_eq!(read("a/beside").unwrap(), b"content");
        for path in [
            "up",
            "absolute",
            "parent/secret",
            "../secret",
            "a/../../secret",
            "/etc/passwd",
            "loop",
        ] {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_leads_out_is_replaced_and_never_written_through() {
        let (root, confined) = stage();
        assert!(confined.create("up".as_ref(), 0o600).is_err());
        confined.replace("up".as_ref(), b"mine", 0o640).unwrap();
        confined
            .replace_with_link("absolute".as_ref(), "a/file".as_ref())
            .unwrap();
        assert!(
            confined
                .replace("parent/secret".as_ref(), b"x", 0o600)
                .is_err()
        );
        assert!(confined.remove("parent/secret".as_ref()).is_err());
        assert!(confined.folder("parent/new".as_ref(), 0o700).is_err());
        let secret = fs::read_to_string(root.path().join("secret")).unwrap();
        assert_eq!(secret, "secret");
        assert_eq!(confined.read("up".as_ref(), 10).unwrap(), b"mine");
        assert_eq!(confined.read("absolute".as_ref(), 10).unwrap(), b"content");
        let mode = fs::metadata(confined.path().join("up")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn removing_a_tree_leaves_what_its_links_point_to() {
        let (root, confined) = stage();
        symlink(root.path(), confined.path().join("a/b/out")).unwrap();
        confined.remove("a".as_ref()).unwrap();
        confined.remove("a".as_ref()).unwrap();
        assert_eq!(confined.kind("a".as_ref()).unwrap(), None);
        assert!(root.path().join("secret").exists());
    }

    #[test]
    fn a_pipe_is_no_file_and_is_not_waited_for() {
        let (_root, confined) = stage();
        nix::unistd::mkfifo(
            &confined.path().join("pipe"),
            nix::sys::stat::Mode::from_bits_truncate(0o600),
        )
        .unwrap();
        assert!(confined.file("pipe".as_ref()).is_err());
        assert_eq!(confined.kind("pipe".as_ref()).unwrap(), Some(Kind::Other));
    }

    #[test]
    fn a_file_longer_than_the_limit_is_refused() {
        let (_root, confined) = stage();
        assert!(confined.read("a/file".as_ref(), 7).is_ok());
        let error = confined.read("a/file".as_ref(), 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    /// Parts of which paths are made: plain ones, links out and in, ways up and to the root.
    fn path() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "a", "b", "file", "up", "absolute", "parent", "..", ".", "", "beside", "new", "secret",
            "loop",
        ]);
        prop::collection::vec(part, 1..6).prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is done, with whatever path: what is outside neither changes nor shows.
        #[test]
        fn nothing_outside_is_read_written_or_removed(paths in prop::collection::vec(path(), 1..8)) {
            let (root, confined) = stage();
            for path in &paths {
                let path = Path::new(path);
                prop_assert_ne!(confined.read(path, 100).ok(), Some(b"secret".to_vec()));
                let _ = confined.folder(path, 0o700);
                let _ = confined.create(path, 0o600);
                let _ = confined.replace(path, b"written", 0o600);
                let _ = confined.remove(path);
                let _ = confined.rename(Path::new("a"), path);
                let _ = confined.replace_with_link(path, Path::new("/etc"));
            }
            let outside: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            prop_assert_eq!(outside.len(), 2);
            prop_assert_eq!(fs::read_to_string(root.path().join("secret")).unwrap(), "secret");
        }

        /// A plain path has plain parts only, and is its own plain form.
        #[test]
        fn a_plain_path_stays_below(path in path()) {
            if let Ok(plain) = plain_relative(Path::new(&path)) {
                prop_assert!(plain.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(plain_relative(&plain), Ok(plain));
            }
        }
    }
}
