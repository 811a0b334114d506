//! The model's key is with the provider and in the executor's memory, and nowhere else.

use std::{fs, path::Path};

use serde_json::json;
use testkit::procs;
use wegent_executor_tests::{API_KEY, AUTH_TOKEN, Sleeper, TurnBody, World};

use super::{TASK, TURN, claude, shell, world};

/// A header that goes to the provider with every request.
const HEADER: &str = "header-secret-5b1c07aa";
/// What the operator gave to the executor.
const OPERATORS: &str = "operators-aes-key-0123456789abcdef";

fn with_header(mut turn: TurnBody) -> TurnBody {
    turn.0["model_config"]["default_headers"] = json!({"x-internal-key": HEADER});
    turn
}

/// Where a secret stands in files: workspace, homes, journals, temporary folders, the log.
fn in_files(world: &World, secret: &str) -> Vec<String> {
    procs::find_secret(secret, &[world.root.path()], &[])
}

#[tokio::test]
async fn a_tool_that_looks_everywhere_finds_no_key() {
    let Some(world) = world("a_tool_that_looks_everywhere_finds_no_key").await else {
        return;
    };
    let root = world.root.path().display();
    let executor = world.executor.pid();
    // Its own environment, those of all above it but the executor's, whose is the operator's, and every file of theirs.
    let command = format!(
        "env > seen; p=$$; while [ $p != {executor} ]; do cat /proc/$p/environ /proc/$p/cmdline >> seen; \
         p=$(awk '{{print $4}}' /proc/$p/stat); done; cat /proc/{executor}/cmdline >> seen; \
         find {root} -type f ! -name seen ! -name executor.log -exec cat {{}} + > files; wc -c < seen"
    );
    let view = world.run(&with_header(shell(&world, &command))).await;
    assert!(view.completed(), "{view:#?}");
    let read = |name: &str| {
        let bytes = fs::read(world.workspace(TASK).join(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (seen, files) = (read("seen"), read("files"));
    assert!(
        seen.contains("stream-json") && seen.contains("wegent-guard"),
        "it did not get that far up"
    );
    assert!(seen.contains(&format!("AUTH_TOKEN={AUTH_TOKEN}")));
    assert!(files.contains("Run it."), "it found no transcript");
    for secret in [API_KEY, HEADER, OPERATORS] {
        assert!(!seen.contains(secret), "{secret} is in an environment");
        assert!(!files.contains(secret), "{secret} is in a file");
    }
    // The provider does get them.
    let requests = world.model.requests();
    let asked = requests
        .iter()
        .find(|request| request.path.ends_with("/messages"))
        .unwrap();
    assert_eq!(
        (asked.api_key(), asked.header("x-internal-key")),
        (Some(API_KEY), Some(HEADER))
    );
}

#[tokio::test]
async fn keys_are_in_no_process_no_file_no_log_and_no_callback() {
    let test = "keys_are_in_no_process_no_file_no_log_and_no_callback";
    let talkative = |settings: &mut wegent_executor_tests::Settings| {
        settings.set("WEGENT_LOG", "debug");
    };
    let Some(mut world) =
        World::with_claude(test, testkit::model::Options::default(), talkative).await
    else {
        return;
    };
    let sleeper = Sleeper::new();
    let turn = shell(&world, &format!("setsid {sleeper} & env {sleeper}"));
    world.dispatch(&with_header(turn)).await;
    sleeper.appear(2).await;
    let process = claude(&world).pid;
    assert!(Path::new(&format!("/proc/{process}/environ")).exists());
    let mut pids: Vec<i32> = world.marked().iter().map(|proc| proc.pid).collect();
    pids.extend(
        procs::descendants(world.executor.pid())
            .iter()
            .map(|proc| proc.pid),
    );
    assert!(pids.contains(&process));
    for secret in [API_KEY, HEADER, OPERATORS] {
        assert_eq!(procs::find_secret(secret, &[], &pids), [""; 0], "{secret}");
    }
    // The CLI itself lives longer than the turn's token does; only what it starts has it.
    assert_eq!(
        procs::find_secret(AUTH_TOKEN, &[], &[process]),
        [""; 0],
        "the task's token"
    );
    world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    world.finished(TURN).await;
    assert!(
        !in_files(&world, "Run it.").is_empty(),
        "the search finds nothing at all"
    );
    let nowhere = |world: &World, when: &str| {
        let callbacks = world.backend.all_callbacks();
        for secret in [API_KEY, HEADER, OPERATORS, AUTH_TOKEN] {
            assert_eq!(in_files(world, secret), [""; 0], "{secret} {when}");
            let told = callbacks
                .iter()
                .any(|callback| callback.body.to_string().contains(secret));
            assert!(!told, "{secret} was told, {when}");
        }
    };
    nowhere(&world, "while claude is warm");
    world.executor.terminate().await;
    nowhere(&world, "after the executor's end");
}
