//! Repositories, end to end: cloned with a token, worked in and pushed by the real agents' shells, and told of.

use std::fs;

use serde_json::{Value, json};
use testkit::{
    GitServer,
    git_server::{Faults, Repository},
    model::Options,
    procs,
};
use wegent_executor_tests::{PATIENCE, Settings, TurnBody, World, until};

const TASK: i64 = 7;
const TOKEN: &str = "glpat-e2e-git-token-8c21";
const USER: &str = "e2e";

/// A server with `e2e/demo.git`.
async fn server() -> (GitServer, Repository) {
    let server = GitServer::start().await.unwrap();
    let repository = server.repository("e2e/demo.git");
    repository.commit(
        "main",
        "first",
        &[("README.md", "hello\n"), ("old.txt", "1\n2\n")],
    );
    server.require(USER, TOKEN);
    (server, repository)
}

fn talkative(settings: &mut Settings) {
    settings.set("WEGENT_LOG", "debug");
}

fn callbacks_text(world: &World) -> String {
    let callbacks = world.backend.all_callbacks();
    callbacks
        .iter()
        .map(|callback| callback.body.to_string())
        .collect()
}

/// `response.completed` of a subtask.
fn response(world: &World, subtask: i64) -> Value {
    let callbacks = world.backend.callbacks(subtask);
    callbacks.last().unwrap().data()["response"].clone()
}

/// What a person's task is: look where one is, work, commit, push, try what is not allowed.
const WORK: &str = "pwd; echo \"$GIT_REPO $BRANCH_NAME $GIT_URL\"; git checkout -q -b wegent-1 && echo more >> README.md && \
    rm old.txt && git add -A && git commit -q -m work && git push -q origin wegent-1 && echo pushed; \
    git push origin HEAD:main; echo loose > untracked.txt";

async fn works(world: &World, turn: fn(&World, i64, i64, &str) -> TurnBody) {
    let (server, repository) = server().await;
    let request = |subtask, command: &str| {
        turn(
            world,
            TASK,
            subtask,
            &format!("Run. #script:shell\n#cmd:{command}"),
        )
        .in_repository(&server, "e2e/demo.git", TOKEN)
    };
    let view = world.run(&request(1, WORK)).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    let output = view
        .tools()
        .next()
        .unwrap()
        .output
        .clone()
        .unwrap()
        .to_string();
    let folder = world.workspace(TASK).join("demo");
    assert!(
        output.contains(&format!("{}", folder.display())),
        "{output}"
    );
    let facts = format!("e2e/demo main {}/e2e/demo.git", server.url());
    assert!(
        output.contains(&facts) && output.contains("pushed"),
        "{output}"
    );
    assert!(output.contains("`main` is a protected branch"), "{output}");
    assert_eq!(repository.subjects("wegent-1"), ["work", "first"]);
    assert_eq!(repository.subjects("main"), ["first"]);

    let changes = &response(world, 1)["file_changes"];
    let file = |path: &str, kind: &str, additions: u64, deletions: u64| json!({"path": path, "change_type": kind, "additions": additions, "deletions": deletions, "binary": false});
    assert_eq!(
        changes["files"],
        json!([
            file("README.md", "modified", 1, 0),
            file("old.txt", "deleted", 0, 2),
            file("untracked.txt", "created", 1, 0)
        ]),
    );
    assert_eq!(
        (
            &changes["file_count"],
            &changes["additions"],
            &changes["deletions"]
        ),
        (&json!(3), &json!(2), &json!(2))
    );
    let commits = changes["commits"].as_array().unwrap();
    assert_eq!(
        (commits.len(), &commits[0]["message"], &commits[0]["author"]),
        (1, &json!("work"), &json!(USER))
    );

    // The next turn goes on where this one was, and tells of itself alone.
    let view = world.run(&request(2, "git branch --show-current; echo x > second.txt; git push -q origin wegent-1 && echo pushed")).await;
    let output = view
        .tools()
        .next()
        .unwrap()
        .output
        .clone()
        .unwrap()
        .to_string();
    assert!(
        output.contains("wegent-1") && output.contains("pushed"),
        "{output}"
    );
    let changes = &response(world, 2)["file_changes"];
    assert_eq!(
        changes["files"],
        json!([file("second.txt", "created", 1, 0)])
    );
    assert_eq!(changes["commits"], json!([]));

    let files = procs::find_secret(TOKEN, &[world.root.path()], &[]);
    assert_eq!(files, [""; 0], "the token is in no file");
    assert!(
        !callbacks_text(world).contains(TOKEN),
        "the token is in no callback"
    );
}

