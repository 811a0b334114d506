//! Skills deployed from a backend that lies in memory.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    os::unix::fs::PermissionsExt,
    sync::Mutex,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{KnownSkill, TaskId};

/// An archive with a `SKILL.md` that says `text`, and a script.
fn archive(name: &str, text: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut file = |path: String, mode, content: &str| {
        let options = SimpleFileOptions::default().unix_permissions(mode);
        writer.start_file(path, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    };
    file(format!("{name}/SKILL.md"), 0o644, text);
    file(format!("{name}/run.sh"), 0o755, "#!/bin/sh\n");
    writer.finish().unwrap().into_inner()
}

fn hash(bytes: &[u8]) -> ContentHash {
    let digits: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ContentHash::parse(&format!("sha256:{digits}")).unwrap()
}

/// Skills by id. What has no archive is answered 404.
#[derive(Debug, Default)]
struct Memory {
    skills: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
}

impl Downloads for Memory {
    fn attachment<'a>(
        &'a self,
        _: &'a Access,
        _: i64,
    ) -> BoxFuture<'a, Result<Body, DownloadError>> {
        unreachable!("skills need no attachments")
    }

    fn find_skill<'a>(
        &'a self,
        _: &'a Access,
        name: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Option<SkillId>, DownloadError>> {
        self.asked.lock().unwrap().push(format!("find {name}"));
        let found = (name == "found").then(|| SkillId {
            id: "9".to_owned(),
            namespace: namespace.to_owned(),
        });
        Box::pin(std::future::ready(Ok(found)))
    }

    fn skill<'a>(
        &'a self,
        _: &'a Access,
        skill: &'a SkillId,
        known: Option<&'a ContentHash>,
    ) -> BoxFuture<'a, Result<Fetched, DownloadError>> {
        let condition = if known.is_some() { " if changed" } else { "" };
        let request = format!("get {}/{}{condition}", skill.namespace, skill.id);
        self.asked.lock().unwrap().push(request);
        let bytes = self.skills.lock().unwrap().get(&skill.id).cloned();
        let answer = match bytes {
            None => Err(DownloadError::Refused {
                status: 404,
                body: String::new(),
                retry_after: None,
            }),
            Some(bytes) if known == Some(&hash(&bytes)) => Ok(Fetched::Unchanged),
            Some(bytes) => Ok(Fetched::Body(Body {
                length: Some(bytes.len() as u64),
                hash: Some(hash(&bytes)),
                chunks: stream::iter([Ok(Bytes::from(bytes))]).boxed(),
            })),
        };
        Box::pin(std::future::ready(answer))
    }
}

struct Scene {
    folder: TempDir,
    backend: Memory,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            backend: Memory::default(),
        }
    }

    fn has(&self, id: &str, bytes: Vec<u8>) {
        self.backend
            .skills
            .lock()
            .unwrap()
            .insert(id.to_owned(), bytes);
    }

    fn place(&self) -> SkillsFolder {
        SkillsFolder {
            path: self.folder.path().to_owned(),
            exclusive: true,
        }
    }

    async fn deploy(&self, skills: &Skills) -> Report {
        let access = Access {
            task: TaskId(7),
            token: "token".into(),
            backend_url: None,
        };
        let limits = Limits::default();
        deploy(skills, &self.place(), &self.backend, Some(&access), limits).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.backend.asked.lock().unwrap())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name).join("SKILL.md")).unwrap()
    }

    /// What is in the folder, without the list of it.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != ".wegent-skills.json")
            .collect();
        names.sort();
        names
    }
}

/// Skills with ids from 1.
fn skills(names: &[&str]) -> Skills {
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let known = (1..).zip(&names).map(|(id, name)| {
        let known = KnownSkill {
            id: id.to_string(),
            namespace: None,
            hash: None,
        };
        (name.clone(), known)
    });
    Skills {
        known: known.collect(),
        offered: names,
        ..Skills::default()
    }
}

