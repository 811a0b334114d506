//! How often a snapshot is sent.
//!
//! Up to 250 KB a snapshot is followed by the next one so that about 100 KB are sent in a second. Beyond that it is the
//! time that is kept, not the rate: somebody watches, and a second callback is never more than 3 s after the first,
//! sending included. An answer of 1 MB costs up to 400 KB in a second then.

use std::time::Duration;

use super::super::Rest;

/// The least time between two messages; what is recorded meanwhile makes one.
pub(super) const LEAST_REST: Duration = Duration::from_millis(250);
/// The longest time between the beginnings of two snapshots, however large they are; sending a large one takes its time.
const LONGEST_REST: Duration = Duration::from_millis(2500);
/// How many bytes of snapshots are sent in a second, up to the longest rest.
const BYTES_PER_SECOND: u64 = 100_000;

/// The larger a snapshot, the longer until the next one.
pub(super) fn rest_after(bytes: usize) -> Rest {
    let millis = bytes as u64 * 1000 / BYTES_PER_SECOND;
    Rest {
        increment: LEAST_REST,
        snapshot: Duration::from_millis(millis).clamp(LEAST_REST, LONGEST_REST),
    }
}
