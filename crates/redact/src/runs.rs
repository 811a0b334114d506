//! Runs of covered bytes.

use std::ops::Range;

/// Adds a run that begins no earlier than those before it.
pub(crate) fn add(runs: &mut Vec<Range<usize>>, run: Range<usize>) {
    match runs.last_mut() {
        Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
        _ => runs.push(run),
    }
}

/// The runs of both, in order.
pub(crate) fn merged(one: Vec<Range<usize>>, other: Vec<Range<usize>>) -> Vec<Range<usize>> {
    if other.is_empty() {
        return one;
    }
    if one.is_empty() {
        return other;
    }
    let mut all = one;
    all.extend(other);
    all.sort_unstable_by_key(|run| run.start);
    let mut merged = Vec::with_capacity(all.len());
    for run in all {
        add(&mut merged, run);
    }
    merged
}
