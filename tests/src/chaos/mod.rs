//! Runs in which everything goes wrong at once, and the proof that nothing was lost, leaked or left running.
//!
//! A [`Plan`] is drawn from a seed: turns of both agents, and what happens to them meanwhile. [`play`] performs it with a
//! real executor on a disk of its own. Then it judges by what it has seen itself: the callbacks as the front end would
//! merge them (`testkit::oracle`) against what the model, or the fake CLI, noted to have said; `/proc` by a scan of its
//! own; every file for secrets. Neither the journal nor the supervisor is asked.
//!
//! The same seed gives the same plan. When exactly a kill hits is up to the machine, so a run that failed may have to be
//! repeated a few times to fail again.

mod judge;
mod plan;
mod report;
mod scan;
mod stage;
mod truth;

use tokio::task::JoinSet;

pub use judge::{Finding, Kind};
pub use plan::{Cli, Plan};
pub use report::Report;
pub use stage::{Outcome, Plant, play};

/// A number of runs.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first run's seed; the next ones count up.
    pub seed: u64,
    /// How many runs.
    pub runs: u64,
    /// How many at the same time.
    pub jobs: usize,
    /// Who plays the agents.
    pub cli: Cli,
}

impl Campaign {
    /// Plays all runs. `told` gets each run's seed and what became of it.
    pub async fn play(self, mut told: impl FnMut(u64, &Outcome)) -> Report {
        let mut report = Report::new(self);
        let mut running = JoinSet::new();
        let mut seeds = self.seed..self.seed.saturating_add(self.runs);
        loop {
            while running.len() < self.jobs
                && let Some(seed) = seeds.next()
            {
                running.spawn(one(seed, self.cli));
            }
            let Some(ended) = running.join_next().await else {
                return report;
            };
            let (seed, outcome) = ended.expect("a run's failure is part of its outcome");
            told(seed, &outcome);
            report.add(&outcome);
        }
    }
}

/// A run that breaks is a finding, too.
async fn one(seed: u64, cli: Cli) -> (u64, Outcome) {
    let plan = Plan::draw(seed, cli);
    let mut apart = JoinSet::new();
    apart.spawn(async move { play(&plan, None).await });
    let ended = apart.join_next().await.expect("one was started");
    let outcome = ended.unwrap_or_else(|broken| Outcome::broken(seed, &broken.to_string()));
    (seed, outcome)
}