#[tokio::test]
async fn a_skill_is_there_with_its_executable_bits() {
    let scene = Scene::new();
    scene.has("1", archive("demo", "first"));
    let report = scene.deploy(&skills(&["demo"])).await;
    assert_eq!(report.deployed, ["demo"]);
    assert!(report.changed);
    assert_eq!(scene.text("demo"), "first");
    let script = fs::metadata(scene.folder.path().join("demo/run.sh")).unwrap();
    assert_ne!(script.permissions().mode() & 0o100, 0);
    assert_eq!(scene.entries(), ["demo"]);
}

#[tokio::test]
async fn what_is_unchanged_is_not_fetched_again() {
    let scene = Scene::new();
    let bytes = archive("demo", "first");
    scene.has("1", bytes.clone());
    let mut demo = skills(&["demo"]);
    scene.deploy(&demo).await;
    assert_eq!(scene.asked(), ["get default/1"]);
    let again = scene.deploy(&demo).await;
    assert_eq!(scene.asked(), ["get default/1 if changed"]);
    assert!(!again.changed && again.failed.is_empty(), "{again:?}");
    // The request names the very version: there is nothing to ask.
    demo.known.get_mut("demo").unwrap().hash = Some(hash(&bytes));
    assert_eq!(scene.deploy(&demo).await.deployed, ["demo"]);
    assert_eq!(scene.asked(), [""; 0]);
}

#[tokio::test]
async fn a_list_that_promises_more_than_there_is_is_not_believed() {
    let scene = Scene::new();
    scene.has("1", archive("demo", "first"));
    let demo = skills(&["demo"]);
    for lost in ["SKILL.md", "run.sh"] {
        scene.deploy(&demo).await;
        scene.asked();
        fs::remove_file(scene.folder.path().join("demo").join(lost)).unwrap();
        assert!(scene.deploy(&demo).await.changed);
        assert_eq!(scene.asked(), ["get default/1"], "{lost}");
        assert!(scene.folder.path().join("demo").join(lost).is_file());
    }
    fs::write(scene.folder.path().join(".wegent-skills.json"), "{").unwrap();
    assert_eq!(scene.deploy(&demo).await.deployed, ["demo"]);
    assert_eq!(scene.asked(), ["get default/1"]);
}

#[tokio::test]
async fn a_new_version_takes_the_place_and_a_bad_one_does_not() {
    let scene = Scene::new();
    let demo = skills(&["demo"]);
    scene.has("1", archive("demo", "first"));
    scene.deploy(&demo).await;
    fs::write(scene.folder.path().join("demo/old-file"), "x").unwrap();
    scene.has("1", archive("demo", "second"));
    assert!(scene.deploy(&demo).await.changed);
    assert_eq!(scene.text("demo"), "second");
    assert!(!scene.folder.path().join("demo/old-file").exists());
    scene.has("1", b"no archive".to_vec());
    let kept = scene.deploy(&demo).await;
    assert_eq!(
        (kept.deployed, kept.changed),
        (vec!["demo".to_owned()], false)
    );
    assert_eq!(scene.text("demo"), "second");
    assert_eq!(scene.entries(), ["demo"]);
}

#[tokio::test]
async fn another_skill_of_the_same_name_is_no_substitute() {
    let scene = Scene::new();
    scene.has("1", archive("demo", "first"));
    let mut demo = skills(&["demo"]);
    scene.deploy(&demo).await;
    demo.known.get_mut("demo").unwrap().id = "2".to_owned();
    let report = scene.deploy(&demo).await;
    assert_eq!(
        report.failed,
        [Failure {
            name: "demo".to_owned(),
            reason: "download failed: HTTP 404; body=".to_owned(),
        }]
    );
}

#[tokio::test]
async fn a_link_in_the_place_of_a_skill_is_replaced_not_followed() {
    let scene = Scene::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("kept"), "x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), scene.folder.path().join("demo")).unwrap();
    scene.has("1", archive("demo", "first"));
    scene.deploy(&skills(&["demo"])).await;
    assert_eq!(scene.text("demo"), "first");
    assert!(!elsewhere.path().join("SKILL.md").exists());
    assert!(elsewhere.path().join("kept").exists());
}

