//! Attachments fetched from a backend that does as it is told.

use std::{
    os::unix::fs::symlink,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tempfile::TempDir;

use super::*;
use crate::{
    AgentKind, Prompt, PromptPart, SubtaskId,
    downloads::{Body, ContentHash, Fetched, SkillId},
};

const TASK: TaskId = TaskId(7);

type Answer = Result<Vec<Bytes>, DownloadError>;

/// Answers with what `answers` says for an id, one after the other; then with the id as text.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<Vec<(i64, Answer)>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Scripted {
    fn answer(&self, id: i64, answer: Answer) {
        self.answers.lock().unwrap().push((id, answer));
    }

    fn next(&self, id: i64) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        match answers.iter().position(|(of, _)| *of == id) {
            Some(index) => answers.remove(index).1,
            None => Ok(vec![Bytes::from(format!("file {id}"))]),
        }
    }
}

impl Downloads for Scripted {
    fn attachment<'a>(
        &'a self,
        _: &'a Access,
        id: i64,
    ) -> BoxFuture<'a, Result<Body, DownloadError>> {
        Box::pin(async move {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            let chunks = self.next(id)?;
            Ok(Body {
                length: None,
                hash: None,
                chunks: stream::iter(chunks.into_iter().map(Ok)).boxed(),
            })
        })
    }

    fn find_skill<'a>(
        &'a self,
        _: &'a Access,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<SkillId>, DownloadError>> {
        unreachable!("attachments need no skills")
    }

    fn skill<'a>(
        &'a self,
        _: &'a Access,
        _: &'a SkillId,
        _: Option<&'a ContentHash>,
    ) -> BoxFuture<'a, Result<Fetched, DownloadError>> {
        unreachable!("attachments need no skills")
    }
}

struct Scene {
    root: TempDir,
    backend: Scripted,
}

impl Scene {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            backend: Scripted::default(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("7")
    }

    fn attachments(&self) -> PathBuf {
        self.folder().join("7:executor:attachments")
    }

    async fn fetch(&self, attachments: &[Attachment]) -> Vec<Result<PathBuf, String>> {
        let limits = Limits {
            size: 100,
            ..Limits::default()
        };
        self.fetch_with(attachments, Some(&access()), limits).await
    }

    async fn fetch_with(
        &self,
        attachments: &[Attachment],
        access: Option<&Access>,
        limits: Limits,
    ) -> Vec<Result<PathBuf, String>> {
        fs::create_dir_all(self.folder()).unwrap();
        let folder = self.folder();
        let deliveries = fetch(attachments, TASK, &folder, &self.backend, access, limits).await;
        let results = deliveries.into_iter().map(|delivery| delivery.result);
        results
            .map(|result| result.map(|local| local.path))
            .collect()
    }

    /// Everything below the task's folder that is no folder.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, files: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), files);
                } else {
                    files.push(entry.file_name().into_string().unwrap());
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.folder(), &mut files);
        files.sort();
        files
    }
}

fn access() -> Access {
    Access {
        task: TASK,
        token: "token".into(),
        backend_url: None,
    }
}

fn attachment(id: i64, filename: &str) -> Attachment {
    Attachment {
        id,
        filename: filename.to_owned(),
        mime_type: None,
        size: None,
        subtask: SubtaskId(5),
        state: AttachmentState::Wanted,
    }
}

fn refused(status: u16) -> DownloadError {
    DownloadError::Refused {
        status,
        body: "no".to_owned(),
        retry_after: Some(Duration::ZERO),
    }
}

#[tokio::test]
async fn files_land_where_they_belong_under_names_of_their_own() {
    let scene = Scene::new();
    let asked = [
        attachment(1, "../a.txt"),
        attachment(2, "a.txt"),
        attachment(3, ""),
    ];
    let paths = scene.fetch(&asked).await;
    let folder = scene.attachments().join("5");
    for (path, (name, text)) in paths.iter().zip([
        ("a.txt", "file 1"),
        ("a-2.txt", "file 2"),
        ("document", "file 3"),
    ]) {
        assert_eq!(path.as_ref().unwrap(), &folder.join(name));
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), text);
    }
    assert_eq!(scene.files(), ["a-2.txt", "a.txt", "document"]);
}

#[tokio::test]
async fn hostile_names_stay_in_their_folder() {
    let scene = Scene::new();
    let names = ["/etc/passwd", "a\0b", "..", &"n".repeat(300), "x\r\ny"];
    let asked: Vec<_> = (1..)
        .zip(names)
        .map(|(id, name)| attachment(id, name))
        .collect();
    let folder = scene.attachments().join("5");
    for path in scene.fetch(&asked).await {
        assert_eq!(path.unwrap().parent().unwrap(), folder);
    }
}

#[tokio::test]
async fn a_failure_is_reported_with_its_reason_and_leaves_nothing() {
    let scene = Scene::new();
    scene.backend.answer(1, Err(refused(404)));
    let large = vec![Bytes::from(vec![0; 60]), Bytes::from(vec![0; 60])];
    scene.backend.answer(2, Ok(large));
    let results = scene.fetch(&[attachment(1, "a"), attachment(2, "b")]).await;
    assert_eq!(results[0].as_ref().unwrap_err(), "HTTP 404; body=no");
    assert_eq!(results[1].as_ref().unwrap_err(), "larger than 0 MiB");
    assert_eq!(scene.files(), [""; 0]);
}

