//! A preparation that is stopped.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use testkit::oracle::Terminal;
use wegent_executor_tests::until;

use super::{AGENTS, real_world};

/// The files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    found
}

#[tokio::test]
async fn downloads_are_cancelled_and_leave_nothing() {
    let test = "downloads_are_cancelled_and_leave_nothing";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let backend = world.backend.files();
    backend.keep_attachment(1, vec![b'x'; 1 << 20]);
    backend.set_latency(Duration::from_secs(3600));
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let subtask = task + 10;
        let turn = request(&world, task, subtask, "Read [attachment:1]. #script:text")
            .with(
                "attachments",
                json!([{"id": 1, "original_filename": "a.bin", "subtask_id": 9}]),
            )
            .with("skill_names", json!(["slow"]))
            .with("skill_refs", json!({"slow": {"skill_id": 1}}));
        let asked = backend.asked().len();
        world.dispatch(&turn).await;
        until("both are asked for", || backend.asked().len() >= asked + 2).await;
        let url = world.executor.url();
        let report = world.backend.cancel(&url, task, Some(subtask)).await;
        assert_eq!(report.status(), Some(200), "{agent}: {report:?}");
        let view = world.finished(subtask).await;
        assert!(
            matches!(view.terminal, Some(Terminal::Cancelled { .. })),
            "{agent}: {view:#?}"
        );
        let folder = world
            .workspace(task)
            .join(format!("{task}:executor:attachments"));
        until("no half of a file is left", || files(&folder).is_empty()).await;
    }
    assert!(world.model.requests().is_empty(), "an agent was started");
}
