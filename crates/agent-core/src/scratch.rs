//! A temporary folder per session, for its owner only and gone with it.
//!
//! The path is short, because sockets are made in it and a socket's path has 108 bytes at most. It bears its owner's
//! mark, so that a restart can remove what a killed executor left behind.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{AgentError, environment::Environment};

/// A folder that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

/// Where temporary folders go: the image's own choice, else `/tmp`.
pub fn parent(image: &Environment) -> PathBuf {
    image
        .get(OsStr::new("TMPDIR"))
        .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

impl Scratch {
    /// A folder for a session of `owner`, where the image has its temporary folders.
    ///
    /// # Errors
    /// [`AgentError::Workspace`] if it can't be made.
    pub fn for_session(image: &Environment, owner: &str) -> Result<Self, AgentError> {
        let parent = parent(image);
        Self::create(&parent, owner).map_err(|source| AgentError::Workspace {
            message: format!("a temporary folder can't be made in `{}`", parent.display()),
            source: Some(source),
        })
    }

    /// Makes a folder in `parent` (usually `/tmp`), with mode 0700.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(parent: &Path, owner: &str) -> io::Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let own = std::process::id();
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let folder = parent.join(format!("{}{own:x}{number:x}", prefix(owner)));
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(folder)),
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what earlier processes of `owner` left in `parent`. To be called when no other process of that owner
    /// can be alive. Returns how many folders went.
    pub fn remove_stale(parent: &Path, owner: &str) -> usize {
        let prefix = prefix(owner);
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .filter(|entry| fs::remove_dir_all(entry.path()).is_ok())
            .count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "temporary folder can't be removed");
        }
    }
}

/// `wg-`, and six characters that stand for the owner.
fn prefix(owner: &str) -> String {
    // FNV-1a: the same in every version of this program, which the standard hasher does not promise.
    let hash = owner.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("wg-{:06x}-", hash & 0xff_ffff)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_scratch_folder_is_private_and_gone_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(parent.path(), "me").unwrap();
        let other = Scratch::create(parent.path(), "me").unwrap();
        assert_ne!(scratch.path(), other.path());
        assert_eq!(
            fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::write(scratch.path().join("file"), "x").unwrap();
        let path = scratch.path().to_path_buf();
        drop(scratch);
        assert!(!path.exists());
        assert!(other.path().exists());
    }

    #[test]
    fn only_the_owners_leftovers_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let mine = Scratch::create(parent.path(), "me").unwrap();
        let yours = Scratch::create(parent.path(), "you").unwrap();
        let left = mine.path().to_path_buf();
        std::mem::forget(mine);
        assert_eq!(Scratch::remove_stale(parent.path(), "me"), 1);
        assert!(!left.exists() && yours.path().exists());
    }
}
