//! A folder of logs under one owner.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{
    JournalError, LogName, StoreError, TurnLog, disk::Disk, frame::MAGIC, log::Shared, name::Part,
};

/// The lock's file name. No log's file can have it: those have an extension.
const LOCK: &str = "lock";

/// A folder of logs. Cheap to clone; clones are the same store.
///
/// The folder is locked until the last clone, and the last log opened through it, is gone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    /// Logs that are open in this process.
    open: Mutex<HashMap<LogName, Open>>,
    /// Held while a log is opened to be shared, so that of two who ask for it one finds it open.
    attaching: Mutex<()>,
    leases: AtomicU64,
    /// The kernel gives the lock free when the process dies, however it dies.
    _lock: Flock<File>,
}

/// A log that is open, or is being opened.
#[derive(Debug)]
struct Open {
    /// Which lease it is, so that one that ends late doesn't take another's place away.
    lease: u64,
    /// Nothing while it is being opened.
    shared: Option<Weak<Shared>>,
}

impl Open {
    /// Whether it is only being closed.
    fn has_gone(&self) -> bool {
        let shared = self.shared.as_ref();
        shared.is_some_and(|shared| shared.strong_count() == 0)
    }
}

/// Keeps a log from being opened twice, and the store locked.
pub(crate) struct Lease {
    inner: Arc<Inner>,
    name: LogName,
    number: u64,
}

