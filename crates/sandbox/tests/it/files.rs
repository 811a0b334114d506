//! Files and folders.

use std::fs;

use serde_json::{Value, json};
use testkit::http::client;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn folders_are_made_listed_described_moved_and_removed() {
    let stage = Stage::new().await;
    let folder = stage.path("a/b");
    let make = json!({"path": folder});
    let made = stage.post("/filesystem.Filesystem/MakeDir", &make).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let entry = &made.json()["entry"];
    assert_eq!(
        (&entry["name"], &entry["type"]),
        (&json!("b"), &json!("FILE_TYPE_DIRECTORY"))
    );
    assert!(
        entry["permissions"].as_str().unwrap().starts_with("drwx"),
        "{entry}"
    );
    let again = stage.post("/filesystem.Filesystem/MakeDir", &make).await;
    assert_eq!(
        (again.status, &again.json()["code"]),
        (409, &json!("already_exists"))
    );
    fs::write(folder.join("c.txt"), "see").unwrap();
    // Relative to where commands start.
    let stat = stage
        .post("/filesystem.Filesystem/Stat", &json!({"path": "a/b/c.txt"}))
        .await
        .json();
    assert_eq!(
        (&stat["entry"]["size"], &stat["entry"]["type"]),
        (&json!(3), &json!("FILE_TYPE_FILE"))
    );
    let time = stat["entry"]["modified_time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    let names = |answer: Value| -> Vec<String> {
        let entries = answer["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = |depth: u32| json!({"path": stage.path("a"), "depth": depth});
    let shallow = stage.post("/filesystem.Filesystem/ListDir", &list(1)).await;
    assert_eq!(names(shallow.json()), ["b"]);
    let deep = stage.post("/filesystem.Filesystem/ListDir", &list(9)).await;
    assert_eq!(names(deep.json()), ["b", "c.txt"]);
    let file = json!({"path": folder.join("c.txt")});
    let refused = stage.post("/filesystem.Filesystem/MakeDir", &file).await;
    assert_eq!(refused.status, 400);
    let moved = json!({"source": folder.join("c.txt"), "destination": stage.path("new/d.txt")});
    assert_eq!(
        stage
            .post("/filesystem.Filesystem/Move", &moved)
            .await
            .status,
        200
    );
    assert!(stage.path("new/d.txt").exists());
    let remove = json!({"path": stage.path("new")});
    for _ in 0..2 {
        assert_eq!(
            stage
                .post("/filesystem.Filesystem/Remove", &remove)
                .await
                .status,
            200
        );
    }
    assert!(!stage.path("new").exists());
    let missing = stage
        .post("/filesystem.Filesystem/Stat", &json!({"path": "nothing"}))
        .await;
    assert_eq!(
        (missing.status, &missing.json()["code"]),
        (404, &json!("not_found"))
    );
    let nul = stage
        .post("/filesystem.Filesystem/Stat", &json!({"path": "a\0b"}))
        .await;
    assert_eq!(nul.status, 400);
}

/// A form with one part.
fn form(part: &str, content: &[u8]) -> Vec<u8> {
    let mut body = format!("--b0undary\r\ncontent-disposition: form-data; {part}\r\ncontent-type: application/octet-stream\r\n\r\n")
        .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--b0undary--\r\n");
    body
}

async fn upload(stage: &Stage, query: &str, part: &str, content: &[u8]) -> client::Answer {
    let url = stage.url(&format!("/files{query}"));
    let kind = [("content-type", "multipart/form-data; boundary=b0undary")];
    client::request("POST", &url, &kind, &form(part, content), SOON)
        .await
        .unwrap()
}

#[tokio::test]
async fn files_go_in_and_come_out() {
    let stage = Stage::new().await;
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let path = stage.path("new/data.bin");
    let part = r#"name="file"; filename="data.bin""#;
    let query = format!("?path={}", path.display());
    let answer = upload(&stage, &query, part, &content).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json(),
        json!([{"path": path, "name": "data.bin", "type": "file"}])
    );
    assert!(fs::read(&path).unwrap() == content);
    // By its own name, where commands start.
    let small = upload(&stage, "", r#"name="file"; filename="note.txt""#, b"note").await;
    assert_eq!(small.json()[0]["path"], json!(stage.path("note.txt")));
    let out = stage.get("/files?path=note.txt").await;
    assert_eq!((out.status, out.text().as_str()), (200, "note"));
    assert_eq!(out.header("content-length"), Some("4"));
    let zip = stage
        .get(&format!("/files?path={}", stage.root.path().display()))
        .await;
    assert_eq!(zip.status, 413, "larger than what may be downloaded");
    fs::create_dir(stage.path("folder")).unwrap();
    fs::write(stage.path("folder/x"), "x").unwrap();
    let zip = stage.get("/files?path=folder").await;
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    assert!(zip.body.starts_with(b"PK"));
    let leftovers = fs::read_dir(stage.root.path()).unwrap();
    let names: Vec<_> = leftovers.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_string_lossy().starts_with(".upload")),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_cant_be_read_or_written_says_why() {
    let stage = Stage::new().await;
    for (query, status) in [
        ("?path=nothing", 404),
        ("", 400),
        ("?path=/dev/null", 400),
        ("?path=x&username=../etc", 400),
        ("?path=x&username=nobody-here", 404),
    ] {
        let answer = stage.get(&format!("/files{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.json()["detail"].is_string());
    }
    let nameless = upload(&stage, "?path=x", r#"name="other""#, b"x").await;
    assert_eq!(nameless.status, 400, "{}", nameless.text());
    let folder = format!("?path={}", stage.root.path().display());
    let onto = upload(&stage, &folder, r#"name="file""#, b"x").await;
    assert_eq!(onto.status, 400, "{}", onto.text());
}
