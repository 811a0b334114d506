//! The journal on a real file system.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod follow;
mod model;
mod store;

use std::path::Path;

use journal::{LogName, Reader, Seq};

fn name(name: &str) -> LogName {
    LogName::new(name).unwrap()
}

/// Everything that `reader` finds now.
fn drain(reader: &mut Reader<String>) -> Vec<(Seq, String)> {
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(3, 1000).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

/// The names of the files in a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}
