//! The end of logs: kept for a while, then a tombstone.

use std::{
    fs,
    io::Write,
    time::{Duration, SystemTime},
};

use crate::{
    LogName, Store, StoreError,
    name::Part,
    store::{failed, private},
};

/// The longest payload of a tombstone, in bytes.
pub const MAX_TOMBSTONE: usize = 4096;

/// How much is kept of logs that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A log is kept for this long after its last record.
    pub age: Duration,
    /// All of them together are kept up to this many bytes; the oldest go first.
    pub bytes: u64,
    /// This many tombstones are kept; the oldest go first.
    pub tombstones: usize,
}

impl Default for Retention {
    /// 24 hours, 64 MB, 4096 tombstones.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(24 * 60 * 60),
            bytes: 64 * 1024 * 1024,
            tombstones: 4096,
        }
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Logs that are tombstones now.
    pub buried: Vec<LogName>,
    /// Tombstones that are gone.
    pub forgotten: Vec<LogName>,
}

impl Store {
    /// Replaces logs that have ended, and that `keep` doesn't cover, by tombstones.
    ///
    /// `ended` is asked for each log that is not open: `None` says that it has not ended and must stay, `Some` is
    /// what its tombstone is to remember. `now` is the time; a clock that was set back only keeps logs longer.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a file can't be read, written or removed, [`StoreError::TombstoneTooLarge`] for a
    /// payload beyond [`MAX_TOMBSTONE`].
    pub fn sweep(
        &self,
        keep: &Retention,
        now: SystemTime,
        ended: impl Fn(&LogName) -> Option<Vec<u8>>,
    ) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let mut bytes = 0;
        for (name, modified, length) in self.newest_first(Part::Log)? {
            let Some(payload) = (!self.is_open(&name)).then(|| ended(&name)).flatten() else {
                continue;
            };
            bytes += length;
            let too_old = now.duration_since(modified).is_ok_and(|age| age > keep.age);
            if too_old || bytes > keep.bytes {
                self.bury(&name, &payload)?;
                swept.buried.push(name);
            }
        }
        for (name, ..) in self
            .newest_first(Part::Tombstone)?
            .into_iter()
            .skip(keep.tombstones)
        {
            self.remove_part(&name, Part::Tombstone)?;
            swept.forgotten.push(name);
        }
        Ok(swept)
    }

    /// What the tombstone of `name` remembers; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it can't be read.
    pub fn tombstone(&self, name: &LogName) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name, Part::Tombstone);
        match fs::read(&path) {
            Ok(payload) => Ok(Some(payload)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// The logs of which only a tombstone is left, by name.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the folder can't be read.
    pub fn tombstones(&self) -> Result<Vec<LogName>, StoreError> {
        self.names(Part::Tombstone)
    }

    /// The tombstone is whole before the log goes.
    fn bury(&self, name: &LogName, payload: &[u8]) -> Result<(), StoreError> {
        if payload.len() > MAX_TOMBSTONE {
            return Err(StoreError::TombstoneTooLarge {
                name: name.clone(),
                length: payload.len(),
            });
        }
        let (new, path) = (
            self.path(name, Part::NewTombstone),
            self.path(name, Part::Tombstone),
        );
        let mut file = private()
            .create(true)
            .truncate(true)
            .open(&new)
            .map_err(failed("create", &new))?;
        file.write_all(payload)
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("create", &path))?;
        self.remove_log(name)
    }

    /// Files with the time of their last change and their length in bytes.
    fn newest_first(&self, part: Part) -> Result<Vec<(LogName, SystemTime, u64)>, StoreError> {
        let mut files = Vec::new();
        for name in self.names(part)? {
            let path = self.path(&name, part);
            let metadata = fs::metadata(&path).map_err(failed("read", &path))?;
            files.push((
                name,
                metadata.modified().map_err(failed("read", &path))?,
                metadata.len(),
            ));
        }
        files.sort_by_key(|(_, modified, _)| std::cmp::Reverse(*modified));
        Ok(files)
    }
}
