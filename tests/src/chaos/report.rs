//! The table at the end.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{Campaign, Kind, Outcome};

/// What became of all runs.
#[derive(Clone, Debug)]
pub struct Report {
    campaign: Campaign,
    runs: u64,
    failed: Vec<u64>,
    turns: usize,
    callbacks: usize,
    seconds: f64,
    slowest_exit: Duration,
    injected: BTreeMap<String, u64>,
    ends: BTreeMap<String, u64>,
    found: BTreeMap<Kind, u64>,
}

impl Report {
    pub(super) fn new(campaign: Campaign) -> Self {
        Self {
            campaign,
            runs: 0,
            failed: Vec::new(),
            turns: 0,
            callbacks: 0,
            seconds: 0.0,
            slowest_exit: Duration::ZERO,
            injected: BTreeMap::new(),
            ends: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.turns += outcome.turns;
        self.callbacks += outcome.callbacks;
        self.seconds += outcome.took.as_secs_f64();
        self.slowest_exit = self.slowest_exit.max(outcome.slowest_exit);
        let add = |to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>| {
            for (name, count) in from {
                *to.entry(name.clone()).or_default() += count;
            }
        };
        add(&mut self.injected, &outcome.injected);
        add(&mut self.ends, &outcome.ends);
        for finding in &outcome.findings {
            *self.found.entry(finding.kind).or_default() += 1;
        }
        if !outcome.findings.is_empty() {
            self.failed.push(outcome.seed);
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, count: u64| {
            writeln!(f, "| {name:<44} | {count:>8} |")
        };
        let head = |f: &mut fmt::Formatter<'_>, title: &str| {
            writeln!(
                f,
                "\n| {title:<44} |    count |\n|{}|---------:|",
                "-".repeat(46)
            )
        };
        let Campaign { seed, cli, .. } = self.campaign;
        writeln!(f, "chaos, {cli:?}: seed {seed}, {} runs", self.runs)?;
        head(f, "injected")?;
        for (name, count) in &self.injected {
            row(f, name, *count)?;
        }
        head(f, "seen")?;
        row(f, "runs", self.runs)?;
        row(f, "turns", self.turns as u64)?;
        for (name, count) in &self.ends {
            row(f, &format!("  {name}"), *count)?;
        }
        row(f, "callbacks", self.callbacks as u64)?;
        head(f, "found")?;
        for kind in Kind::ALL {
            row(f, kind.title(), self.found.get(&kind).copied().unwrap_or(0))?;
        }
        writeln!(
            f,
            "\n{:.1} s per run; the slowest exit after SIGTERM took {:.1} s",
            self.seconds / self.runs.max(1) as f64,
            self.slowest_exit.as_secs_f64()
        )?;
        if !self.failed.is_empty() {
            writeln!(f, "failed: {:?}", self.failed)?;
        }
        Ok(())
    }
}
