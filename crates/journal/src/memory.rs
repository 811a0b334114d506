//! Records that wait in memory while the disk is full.

use std::{collections::VecDeque, sync::Arc};

use crate::{Seq, frame::HEADER};

/// How many bytes of records are kept in memory while the disk is full.
pub const MEMORY_LIMIT: usize = 16 * 1024 * 1024;

/// Whole frames in order, each with a sequence number above all that are on disk.
#[derive(Debug, Default)]
pub(crate) struct MemoryTail {
    frames: VecDeque<(Seq, Arc<[u8]>)>,
    bytes: usize,
}

impl MemoryTail {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a frame of this length can be taken.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.bytes + length <= MEMORY_LIMIT
    }

    pub(crate) fn push(&mut self, seq: Seq, frame: &[u8]) {
        self.bytes += frame.len();
        self.frames.push_back((seq, frame.into()));
    }

    pub(crate) fn front(&self) -> Option<(Seq, Arc<[u8]>)> {
        self.frames.front().cloned()
    }

    /// Forgets the records up to `through`.
    pub(crate) fn release(&mut self, through: Seq) {
        let kept = self.frames.partition_point(|(seq, _)| *seq <= through);
        self.bytes -= self
            .frames
            .drain(..kept)
            .map(|(_, frame)| frame.len())
            .sum::<usize>();
    }

    /// The records after `seen`: as many as fit into the limits, but at least one if there is any.
    pub(crate) fn after(
        &self,
        seen: Seq,
        max_records: usize,
        max_bytes: usize,
    ) -> Vec<(Seq, Arc<[u8]>)> {
        let mut bytes = 0;
        let mut first = true;
        let start = self.frames.partition_point(|(seq, _)| *seq <= seen);
        self.frames
            .range(start..)
            .take(max_records)
            .take_while(|(_, frame)| {
                bytes += frame.len() - HEADER;
                std::mem::take(&mut first) || bytes <= max_bytes
            })
            .cloned()
            .collect()
    }
}