#[tokio::test]
async fn what_a_turn_does_not_offer_any_more_goes_and_other_things_stay() {
    let scene = Scene::new();
    scene.has("1", archive("one", "1"));
    scene.has("2", archive("two", "2"));
    fs::create_dir(scene.folder.path().join("own")).unwrap();
    scene.deploy(&skills(&["one", "two"])).await;
    assert_eq!(scene.entries(), ["one", "own", "two"]);
    assert!(scene.deploy(&skills(&["one"])).await.changed);
    assert_eq!(scene.entries(), ["one", "own"]);
}

#[tokio::test]
async fn in_a_folder_that_others_use_too_theirs_stay() {
    let scene = Scene::new();
    scene.has("1", archive("one", "1"));
    scene.deploy(&skills(&["one"])).await;
    let shared = SkillsFolder {
        exclusive: false,
        ..scene.place()
    };
    let none = Skills::default();
    deploy(&none, &shared, &scene.backend, None, Limits::default()).await;
    assert_eq!(scene.entries(), ["one"]);
}

#[tokio::test]
async fn a_skill_without_a_reference_is_looked_up() {
    let scene = Scene::new();
    scene.has("9", archive("found", "x"));
    let named = Skills {
        offered: vec!["found".to_owned(), "lost".to_owned()],
        required: vec!["lost".to_owned()],
        namespace: Some("team".to_owned()),
        ..Skills::default()
    };
    let report = scene.deploy(&named).await;
    assert_eq!(report.deployed, ["found"]);
    assert!(scene.asked().contains(&"get team/9".to_owned()));
    let missing = report.check_required(&named).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "required Skill deployment failed: lost (no skill of this name in the namespace `team`)"
    );
}

#[tokio::test]
async fn names_that_are_no_folders_name_are_refused() {
    let scene = Scene::new();
    for name in ["..", "a/b", ".hidden", "", "a\0", "a\\b"] {
        scene.has("1", archive("x", "x"));
        let report = scene.deploy(&skills(&[name])).await;
        assert_eq!(report.failed.len(), 1, "{name:?}");
        assert_eq!(report.failed[0].reason, "a skill can't have this name");
    }
    assert_eq!(scene.entries(), [""; 0]);
}

#[tokio::test]
async fn a_refused_archive_leaves_nothing_and_names_the_member() {
    let scene = Scene::new();
    let mut bytes = archive("demo", "x");
    for at in 0..bytes.len() - 4 {
        if &bytes[at..at + 5] == b"demo/" {
            bytes[at..at + 5].copy_from_slice(b"../x/");
        }
    }
    scene.has("1", bytes);
    let report = scene.deploy(&skills(&["demo"])).await;
    assert_eq!(
        report.failed[0].reason,
        "its archive is refused: member `../x/SKILL.md`: a path that leads out of the skill"
    );
    assert_eq!(scene.entries(), [""; 0]);
}

#[tokio::test]
async fn what_a_killed_process_left_behind_goes() {
    let scene = Scene::new();
    let stale = scene.folder.path().join(".wegent-staging/1-0-3/skill");
    fs::create_dir_all(&stale).unwrap();
    scene.has("1", archive("demo", "x"));
    scene.deploy(&skills(&["demo"])).await;
    assert_eq!(scene.entries(), ["demo"]);
}

#[tokio::test]
async fn without_a_token_only_what_is_there_can_be_used() {
    let scene = Scene::new();
    let bytes = archive("demo", "x");
    let mut demo = skills(&["demo", "other"]);
    demo.known.get_mut("demo").unwrap().hash = Some(hash(&bytes));
    scene.has("1", bytes);
    scene.deploy(&demo).await;
    let place = scene.place();
    let report = deploy(&demo, &place, &scene.backend, None, Limits::default()).await;
    assert_eq!(report.deployed, ["demo"]);
    assert_eq!(
        report.failed[0].reason,
        "download failed: the request has no auth_token"
    );
}
