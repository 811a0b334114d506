//! The fault suite in its short form, and whether it sees what it is there to see.

use std::time::Duration;

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
    assert!(outcome.took < Duration::from_secs(60));
    let mut kinds: Vec<Kind> = outcome.findings.iter().map(|found| found.kind).collect();
    if plant.is_none() {
        assert_eq!(kinds, [], "{:#?}\n{}", outcome.findings, outcome.evidence);
    }
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_planted_loss_is_found_and_nothing_without_one() {
    assert_eq!(found(None).await, []);
    assert!(found(Some(Plant::Loss)).await.contains(&Kind::Lost));
}

#[tokio::test]
#[ignore = "a planted duplicate is not told as one yet; the others have not been tried"]
async fn every_other_plant_is_found() {
    assert!(
        found(Some(Plant::Duplicate))
            .await
            .contains(&Kind::Duplicate)
    );
    assert_eq!(found(Some(Plant::Leak)).await, [Kind::Leak]);
    assert!(found(Some(Plant::LeakToSink)).await.contains(&Kind::Leak));
    assert_eq!(found(Some(Plant::Survivor)).await, [Kind::Survivor]);
}