#[tokio::test]
async fn codex_works_in_a_repository_and_pushes() {
    let test = "codex_works_in_a_repository_and_pushes";
    if let Some(world) = World::build_with(test, Options::default(), talkative).await {
        works(&world, World::turn).await;
    }
}

#[tokio::test]
async fn claude_code_works_in_a_repository_and_pushes() {
    let test = "claude_code_works_in_a_repository_and_pushes";
    if let Some(world) = World::with_claude(test, Options::default(), talkative).await {
        works(&world, World::claude_turn).await;
    }
}

#[tokio::test]
async fn a_token_that_is_said_is_not_shown() {
    let Some(world) = World::build("a_token_that_is_said_is_not_shown").await else {
        return;
    };
    let (server, _repository) = server().await;
    let command = format!(
        "printf 'protocol=http\\nhost={}\\n\\n' | git credential fill",
        server.domain()
    );
    let turn = world
        .turn(TASK, 1, &format!("Run. #script:shell\n#cmd:{command}"))
        .in_repository(&server, "e2e/demo.git", TOKEN);
    let view = world.run(&turn).await;
    let output = view
        .tools()
        .next()
        .unwrap()
        .output
        .clone()
        .unwrap()
        .to_string();
    assert!(
        output.contains("password=") && !output.contains(TOKEN),
        "{output}"
    );
    assert!(!callbacks_text(&world).contains(TOKEN));
}

#[tokio::test]
async fn a_wrong_token_fails_the_turn_and_says_so() {
    let Some(world) = World::build("a_wrong_token_fails_the_turn_and_says_so").await else {
        return;
    };
    let (server, _repository) = server().await;
    let turn = world.turn(TASK, 1, "Hello. #script:text").in_repository(
        &server,
        "e2e/demo.git",
        "wr0ng-t0ken",
    );
    let view = world.run(&turn).await;
    let terminal = format!("{:?}", view.terminal);
    assert!(
        terminal.contains("token is not accepted") && !terminal.contains("wr0ng-t0ken"),
        "{terminal}"
    );
    assert!(world.model.requests().is_empty(), "the model was not asked");
    assert!(!world.workspace(TASK).join("demo").exists());
}

/// What doesn't compress, so that a clone of it can be stopped in the middle.
fn noise() -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    (0..1 << 20).map(next).collect()
}

/// The names in the task's folder, the state folder aside.
fn left(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.workspace(TASK))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != ".wegent-executor").collect()
}

#[tokio::test]
async fn a_clone_can_be_cancelled_or_killed_and_leaves_nothing() {
    let Some(mut world) =
        World::build("a_clone_can_be_cancelled_or_killed_and_leaves_nothing").await
    else {
        return;
    };
    let (server, repository) = server().await;
    repository.commit("main", "big", &[("noise", &noise())]);
    let stall = Faults {
        stall_after: Some(200_000),
        ..Faults::default()
    };
    let turn = |world: &World, subtask| {
        world
            .turn(TASK, subtask, "Hello. #script:text")
            .in_repository(&server, "e2e/demo.git", TOKEN)
    };
    server.set_faults(stall.clone());
    world.dispatch(&turn(&world, 1)).await;
    let told = world.backend.wait_for(PATIENCE, |callbacks| {
        callbacks
            .iter()
            .any(|callback| callback.body.to_string().contains("receiving objects"))
    });
    assert!(told.await, "progress is shown:\n{}", callbacks_text(&world));
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(1))
        .await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    assert!(world.backend.wait_end(1, 1, PATIENCE).await.is_some());
    until("the clone is gone", || left(&world).is_empty()).await;

    world.dispatch(&turn(&world, 2)).await;
    until("a clone is under way", || !left(&world).is_empty()).await;
    world.executor.kill().await;
    until("git is gone", || world.marked().is_empty()).await;
    server.set_faults(Faults::default());
    world.executor.start_again().await;
    let view = world.run(&turn(&world, 3)).await;
    assert!(view.completed(), "{view:#?}");
    assert_eq!(left(&world), ["demo"]);
}
