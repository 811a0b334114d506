//! A writer that counts.

use std::{
    cell::Cell,
    io::{self, Write},
    rc::Rc,
};

/// How much has been written, seen from outside of the writers around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Rc<Cell<u64>>);

impl Count {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.get()
    }
}

/// Writes up to a limit, then fails.
#[derive(Debug)]
pub(crate) struct Limited<W> {
    inner: W,
    limit: u64,
    count: Count,
}

impl<W> Limited<W> {
    pub(crate) fn new(inner: W, limit: u64) -> (Self, Count) {
        let count = Count::default();
        let limited = Self {
            inner,
            limit,
            count: count.clone(),
        };
        (limited, count)
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.count.bytes() + bytes.len() as u64 > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.inner.write(bytes)?;
        self.count.0.set(self.count.bytes() + written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
