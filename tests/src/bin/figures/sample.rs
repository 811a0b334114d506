//! Measured times and how they are told.

use std::{fmt, time::Duration};

/// One line of the table.
pub(crate) struct Row {
    figure: &'static str,
    value: String,
    how: String,
}

impl Row {
    /// A line.
    pub(crate) fn new(
        figure: &'static str,
        value: impl Into<String>,
        how: impl Into<String>,
    ) -> Self {
        Self {
            figure,
            value: value.into(),
            how: how.into(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {} |", self.figure, self.value, self.how)
    }
}

/// Measured times.
#[derive(Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// Adds a time.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds the time between two stamps of [`testkit::clock`].
    pub(crate) fn push_between(&mut self, from: u64, until: u64) {
        self.push(Duration::from_micros(until.saturating_sub(from)));
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

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}
