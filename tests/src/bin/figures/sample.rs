//! Measured times and how they are told.

use std::{fmt, time::Duration};

use crate::sink::Post;
use testkit::clock;

/// One line of the table.
pub(crate) struct Row {
    figure: String,
    value: String,
    target: &'static str,
    limit: String,
    how: String,
}

impl Row {
    /// A line without a target.
    pub(crate) fn new(
        figure: impl Into<String>,
        value: impl Into<String>,
        how: impl Into<String>,
    ) -> Self {
        Self {
            figure: figure.into(),
            value: value.into(),
            target: "",
            limit: String::new(),
            how: how.into(),
        }
    }

    /// The same with what is aimed at.
    pub(crate) fn target(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    /// The same with what the copier needs for it.
    pub(crate) fn limit(mut self, limit: impl Into<String>) -> Self {
        self.limit = limit.into();
        self
    }
}

/// The table's first two lines.
pub(crate) const HEAD: &str = "| Figure | Value | Target | Copier | How |\n|---|---|---|---|---|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            figure,
            value,
            target,
            limit,
            how,
        } = self;
        write!(f, "| {figure} | {value} | {target} | {limit} | {how} |")
    }
}

/// Measured times.
#[derive(Clone, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// How long each of `count` deltas took from its writing, by the stamps in it, to its arrival. Every delta ends with a
    /// blank, and may come in several requests. (What the copier sends repeats the answer after its deltas.)
    pub(crate) fn of_deltas(posts: &[Post], count: usize) -> Self {
        let mut times = Self::default();
        let mut open = String::new();
        for post in posts {
            open.push_str(&post.text);
            let Some(end) = open.rfind(' ') else { continue };
            for written in clock::stamps_in(&open[..end]) {
                times.push_between(written, post.arrived);
            }
            open.drain(..=end);
        }
        times.0.truncate(count);
        times
    }

    /// Adds a time.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds the time between two stamps of [`testkit::clock`].
    pub(crate) fn push_between(&mut self, from: u64, until: u64) {
        self.push(Duration::from_micros(until.saturating_sub(from)));
    }

    /// Adds what another has.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// These percentiles (nearest rank) in milliseconds, and the largest time; the time itself if there is only one.
    pub(crate) fn tell(&self, percents: &[usize]) -> String {
        let mut sorted = self.0.clone();
        sorted.sort();
        let Some(last) = sorted.last() else {
            return "nothing was measured".to_owned();
        };
        if sorted.len() == 1 {
            return format!("{} ms", millis(*last));
        }
        let told = percents.iter().map(|percent| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            format!("p{percent} {}", millis(sorted[rank - 1]))
        });
        let told: Vec<String> = told.collect();
        format!("{}, max {} ms", told.join(", "), millis(*last))
    }
}

/// A time in milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}