impl Store {
    /// Opens the folder `root`, making it (0700) if it is missing, and locks it. Finishes what a crash left half
    /// done.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if it has an owner; nothing is touched then. [`StoreError::Io`] if it can't be used.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(failed("create", root))?;
        let path = root.join(LOCK);
        let file = private()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Err(StoreError::Locked { path }),
            Err((_, errno)) => return Err(failed("lock", &path)(errno.into())),
        };
        let inner = Inner {
            root: root.to_owned(),
            open: Mutex::default(),
            attaching: Mutex::default(),
            leases: AtomicU64::new(0),
            _lock: lock,
        };
        let store = Self {
            inner: Arc::new(inner),
        };
        store.tidy()?;
        Ok(store)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Makes a new log and sets disk space aside for its end.
    ///
    /// # Errors
    /// [`JournalError::Exists`] if there is, or was, one of that name. [`JournalError::Io`] or
    /// [`JournalError::Full`] if the disk refuses; there is no log then.
    pub fn create<R>(&self, name: &LogName) -> Result<TurnLog<R>, JournalError> {
        let lease = self.lease(name)?;
        if self.path(name, Part::Tombstone).exists() {
            return Err(JournalError::Exists(name.clone()));
        }
        let path = self.path(name, Part::Log);
        let file =
            private()
                .create_new(true)
                .open(&path)
                .map_err(|source| match source.kind() {
                    io::ErrorKind::AlreadyExists => JournalError::Exists(name.clone()),
                    _ => JournalError::Io {
                        name: name.clone(),
                        action: "create",
                        source,
                    },
                })?;
        let made = self.begin(name, file, lease);
        if made.is_err() {
            // Best effort: what stays is an empty log, as after a crash.
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(self.path(name, Part::Cursor));
        }
        made
    }

    fn begin<R>(
        &self,
        name: &LogName,
        file: File,
        lease: Lease,
    ) -> Result<TurnLog<R>, JournalError> {
        let failed = |source| JournalError::Io {
            name: name.clone(),
            action: "create",
            source,
        };
        Disk::write_all_at(&file, MAGIC, 0).map_err(failed)?;
        let cursor = private()
            .create(true)
            .truncate(true)
            .open(self.path(name, Part::Cursor))
            .map_err(failed)?;
        let shared = Shared::open(
            name.clone(),
            Box::new(file),
            Box::new(cursor),
            Some(lease),
            |_| Ok(()),
        )?;
        let log = self.opened(shared);
        log.writer()?.reserve_for_last()?;
        Ok(log)
    }

    /// Opens a log that was made before. Cuts an end that is no whole record, see
    /// [`TurnLog::recovery`].
    ///
    /// # Errors
    /// [`JournalError::Missing`] if there is none, [`JournalError::Open`] if it is open, [`JournalError::Format`]
    /// if it is no log, [`JournalError::Io`] if the disk fails.
    pub fn open_log<R>(&self, name: &LogName) -> Result<TurnLog<R>, JournalError> {
        let failed = |source| JournalError::Io {
            name: name.clone(),
            action: "open",
            source,
        };
        let lease = self.lease(name)?;
        let file = private()
            .open(self.path(name, Part::Log))
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => JournalError::Missing(name.clone()),
                _ => failed(source),
            })?;
        let cursor = self.path(name, Part::Cursor);
        let cursor = private()
            .create(true)
            .truncate(false)
            .open(cursor)
            .map_err(failed)?;
        let aside = |bytes: &[u8]| self.keep_aside(name, bytes);
        let shared = Shared::open(
            name.clone(),
            Box::new(file),
            Box::new(cursor),
            Some(lease),
            aside,
        )?;
        let log = self.opened(shared);
        if let Some(cut) = log.recovery().cut {
            let (offset, bytes) = (cut.offset, cut.bytes);
            if cut.torn {
                tracing::warn!(log = %name, offset, bytes, "cut a torn record off the log");
            } else {
                tracing::error!(log = %name, offset, bytes, "cut a damaged end off the log");
            }
        }
        Ok(log)
    }

    /// A log that was made before, open or not: what is open is shared, else it is opened as by
    /// [`open_log`](Self::open_log). For readers beside the log's owner.
    ///
    /// # Errors
    /// As [`open_log`](Self::open_log); [`JournalError::Open`] only while somebody else is opening it.
    pub fn attach<R>(&self, name: &LogName) -> Result<TurnLog<R>, JournalError> {
        let attaching = &self.inner.attaching;
        let _one_at_a_time = attaching.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self
            .inner
            .open()
            .get(name)
            .and_then(|open| open.shared.clone());
        match open.and_then(|shared| shared.upgrade()) {
            Some(shared) => Ok(TurnLog::of(shared)),
            None => self.open_log(name),
        }
    }

    /// The logs there are, by name.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the folder can't be read.
    pub fn existing(&self) -> Result<Vec<LogName>, StoreError> {
        self.names(Part::Log)
    }

    /// Removes a log with all that belongs to it, its tombstone too.
    ///
    /// # Errors
    /// [`StoreError::Open`] if it is open, [`StoreError::Io`] if a file can't be removed.
    pub fn remove(&self, name: &LogName) -> Result<(), StoreError> {
        if self.is_open(name) {
            return Err(StoreError::Open(name.clone()));
        }
        self.remove_log(name)?;
        self.remove_part(name, Part::Tombstone)
    }

    /// Removes a log, not its tombstone. Whatever order a crash cuts short, [`tidy`](Self::tidy) ends it.
    pub(crate) fn remove_log(&self, name: &LogName) -> Result<(), StoreError> {
        [Part::Log, Part::Cursor, Part::Damaged]
            .into_iter()
            .try_for_each(|part| self.remove_part(name, part))
    }

    pub(crate) fn remove_part(&self, name: &LogName, part: Part) -> Result<(), StoreError> {
        let path = self.path(name, part);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self, name: &LogName, part: Part) -> PathBuf {
        self.inner.root.join(name.file(part))
    }

    /// The logs that have a file for `part`, by name.
    pub(crate) fn names(&self, part: Part) -> Result<Vec<LogName>, StoreError> {
        let files = self.files()?.into_iter();
        Ok(files
            .filter(|(_, of)| *of == part)
            .map(|(name, _)| name)
            .collect())
    }

    pub(crate) fn is_open(&self, name: &LogName) -> bool {
        self.inner.open().contains_key(name)
    }

    fn lease(&self, name: &LogName) -> Result<Lease, JournalError> {
        let mut open = self.inner.open();
        if open.get(name).is_some_and(|open| !open.has_gone()) {
            return Err(JournalError::Open(name.clone()));
        }
        let number = self.inner.leases.fetch_add(1, Ordering::Relaxed);
        let opening = Open {
            lease: number,
            shared: None,
        };
        open.insert(name.clone(), opening);
        Ok(Lease {
            inner: Arc::clone(&self.inner),
            name: name.clone(),
            number,
        })
    }

    /// The log that `shared` is, for others to find.
    fn opened<R>(&self, shared: Shared) -> TurnLog<R> {
        let shared = Arc::new(shared);
        if let Some(open) = self.inner.open().get_mut(&shared.name) {
            open.shared = Some(Arc::downgrade(&shared));
        }
        TurnLog::of(shared)
    }

    fn keep_aside(&self, name: &LogName, bytes: &[u8]) -> io::Result<()> {
        private()
            .create(true)
            .append(true)
            .open(self.path(name, Part::Damaged))?
            .write_all(bytes)
    }

    /// Ends what a crash cut short: burials, and removals that left a part.
    fn tidy(&self) -> Result<(), StoreError> {
        let files = self.files()?;
        let has =
            |name: &LogName, part: Part| files.iter().any(|(of, is)| of == name && *is == part);
        for (name, part) in &files {
            let orphan = match part {
                Part::NewTombstone => true,
                Part::Log => has(name, Part::Tombstone),
                Part::Cursor | Part::Damaged => has(name, Part::Tombstone) || !has(name, Part::Log),
                Part::Tombstone => false,
            };
            if orphan {
                self.remove_part(name, *part)?;
            }
        }
        Ok(())
    }

    /// The files of all logs, by name.
    fn files(&self) -> Result<Vec<(LogName, Part)>, StoreError> {
        let root = self.root();
        let mut files = Vec::new();
        for entry in fs::read_dir(root).map_err(failed("read", root))? {
            let file = entry.map_err(failed("read", root))?.file_name();
            files.extend(file.to_str().and_then(LogName::of_file));
        }
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(files)
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, HashMap<LogName, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Makes the log's name outlive a power loss.
    pub(crate) fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.inner.root)?.sync_all()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = self.inner.open();
        let own = open.get(&self.name);
        if own.is_some_and(|open| open.lease == self.number) {
            open.remove(&self.name);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.name).finish()
    }
}

/// How files are opened: read, written, and nobody else's.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Says what failed with which file.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
