//! One sweep: ends what tools started and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::watch::KILL_BOUND;
use crate::{
    Pid, SweepReport,
    proc::{Table, environment_has, sets},
};

/// A sweep under way.
pub(super) struct Sweep {
    id: u64,
    marks: Vec<String>,
    /// From here on SIGKILL.
    kill_from: Instant,
    /// Whom it has signalled, with the start time that tells a process from a later one of the same number.
    met: BTreeMap<Pid, u64>,
    ended: u32,
    killed: bool,
}

/// What a look found.
pub(super) enum Look {
    /// There are processes to end, and they were signalled.
    Busy,
    /// None were seen, which isn't yet a proof.
    Empty,
    /// It has taken too long.
    Late(SweepReport),
}

impl Sweep {
    pub(super) fn new(id: u64, grace: Duration, marks: Vec<String>) -> Self {
        // A grace that the clock can't hold is one without end in sight; a day is that too.
        let grace = grace.min(Duration::from_secs(24 * 60 * 60));
        Self {
            id,
            marks,
            kill_from: Instant::now() + grace,
            met: BTreeMap::new(),
            ended: 0,
            killed: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// One look, and the signals that follow from it.
    pub(super) fn look(&mut self, table: &Table, own: Pid, cli: Pid) -> Look {
        let targets = self.targets(table, own, cli);
        if !targets.is_empty() {
            self.signal(table, &targets);
        }
        if self.is_late() {
            return Look::Late(self.report(&Vec::from_iter(targets)));
        }
        match targets.is_empty() {
            true => Look::Empty,
            false => Look::Busy,
        }
    }

    /// Whether there's nothing to end in this table.
    pub(super) fn is_empty(&self, table: &Table, own: Pid, cli: Pid) -> bool {
        self.targets(table, own, cli).is_empty()
    }

    /// Whether the grace is over; from then on orphans may be hunted, which is noted as killing.
    pub(super) fn may_kill(&mut self) -> bool {
        let may = Instant::now() >= self.kill_from;
        self.killed |= may;
        may
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.kill_from + KILL_BOUND
    }

    /// What the sweep came to, with `left` still there.
    pub(super) fn report(&self, left: &[Pid]) -> SweepReport {
        let survivors: Vec<Pid> = left
            .iter()
            .copied()
            .filter(|pid| self.met.contains_key(pid))
            .collect();
        let ended = self
            .ended
            .saturating_sub(u32::try_from(survivors.len()).unwrap_or(u32::MAX));
        SweepReport {
            ended,
            survivors,
            killed: self.killed,
        }
    }

    fn signal(&mut self, table: &Table, targets: &BTreeSet<Pid>) {
        let fresh: Vec<Pid> = targets
            .iter()
            .copied()
            .filter(|pid| self.meet(table, *pid))
            .collect();
        if self.may_kill() {
            table.kill(targets);
        } else {
            for pid in fresh {
                pid.signal(Signal::SIGTERM);
            }
        }
    }

    /// Notes a process; whether it's a new one.
    fn meet(&mut self, table: &Table, pid: Pid) -> bool {
        let started = table.get(pid).map_or(0, |entry| entry.started);
        let fresh = self.met.insert(pid, started) != Some(started);
        self.ended += u32::from(fresh);
        fresh
    }

    /// Orphans that came to us, processes below us with one of the marks, and the descendants of both; never the CLI.
    fn targets(&self, table: &Table, own: Pid, cli: Pid) -> BTreeSet<Pid> {
        let orphans: Vec<Pid> = table.children(own).filter(|pid| *pid != cli).collect();
        let below = if self.marks.is_empty() {
            BTreeSet::new()
        } else {
            table.closure([cli], own)
        };
        let marked = below
            .into_iter()
            .filter(|pid| *pid != cli && self.is_marked(*pid));
        table.closure(orphans.into_iter().chain(marked), cli)
    }

    fn is_marked(&self, pid: Pid) -> bool {
        environment_has(pid, |entry| self.marks.iter().any(|mark| sets(entry, mark)))
    }
}
