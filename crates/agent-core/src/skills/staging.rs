//! Where a skill is put together before it takes its place.
//!
//! A folder in the skills folder itself, so that a rename is enough, and with a name that no agent takes for a skill.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
};

const FOLDER: &str = ".wegent-staging";

/// Tells our folders from those that a killed process left behind, which may have had our number.
static OWN: LazyLock<String> = LazyLock::new(|| {
    let started = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = started.map_or(0, |since| since.as_nanos());
    format!("{}-{nanos:x}-", std::process::id())
});

/// A folder of its own for one skill; removed with what is left in it when this is dropped.
pub(super) struct Staging(PathBuf);

impl Staging {
    /// Makes the folder.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(skills: &Path) -> io::Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let staging = Self(skills.join(FOLDER).join(format!("{}{number}", *OWN)));
        fs::create_dir_all(staging.skill())?;
        Ok(staging)
    }

    /// Where the archive goes.
    pub(super) fn archive(&self) -> PathBuf {
        self.0.join("archive.zip")
    }

    /// Where the skill is unpacked. Exists, empty at first.
    pub(super) fn skill(&self) -> PathBuf {
        self.0.join("skill")
    }

    /// Puts the skill in the place of `target`. Whoever looks there sees the old one or the new one, whole.
    ///
    /// # Errors
    /// What the system says; the old one is still there then.
    pub(super) fn take_place(&self, target: &Path) -> io::Result<()> {
        let new = self.skill();
        if target.symlink_metadata().is_err() {
            return fs::rename(&new, target);
        }
        match renameat2(
            AT_FDCWD,
            &new,
            AT_FDCWD,
            target,
            RenameFlags::RENAME_EXCHANGE,
        ) {
            // Not every file system can exchange two folders.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EXDEV) => {
                let old = self.0.join("old");
                fs::rename(target, &old)?;
                fs::rename(&new, target).inspect_err(|_| {
                    let _ = fs::rename(&old, target);
                })
            }
            exchanged => Ok(exchanged?),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // Works for the last one only.
        if let Some(parent) = self.0.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Removes what killed processes left behind.
pub(super) fn remove_stale(skills: &Path) {
    let entries = fs::read_dir(skills.join(FOLDER)).into_iter().flatten();
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&*OWN) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let _ = fs::remove_dir(skills.join(FOLDER));
}