#[tokio::test]
async fn chance_failures_are_tried_again_and_others_are_not() {
    let scene = Scene::new();
    for _ in 0..2 {
        scene.backend.answer(1, Err(refused(503)));
        scene.backend.answer(2, Err(refused(403)));
    }
    let results = scene.fetch(&[attachment(1, "a"), attachment(2, "b")]).await;
    assert!(results[0].is_ok(), "{results:?}");
    assert_eq!(results[1].as_ref().unwrap_err(), "HTTP 403; body=no");
}

#[tokio::test]
async fn no_more_than_the_limit_are_fetched_at_once() {
    let scene = Scene::new();
    let asked: Vec<_> = (1..50).map(|id| attachment(id, "a")).collect();
    let results = scene.fetch(&asked).await;
    assert!(results.iter().all(Result::is_ok));
    let most = scene.backend.most.load(Ordering::SeqCst);
    assert_eq!(most, 8);
}

#[tokio::test]
async fn what_is_there_already_is_used_and_what_is_gone_is_fetched() {
    let scene = Scene::new();
    let folder = scene.attachments().join("5");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.txt"), "synced").unwrap();
    let at = |id, name: &str| Attachment {
        state: AttachmentState::Local(folder.join(name)),
        ..attachment(id, name)
    };
    let asked = [at(1, "a.txt"), at(2, "gone.txt"), attachment(3, "a.txt")];
    let paths = scene.fetch(&asked).await;
    assert_eq!(paths[0].as_ref().unwrap(), &folder.join("a.txt"));
    assert_eq!(fs::read_to_string(folder.join("a.txt")).unwrap(), "synced");
    assert_eq!(
        fs::read_to_string(folder.join("gone.txt")).unwrap(),
        "file 2"
    );
    // The name is another file's.
    assert_eq!(paths[2].as_ref().unwrap(), &folder.join("a-2.txt"));
}

#[tokio::test]
async fn a_given_path_outside_of_the_task_is_refused() {
    let scene = Scene::new();
    fs::create_dir_all(scene.folder()).unwrap();
    fs::write(scene.root.path().join("other"), "secret").unwrap();
    symlink("../other", scene.folder().join("link")).unwrap();
    for path in ["/etc/passwd", "../other", "link"] {
        let asked = Attachment {
            state: AttachmentState::Local(scene.folder().join(path)),
            ..attachment(1, "a")
        };
        let refused = scene.fetch(&[asked]).await.remove(0).unwrap_err();
        assert_eq!(refused, "local_path is outside the task's folder", "{path}");
    }
}

#[tokio::test]
async fn a_folder_that_is_a_link_is_not_written_through() {
    let scene = Scene::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(scene.folder()).unwrap();
    symlink(elsewhere.path(), scene.attachments()).unwrap();
    let refused = scene.fetch(&[attachment(1, "a")]).await.remove(0);
    assert!(refused.unwrap_err().contains("can't be written"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_token_every_file_says_so() {
    let scene = Scene::new();
    let results = scene
        .fetch_with(&[attachment(1, "a")], None, Limits::default())
        .await;
    assert_eq!(
        results[0].as_ref().unwrap_err(),
        "the request has no auth_token"
    );
}

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_nothing() {
    let scene = Scene::new();
    fs::create_dir_all(scene.folder()).unwrap();
    let body = Body {
        length: None,
        hash: None,
        chunks: stream::iter([Ok(Bytes::from_static(b"half"))])
            .chain(stream::pending())
            .boxed(),
    };
    let folder = Confined::open(&scene.folder()).unwrap();
    let (partial, file) = Partial::create(&folder).unwrap();
    assert_eq!(scene.files().len(), 1);
    let writing = async {
        let _partial = partial;
        body.write_to(file, 100).await
    };
    let waited = tokio::time::timeout(Duration::from_millis(50), writing).await;
    assert!(waited.is_err());
    assert_eq!(scene.files(), [""; 0]);
}

#[tokio::test]
async fn an_image_becomes_a_part_of_the_prompt_as_the_agent_takes_it() {
    let scene = Scene::new();
    let folder = scene.folder();
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("photo");
    let mut bytes = Vec::new();
    ::image::DynamicImage::new_rgb8(2000, 10)
        .write_to(&mut io::Cursor::new(&mut bytes), ::image::ImageFormat::Png)
        .unwrap();
    fs::write(&path, bytes).unwrap();
    let given = Attachment {
        state: AttachmentState::Local(path.clone()),
        ..attachment(1, "photo.png")
    };
    let limits = Limits::default();
    let deliveries = fetch(&[given], TASK, &folder, &scene.backend, None, limits).await;
    let prompt = Prompt::text("Look.");
    let codex = into_prompt(&prompt, AgentKind::Codex, TASK, &deliveries);
    assert_eq!(codex.0[1], PromptPart::LocalImage { path });
    let claude = into_prompt(&prompt, AgentKind::ClaudeCode, TASK, &deliveries);
    assert!(
        matches!(&claude.0[1], PromptPart::Image { url } if url.starts_with("data:image/png;base64,")),
    );
}
