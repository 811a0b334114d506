//! Sessions: a conversation with Codex each, with its settings, its queue and its events.

mod session;
mod table;

pub(crate) use session::{Asked, Job, Session};
pub(crate) use table::{Record, Table, TableError};

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
