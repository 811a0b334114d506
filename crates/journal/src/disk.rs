//! The few things a log does with its file, so that tests can fill the disk and lose what was not synced.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};

/// A file of a log.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file and gives back what was reserved beyond its end.
    fn truncate(&self, length: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    /// Sets disk space aside for these bytes without changing the file's length.
    fn reserve(&self, offset: u64, length: u64) -> io::Result<Reserved>;
}

/// Whether space could be set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    Yes,
    /// The file system doesn't do that.
    Unsupported,
}

impl Disk for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let metadata = self.metadata()?;
        let room = metadata.blocks() * BLOCK_UNIT;
        if metadata.len() == length && room <= length.next_multiple_of(PAGE) {
            // There is nothing to give back, and the file keeps the time of its last change: by that it is kept or goes.
            return Ok(());
        }
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn reserve(&self, offset: u64, length: u64) -> io::Result<Reserved> {
        let signed = |number: u64| i64::try_from(number).map_err(io::Error::other);
        match fallocate(
            self,
            FallocateFlags::FALLOC_FL_KEEP_SIZE,
            signed(offset)?,
            signed(length)?,
        ) {
            Ok(()) => Ok(Reserved::Yes),
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(Reserved::Unsupported),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// In what a file's room on disk is counted, in bytes.
const BLOCK_UNIT: u64 = 512;
/// What file systems usually give room in, in bytes.
const PAGE: u64 = 4096;

/// Whether it failed for lack of space, so that it may work later.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
pub(crate) mod fake {
    //! A file in memory on a disk of limited size, which forgets what was not synced when it crashes.

    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Debug)]
    pub(crate) struct FakeDisk(Arc<Mutex<State>>);

    #[derive(Debug)]
    struct State {
        bytes: Vec<u8>,
        synced: Vec<u8>,
        /// The end of what is set aside.
        reserved: u64,
        capacity: u64,
        reserves: Reserved,
    }

    impl FakeDisk {
        pub(crate) fn new(capacity: u64, reserves: Reserved) -> Self {
            Self(Arc::new(Mutex::new(State {
                bytes: Vec::new(),
                synced: Vec::new(),
                reserved: 0,
                capacity,
                reserves,
            })))
        }

        pub(crate) fn set_capacity(&self, capacity: u64) {
            self.0.lock().unwrap().capacity = capacity;
        }

        /// What a power loss leaves: what was synced, and of the rest only `kept` bytes.
        pub(crate) fn crash(&self, kept: usize) -> Self {
            let state = self.0.lock().unwrap();
            let mut bytes = state.synced.clone();
            let rest = state.bytes.get(bytes.len()..).unwrap_or_default();
            bytes.extend_from_slice(&rest[..kept.min(rest.len())]);
            let crashed = Self::new(u64::MAX, state.reserves);
            crashed.0.lock().unwrap().bytes = bytes;
            crashed
        }
    }

    impl Disk for FakeDisk {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            let limit = state.capacity.max(state.reserved);
            let fits = usize::try_from(limit.saturating_sub(offset))
                .unwrap()
                .min(bytes.len());
            let end = usize::try_from(offset).unwrap() + fits;
            if state.bytes.len() < end {
                state.bytes.resize(end, 0);
            }
            state.bytes[end - fits..end].copy_from_slice(&bytes[..fits]);
            if fits < bytes.len() {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        }

        fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            let state = self.0.lock().unwrap();
            let offset = usize::try_from(offset).unwrap();
            let from = state.bytes.get(offset..offset + bytes.len());
            bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().bytes.len() as u64)
        }

        fn truncate(&self, length: u64) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.reserved = 0;
            state.bytes.truncate(usize::try_from(length).unwrap());
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.synced = state.bytes.clone();
            Ok(())
        }

        fn reserve(&self, offset: u64, length: u64) -> io::Result<Reserved> {
            let mut state = self.0.lock().unwrap();
            if state.reserves == Reserved::Unsupported {
                return Ok(Reserved::Unsupported);
            }
            if offset + length > state.capacity.max(state.reserved) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.reserved = state.reserved.max(offset + length);
            Ok(Reserved::Yes)
        }
    }
}
