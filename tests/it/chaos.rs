//! The fault suite in its short form, and whether it sees what it is there to see.

use wegent_executor_tests::chaos::{Campaign, Cli, Kind, Plan, Plant, play};

/// Of `make chaos`, which has another seed each time.
const SEED: u64 = 20_260_101;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dozen_runs_in_which_everything_goes_wrong_lose_and_leave_nothing() {
    let campaign = Campaign {
        seed: SEED,
        runs: 12,
        jobs: 4,
        cli: Cli::Fake,
    };
    let report = campaign
        .play(|seed, outcome| {
            for finding in &outcome.findings {
                println!("seed {seed}: {finding:?}\n{}", outcome.evidence);
            }
        })
        .await;
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}

/// Kinds of what is found when this is planted into a run in which nothing else goes wrong.
async fn found(plant: Option<Plant>) -> Vec<Kind> {
    let outcome = play(&Plan::quiet(), plant).await;
    let mut kinds: Vec<Kind> = outcome.findings.iter().map(|found| found.kind).collect();
    if plant.is_none() {
        assert_eq!(kinds, [], "{:#?}\n{}", outcome.findings, outcome.evidence);
    }
    println!("{plant:?}: {:?}", outcome.findings);
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn without_a_plant_nothing_is_found() {
    assert_eq!(found(None).await, []);
}

#[tokio::test]
async fn a_planted_loss_is_found() {
    assert_eq!(found(Some(Plant::Loss)).await, [Kind::Lost]);
}

#[tokio::test]
async fn a_planted_duplicate_is_found() {
    assert_eq!(found(Some(Plant::Duplicate)).await, [Kind::Duplicate]);
}

#[tokio::test]
async fn a_planted_leak_is_found() {
    let (file, sink, halves) = tokio::join!(
        found(Some(Plant::Leak)),
        found(Some(Plant::LeakToSink)),
        found(Some(Plant::LeakInHalves))
    );
    assert_eq!(file, [Kind::Leak]);
    assert!(sink.contains(&Kind::Leak), "{sink:?}");
    assert!(halves.contains(&Kind::Leak), "{halves:?}");
}

#[tokio::test]
async fn a_planted_survivor_is_found() {
    assert_eq!(found(Some(Plant::Survivor)).await, [Kind::Survivor]);
}
