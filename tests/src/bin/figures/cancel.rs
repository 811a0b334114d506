//! From a cancel to its answer.

use std::time::Duration;

use crate::{
    sample::{Row, Sample},
    stage::{PATIENCE, Shell, Stage},
};

const CANCELS: i64 = 20;
/// How long a CLI is given to obey; see `docs` of the agents.
const LOOK: Duration = Duration::from_millis(5);

/// A CLI that obeys, and one that does not.
pub(crate) async fn answers() -> Vec<Row> {
    let stage = Stage::new().await;
    let mut rows = Vec::new();
    for shell in [Shell::Claude, Shell::Codex] {
        for (words, prompt, target, times) in [
            ("obeys", "#fake:say on\n#fake:hang", "≤ 20 ms", CANCELS),
            (
                "ignores it",
                "#fake:ignore-interrupt\n#fake:say on\n#fake:hang",
                "≤ grace + 50 ms",
                3,
            ),
        ] {
            let mut answers = Sample::default();
            for number in 0..times {
                answers.push(cancel(&stage, shell, number, prompt).await);
            }
            rows.push(
                Row::new(
                    format!("cancel to its answer, {}, the CLI {words}", shell.name()),
                    answers.tell(&[50]),
                    format!("{times} turns"),
                )
                .target(target),
            );
        }
    }
    rows
}

async fn cancel(stage: &Stage, shell: Shell, number: i64, prompt: &str) -> Duration {
    let (task, subtask) = (7, 100 + number);
    stage.sink.clear();
    stage
        .world
        .dispatch(&stage.turn(shell, task, subtask, prompt))
        .await;
    while !stage
        .sink
        .posts(subtask)
        .iter()
        .any(|post| !post.text.is_empty())
    {
        tokio::time::sleep(LOOK).await;
    }
    let url = stage.world.executor.url();
    let report = stage.world.backend.cancel(&url, task, Some(subtask)).await;
    stage.sink.ended(1, PATIENCE).await;
    report.took
}
