//! Reads records from a log's file, many at a time.

use std::io;

use crate::{
    disk::Disk,
    frame::{HEADER, Header, MAX_RECORD},
};

/// How much is read at once, unless a record is larger.
const CHUNK: usize = 64 * 1024;

/// A part of the file in memory. What was committed never changes, so it can't be out of date.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: u64,
}

/// What lies at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A record as it was written.
    Whole(Header, &'a [u8]),
    /// The end of the file lies within a record, or right after one that is not as it was written.
    Torn,
    /// No record, or not as it was written, though the file goes on.
    Damaged,
}

impl Window {
    /// What lies at `offset` of a file that ends at `end`, which is beyond `offset`.
    pub(crate) fn frame_at(
        &mut self,
        disk: &dyn Disk,
        offset: u64,
        end: u64,
    ) -> io::Result<Found<'_>> {
        let left = usize::try_from(end - offset).map_err(io::Error::other)?;
        if left < HEADER {
            return Ok(Found::Torn);
        }
        let header = Header::parse(self.get(disk, offset, HEADER, left)?);
        if header.length as usize > MAX_RECORD {
            return Ok(Found::Damaged);
        }
        let length = header.frame_len();
        if length > left {
            return Ok(Found::Torn);
        }
        let payload = &self.get(disk, offset, length, left)?[HEADER..];
        Ok(match header.matches(payload) {
            true => Found::Whole(header, payload),
            false if length == left => Found::Torn,
            false => Found::Damaged,
        })
    }

    /// `length` bytes at `offset`, reading ahead within the `left` bytes that the file has.
    fn get(
        &mut self,
        disk: &dyn Disk,
        offset: u64,
        length: usize,
        left: usize,
    ) -> io::Result<&[u8]> {
        let known = offset
            .checked_sub(self.start)
            .and_then(|at| usize::try_from(at).ok());
        let at = match known {
            Some(at) if at + length <= self.bytes.len() => at,
            _ => {
                let size = length.max(CHUNK).min(left);
                self.start = offset;
                self.bytes.resize(size, 0);
                // One large record must not keep its memory for the life of a reader.
                self.bytes.shrink_to(size.max(CHUNK));
                if let Err(error) = disk.read_exact_at(&mut self.bytes, offset) {
                    self.bytes.clear();
                    return Err(error);
                }
                0
            }
        };
        Ok(&self.bytes[at..at + length])
    }
}
