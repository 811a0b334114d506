//! The fault suite: a number of runs in which everything goes wrong, and a table of what was found. Ends with status 1 if
//! anything was.
//!
//! `chaos [--seed N] [--runs N] [--jobs N] [--cli fake|codex|claude]`. What helps to understand a finding is written into
//! `target/chaos/`.

use std::{
    fs, io,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use wegent_executor_tests::chaos::{Campaign, Cli, Outcome};

const USAGE: &str = "usage: chaos [--seed N] [--runs N] [--jobs N] [--cli fake|codex|claude]";

fn main() -> ExitCode {
    let Some(campaign) = campaign(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the machine has threads");
    println!("seed {}, {} runs", campaign.seed, campaign.runs);
    let mut done = 0;
    let report = runtime.block_on(campaign.play(|seed, outcome| {
        done += 1;
        if done % 50 == 0 {
            println!("{done} runs");
        }
        for finding in &outcome.findings {
            println!("seed {seed}: {:?}: {}", finding.kind, finding.what);
        }
        if !outcome.findings.is_empty() {
            println!("seed {seed}: injected {:?}", outcome.injected);
            if let Err(error) = keep(seed, outcome) {
                eprintln!("seed {seed}: {error}");
            }
        }
    }));
    println!("{report}");
    if report.is_clean() {
        return ExitCode::SUCCESS;
    }
    println!("one run again: `make chaos CHAOS_RUNS=1 CHAOS_SEED=<its seed>`");
    ExitCode::FAILURE
}

fn campaign(mut arguments: impl Iterator<Item = String>) -> Option<Campaign> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let mut campaign = Campaign {
        seed: now.as_secs(),
        runs: 100,
        jobs: 4,
        cli: Cli::Fake,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            // Without a value it is ours to choose.
            "--seed" if value.is_empty() => {}
            "--seed" => campaign.seed = value.parse().ok()?,
            "--runs" => campaign.runs = value.parse().ok()?,
            "--jobs" => campaign.jobs = value.parse().ok().filter(|jobs| *jobs > 0)?,
            "--cli" => campaign.cli = named(&value)?,
            _ => return None,
        }
    }
    Some(campaign)
}

fn named(cli: &str) -> Option<Cli> {
    match cli {
        "fake" => Some(Cli::Fake),
        "codex" => Some(Cli::Codex),
        "claude" => Some(Cli::Claude),
        _ => None,
    }
}

fn keep(seed: u64, outcome: &Outcome) -> io::Result<()> {
    let folder = testkit::cli::workspace_root().join("target/chaos");
    fs::create_dir_all(&folder)?;
    let text = format!("{:#?}\n{}", outcome.findings, outcome.evidence);
    fs::write(folder.join(format!("{seed}.txt")), text)
}
