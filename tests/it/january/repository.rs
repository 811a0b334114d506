//! A captured payload with a repository, and what the workbench says of it.

use std::fs;

use serde_json::{Value, json};
use testkit::{GitServer, cumulative::Stored, git_server::Repository};
use wegent_executor_tests::{FlatTurn, PATIENCE};

use super::{AGENTS, completed, real_world};

const TOKEN: &str = "glpat-january-git-token-3f91";

/// A server with `demo/demo.git`.
async fn server() -> (GitServer, Repository) {
    let server = GitServer::start().await.unwrap();
    let repository = server.repository("demo/demo.git");
    let begin = [("README.md", "hello\n"), ("old.txt", "1\n2\n")];
    repository.commit("main", "first", &begin);
    server.require("demo", TOKEN);
    (server, repository)
}

fn runs(turn: FlatTurn, server: &GitServer, command: &str) -> FlatTurn {
    let prompt = format!("Run. #script:shell\n#cmd:{command}");
    turn.in_repository(server, "demo/demo.git", TOKEN)
        .with("prompt", json!(prompt))
}

/// Path, lines added, lines removed.
fn files(workbench: &Value) -> Vec<(&str, u64, u64)> {
    let files = workbench["file_changes"].as_array().unwrap();
    let file = |file: &'_ Value| {
        let lines = |name: &str| file[name].as_u64().unwrap();
        (lines("added_lines"), lines("removed_lines"))
    };
    files
        .iter()
        .map(|found| {
            let (added, removed) = file(found);
            (found["new_path"].as_str().unwrap(), added, removed)
        })
        .collect()
}

/// A commit, a staged deletion, and a file that git knows nothing of; then a wait for `go`.
fn work(go: &str) -> String {
    format!(
        "git checkout -q -b wegent-1 && echo more >> README.md && git commit -q -am work; git rm -q old.txt; \
         echo loose > untracked.txt; until [ -e {go} ]; do sleep 0.1; done"
    )
}

const CHANGED: [(&str, u64, u64); 3] = [
    ("README.md", 1, 0),
    ("old.txt", 0, 2),
    ("untracked.txt", 1, 0),
];

fn assert_workbench(workbench: &Value, agent: &str) {
    assert_eq!(files(workbench), CHANGED, "{agent}: {workbench:#}");
    let git = &workbench["git_info"];
    assert_eq!(git["initial_commit_message"], "first", "{agent}: {git}");
    assert_eq!(git["source_branch"], "main", "{agent}: {git}");
    assert_eq!(git["target_branch"], "wegent-1", "{agent}: {git}");
    let commits = git["task_commits"].as_array().unwrap();
    assert_eq!(commits.len(), 1, "{agent}: {git}");
    assert_eq!(commits[0]["message"], "work", "{agent}: {git}");
    let stats = json!({"files_changed": 1, "insertions": 1, "deletions": 0});
    assert_eq!(commits[0]["stats"], stats, "{agent}");
    let id = commits[0]["commit_id"].as_str().unwrap();
    let summary = format!("### commit id: {id}\n\nwork\n\n---");
    assert!(
        workbench["summary"].as_str().unwrap().starts_with(&summary),
        "{agent}: {workbench:#}"
    );
}

#[tokio::test]
async fn what_a_turn_changes_is_on_the_workbench_while_it_runs_and_afterwards() {
    let test = "what_a_turn_changes_is_on_the_workbench_while_it_runs_and_afterwards";
    let Some(world) = real_world(test).await else {
        return;
    };
    let (server, _) = server().await;
    for (task, (agent, payload, conversation)) in (1..).zip(AGENTS) {
        let subtask = task * 10;
        let go = world.root.path().join(format!("go-{task}"));
        let turn = payload(&world, task, subtask, "");
        world
            .execute(&runs(turn, &server, &work(&go.display().to_string())))
            .await;
        let shown = world.backend.wait_for(PATIENCE, |callbacks| {
            callbacks.iter().any(|callback| {
                let workbench = &callback.body["result"]["workbench"];
                callback.subtask() == Some(subtask)
                    && workbench["file_changes"]
                        .as_array()
                        .is_some_and(|files| files.len() == CHANGED.len())
            })
        });
        assert!(shown.await, "{agent}: {}", world.executor.log());
        let last = world.backend.callbacks(subtask).pop().unwrap();
        assert_eq!(last.status(), "RUNNING", "{agent}");
        assert_workbench(&last.body["result"]["workbench"], agent);
        fs::write(&go, "").unwrap();
        let stored = world.stored(subtask).await;
        assert_eq!(stored.status, "COMPLETED", "{agent}: {stored:#?}");
        assert_workbench(&stored.result["workbench"], agent);

        // The next turn finds the folder as it is, fetches nothing, and tells of itself alone.
        let asked = server.requests().len();
        let next = payload(&world, task, subtask + 1, "");
        let next = runs(next, &server, "cat untracked.txt")
            .with(conversation, stored.result[conversation].clone());
        let stored = completed(&world, &next).await;
        assert!(output(&stored).contains("loose"), "{agent}: {stored:#?}");
        assert_eq!(server.requests().len(), asked, "{agent}");
        assert_eq!(files(&stored.result["workbench"]), [], "{agent}");
    }
    let all = world.backend.all_callbacks();
    assert!(
        all.iter()
            .all(|callback| !callback.body.to_string().contains(TOKEN))
    );
}

fn output(stored: &Stored) -> &str {
    stored.blocks("tool_result")[0]["content"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_folder_of_its_own_takes_the_repository() {
    let Some(world) = real_world("a_folder_of_its_own_takes_the_repository").await else {
        return;
    };
    let (server, _) = server().await;
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        let folder = world.root.path().join(format!("persistent/demo-{task}"));
        fs::create_dir_all(&folder).unwrap();
        let turn = payload(&world, task, task * 10, "");
        let turn = runs(turn, &server, "pwd").with("repo_dir", json!(folder));
        let stored = completed(&world, &turn).await;
        let path = folder.display().to_string();
        assert!(output(&stored).contains(&path), "{agent}: {stored:#?}");
        assert!(folder.join("README.md").exists(), "{agent}");
    }
}

/// The executor is killed: the end that the next one tells knows what was changed.
#[tokio::test]
async fn a_restart_tells_what_was_changed_before_it() {
    let Some(mut world) = real_world("a_restart_tells_what_was_changed_before_it").await else {
        return;
    };
    let (server, _) = server().await;
    let turn = world.flat(1, 10, "");
    world
        .execute(&runs(turn, &server, &work("/nonexistent/never")))
        .await;
    let shown = world.backend.wait_for(PATIENCE, |callbacks| {
        callbacks.iter().any(|callback| {
            let files = callback.body["result"]["workbench"]["file_changes"].as_array();
            files.is_some_and(|files| files.len() == CHANGED.len())
        })
    });
    assert!(shown.await, "{}", world.executor.log());
    world.executor.kill().await;
    world.executor.start_again().await;
    let stored = world.stored(10).await;
    assert_eq!(stored.status, "FAILED", "{stored:#?}");
    assert_workbench(&stored.result["workbench"], "Codex");
}
