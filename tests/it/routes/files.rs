//! What people see of a workspace.

use std::{fs, io::Read, os::unix::fs::symlink};

use serde_json::json;
use wegent_executor_tests::World;

use super::{get, refusal, without_agents};

async fn world() -> World {
    let world = without_agents(|settings| {
        settings.set("MAX_WORKSPACE_DOWNLOAD_MB", "1");
    })
    .await;
    let task = world.workspace(4711);
    fs::create_dir_all(task.join("shop/src")).unwrap();
    fs::create_dir_all(task.join(".wegent-executor")).unwrap();
    fs::write(task.join(".wegent-executor/x"), "ours").unwrap();
    fs::write(task.join("notes.md"), "n".repeat(120)).unwrap();
    fs::write(task.join("größe 100%.txt"), "odd").unwrap();
    fs::write(task.join("shop/src/main.go"), "package main").unwrap();
    world
}

#[tokio::test]
async fn a_folder_is_listed_as_the_manager_wants_it() {
    let world = world().await;
    let answer = get(&world, "/filesystem/list-dir?path=/workspace/4711").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let listed = answer.json();
    let entries = listed.as_array().unwrap().iter();
    let names: Vec<&str> = entries
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["shop", "größe 100%.txt", "notes.md"]);
    let mut notes = listed[2].clone();
    assert!(notes["modified_at"].as_u64().unwrap() > 1_700_000_000);
    notes["modified_at"] = json!(0);
    assert_eq!(
        notes,
        json!({"name": "notes.md", "path": "/workspace/4711/notes.md", "is_directory": false, "size": 120,
               "modified_at": 0, "type": "FILE_TYPE_FILE"})
    );
    assert_eq!(listed[0]["type"], "FILE_TYPE_DIRECTORY");
    assert_eq!(listed[0]["path"], "/workspace/4711/shop");
    // Without a path: the root of all.
    let root = get(&world, "/filesystem/list-dir").await.json();
    assert_eq!(root[0]["path"], "/workspace/4711");
}

#[tokio::test]
async fn a_file_comes_as_it_is_and_a_folder_as_a_zip() {
    let world = world().await;
    let file = get(&world, "/filesystem/file?path=/workspace/4711/notes.md").await;
    assert_eq!((file.status, file.body.len()), (200, 120));
    assert_eq!(
        file.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(file.header("content-length"), Some("120"));
    let odd = get(
        &world,
        "/filesystem/file?path=/workspace/4711/gr%C3%B6%C3%9Fe%20100%25.txt",
    )
    .await;
    assert_eq!(odd.text(), "odd");
    let name = odd.header("content-disposition").unwrap();
    assert_eq!(
        name,
        "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%20100%25.txt"
    );
    let zip = get(&world, "/filesystem/file?path=/workspace/4711/shop").await;
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip.body)).unwrap();
    let mut text = String::new();
    archive
        .by_name("shop/src/main.go")
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "package main");
}

#[tokio::test]
async fn what_is_elsewhere_hidden_missing_or_too_large_is_refused() {
    let world = world().await;
    let task = world.workspace(4711);
    symlink("/etc/passwd", task.join("passwd")).unwrap();
    fs::write(task.join("large"), vec![0; (1 << 20) + 1]).unwrap();
    for (target, status) in [
        ("list-dir?path=/etc", 403),
        ("list-dir?path=/workspace/../etc", 403),
        ("list-dir?path=/workspace/4711/nothing", 404),
        ("list-dir?path=/workspace/4711/notes.md", 400),
        ("list-dir?path=/workspace/4711/.wegent-executor", 404),
        ("file?path=/workspace/4711/.wegent-executor/x", 404),
        ("file?path=/workspace/4711/passwd", 403),
        ("file?path=/workspace/4711/a%00b", 404),
        ("file?path=/workspace/4711/large", 413),
        // A zip of it is too large, and has a link in it.
        ("file", 400),
    ] {
        let answer = get(&world, &format!("/filesystem/{target}")).await;
        let (refused, detail) = refusal(&answer);
        assert_eq!(refused, status, "{target}: {detail}");
    }
    let zipped = get(&world, "/filesystem/file?path=/workspace/4711").await;
    assert!(matches!(refusal(&zipped).0, 400 | 413), "{zipped:?}");
}
