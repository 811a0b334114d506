//! How a record lies on disk and in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest record, in bytes of JSON.
pub const MAX_RECORD: usize = 64 * 1024 * 1024;

/// What every log begins with.
pub(crate) const MAGIC: &[u8; 8] = b"journal1";

/// Bytes of a record before its JSON: length, checksum, sequence number.
pub(crate) const HEADER: usize = 16;

/// The number of a record in its log, from 1 on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    checksum: u32,
    pub(crate) seq: Seq,
}

impl Header {
    /// `bytes` has at least [`HEADER`] bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk().expect("a header has 16 bytes");
        let (checksum, rest) = rest.split_first_chunk().expect("a header has 16 bytes");
        let (seq, _) = rest.split_first_chunk().expect("a header has 16 bytes");
        Self {
            length: u32::from_le_bytes(*length),
            checksum: u32::from_le_bytes(*checksum),
            seq: Seq(u64::from_le_bytes(*seq)),
        }
    }

    /// The record's length with its header.
    pub(crate) fn frame_len(&self) -> usize {
        HEADER + self.length as usize
    }

    /// Whether the record is as it was written.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize
            && self.checksum == checksum(self.length, self.seq, payload)
    }
}

/// Writes the header of the record whose JSON follows in `frame` after [`HEADER`] bytes.
pub(crate) fn seal(frame: &mut [u8], seq: Seq) {
    let (header, payload) = frame.split_at_mut(HEADER);
    let length = u32::try_from(payload.len()).expect("records are far shorter than 4 GiB");
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&checksum(length, seq, payload).to_le_bytes());
    header[8..].copy_from_slice(&seq.0.to_le_bytes());
}

fn checksum(length: u32, seq: Seq, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(&seq.0.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut frame = vec![0; HEADER];
        frame.extend_from_slice(b"{\"a\":1}");
        seal(&mut frame, Seq(7));
        let header = Header::parse(&frame);
        assert!(header.matches(&frame[HEADER..]));
        assert_eq!((header.seq, header.frame_len()), (Seq(7), frame.len()));
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !Header::parse(&flipped).matches(&flipped[HEADER..]),
                "bit {bit}"
            );
        }
    }
}
