//! A task leaves its container, and comes into another one.

use std::{fs, path::Path};

use serde_json::{Value, json};
use testkit::{Storage, model::Options};
use wegent_executor_tests::{AUTH_TOKEN, World};

use super::{post, refusal, without_agents};

fn archive(task: i64, url: &str) -> Value {
    json!({"task_id": task, "upload_url": url, "max_size_mb": 2048, "runtime_type": "executor"})
}

fn restore(task: i64, url: &str) -> Value {
    json!({"task_id": task, "download_url": url, "runtime_type": "executor"})
}

/// What is on a disk that a new container starts with: nothing.
async fn lose_the_container(world: &mut World) {
    world.executor.kill().await;
    for folder in ["home", "workspace", "tmp"] {
        let folder = world.root.path().join(folder);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
    }
    let name = format!("{}-2", world.executor.name());
    world.executor.settings_mut().set("EXECUTOR_NAME", name);
    world.executor.start_again().await;
}

#[tokio::test]
async fn the_conversations_of_both_agents_go_on_after_archive_and_restore() {
    let test = "the_conversations_of_both_agents_go_on_after_archive_and_restore";
    let codex_too = testkit::cli::require_codex(test).is_some();
    let Some(mut world) = World::with_claude(test, Options::default(), |_| {}).await else {
        return;
    };
    assert!(codex_too, "both CLIs are needed");
    let storage = Storage::start().await.unwrap();
    let first = "The word is heron. #script:text";
    world.run(&world.turn(1, 2, first)).await;
    world.run(&world.claude_turn(3, 4, first)).await;
    for task in [1, 3] {
        fs::create_dir_all(world.workspace(task).join("shop/.git")).unwrap();
        fs::write(world.workspace(task).join("shop/notes.md"), "mine").unwrap();
        let url = storage.url(&format!("{task}.tar.gz"));
        let answer = post(&world, "/api/archive", &archive(task, &url)).await;
        assert_eq!(
            answer.status,
            200,
            "{}\n{}",
            answer.text(),
            world.executor.log()
        );
        let told = answer.json();
        assert_eq!(told["task_id"], task);
        assert_eq!(
            (&told["session_file_included"], &told["git_included"]),
            (&json!(true), &json!(true))
        );
        let upload = storage.uploads().pop().unwrap();
        assert_eq!(upload.status, 200, "{upload:?}");
        assert_eq!(upload.content_type.as_deref(), Some("application/gzip"));
        assert_eq!(upload.length, told["size_bytes"].as_u64());
        no_secrets(&storage.object(&format!("{task}.tar.gz")));
    }
    lose_the_container(&mut world).await;
    for task in [1, 3] {
        let url = storage.url(&format!("{task}.tar.gz"));
        let answer = post(&world, "/api/restore", &restore(task, &url)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = json!({"success": true, "session_restored": true, "git_restored": true});
        assert_eq!(answer.json(), told);
        let notes = world.workspace(task).join("shop/notes.md");
        assert_eq!(fs::read_to_string(notes).unwrap(), "mine");
    }
    let second = "Which word? #script:remember";
    for turn in [world.turn(1, 5, second), world.claude_turn(3, 6, second)] {
        let view = world.run(&turn.with("skip_git_clone", json!(true))).await;
        assert!(view.completed(), "{view:#?}");
        assert!(
            view.text.starts_with("I remember") && view.text.contains("heron"),
            "{view:#?}"
        );
    }
    assert!(
        !world.executor.log().contains("X-Amz-Signature"),
        "a presigned URL was logged"
    );
}

/// Looks for the request's own tokens in every file of an archive.
fn no_secrets(archive: &Path) {
    let file = fs::File::open(archive).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut members = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let text = String::from_utf8_lossy(&content);
        for secret in [
            wegent_executor_tests::API_KEY,
            AUTH_TOKEN,
            wegent_executor_tests::SKILL_TOKEN,
        ] {
            assert!(!text.contains(secret), "{}", path.display());
        }
        let name = path.to_string_lossy().into_owned();
        assert!(
            !name.contains("sqlite") && !name.ends_with("auth.json"),
            "{name}"
        );
        members += 1;
    }
    assert!(members > 2);
}

#[tokio::test]
async fn what_cant_be_archived_or_restored_says_why_and_not_where() {
    let world = without_agents(|_| {}).await;
    let storage = Storage::start().await.unwrap();
    let url = storage.url("1.tar.gz");
    let (status, _) = refusal(&post(&world, "/api/archive", &archive(1, &url)).await);
    assert_eq!(status, 404, "no workspace");
    fs::create_dir_all(world.workspace(1)).unwrap();
    let (status, _) = refusal(&post(&world, "/api/archive", &archive(1, &url)).await);
    assert_eq!(status, 404, "an empty workspace");
    fs::write(world.workspace(1).join("a"), "a").unwrap();
    let mut small = archive(1, &url);
    small["max_size_mb"] = json!(0);
    assert_eq!(refusal(&post(&world, "/api/archive", &small).await).0, 413);
    let mut odd = archive(1, &url);
    odd["runtime_type"] = json!("vm");
    let (status, detail) = refusal(&post(&world, "/api/archive", &odd).await);
    assert_eq!(
        (status, detail.starts_with("runtime_type: ")),
        (400, true),
        "{detail}"
    );
    let forged = url.replace("9f1c0de5", "forged");
    let closed = "http://127.0.0.1:1/x?X-Amz-Signature=9f1c0de5";
    for url in [forged.as_str(), closed] {
        for answer in [
            post(&world, "/api/archive", &archive(1, url)).await,
            post(&world, "/api/restore", &restore(2, url)).await,
        ] {
            let (status, detail) = refusal(&answer);
            assert_eq!(status, 502, "{detail}");
            assert!(
                !detail.contains("Signature") && !detail.contains("forged"),
                "{detail}"
            );
        }
    }
    let (status, detail) = refusal(&post(&world, "/api/restore", &restore(2, "nowhere")).await);
    assert_eq!(
        (status, detail.starts_with("download_url: ")),
        (400, true),
        "{detail}"
    );
    fs::write(storage.object("bad.tar.gz"), "<html>").unwrap();
    let bad = restore(2, &storage.url("bad.tar.gz"));
    assert_eq!(refusal(&post(&world, "/api/restore", &bad).await).0, 500);
    assert!(!world.workspace(2).exists(), "half a workspace");
    assert!(storage.uploads().iter().all(|upload| upload.status == 200));
    assert!(
        fs::read_dir(world.root.path().join("tmp"))
            .unwrap()
            .next()
            .is_none(),
        "an archive was left behind"
    );
}
