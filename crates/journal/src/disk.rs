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
        /// What was written since, in order.
        unsynced: Vec<(usize, Vec<u8>)>,
        /// The end of what is set aside.
        reserved: u64,
        capacity: u64,
        reserves: Reserved,
    }

    /// What a power loss leaves of a write that was not synced.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Kept {
        All,
        /// Only so many bytes of it.
        Part(usize),
        /// Nothing; where a later write was kept, there are zeros.
        Nothing,
    }

    impl State {
        fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
            let end = offset + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[offset..end].copy_from_slice(written);
        }
    }

    impl FakeDisk {
        pub(crate) fn new(capacity: u64, reserves: Reserved) -> Self {
            Self(Arc::new(Mutex::new(State {
                bytes: Vec::new(),
                synced: Vec::new(),
                unsynced: Vec::new(),
                reserved: 0,
                capacity,
                reserves,
            })))
        }

        /// One that holds this, as after a start of the machine.
        fn holding(bytes: Vec<u8>, reserves: Reserved) -> Self {
            let disk = Self::new(u64::MAX, reserves);
            {
                let mut state = disk.0.lock().unwrap();
                state.synced.clone_from(&bytes);
                state.bytes = bytes;
            }
            disk
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
            Self::holding(bytes, state.reserves)
        }

        /// The same if writes reach the disk in any order: of each that was not synced, what `kept` says.
        pub(crate) fn crash_in_disorder(&self, mut kept: impl FnMut() -> Kept) -> Self {
            let state = self.0.lock().unwrap();
            let mut bytes = state.synced.clone();
            for (offset, written) in &state.unsynced {
                let length = match kept() {
                    Kept::All => written.len(),
                    Kept::Part(length) => length.min(written.len()),
                    Kept::Nothing => continue,
                };
                State::put(&mut bytes, *offset, &written[..length]);
            }
            Self::holding(bytes, state.reserves)
        }
    }

    impl Disk for FakeDisk {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            let limit = state.capacity.max(state.reserved);
            let fits = usize::try_from(limit.saturating_sub(offset))
                .unwrap()
                .min(bytes.len());
            let offset = usize::try_from(offset).unwrap();
            State::put(&mut state.bytes, offset, &bytes[..fits]);
            state.unsynced.push((offset, bytes[..fits].to_vec()));
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

        /// File systems keep the order of this and of what is written beyond the new end, so it is kept like something
        /// synced.
        fn truncate(&self, length: u64) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.reserved = 0;
            let length = usize::try_from(length).unwrap();
            state.bytes.truncate(length);
            state.synced.truncate(length);
            for (offset, written) in &mut state.unsynced {
                written.truncate(length.saturating_sub(*offset));
            }
            state.unsynced.retain(|(_, written)| !written.is_empty());
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.synced = state.bytes.clone();
            state.unsynced.clear();
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
