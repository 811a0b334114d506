//! The backend's client against a backend that misbehaves, and a whole preparation's downloads.

use std::time::{Duration, Instant};

use agent_core::{
    Attachment, AttachmentState, KnownSkill, Skills, SkillsFolder, SubtaskId, TaskId, attachments,
    downloads::Access, skills,
};
use executor::backend::Backend;
use http_client::{HttpClients, HttpUrl, Proxies};
use tempfile::TempDir;
use testkit::backend::{Trouble, skill_archive};

const TOKEN: &str = "task-token-5b1f";
const TASK: TaskId = TaskId(7);

struct Scene {
    wegent: testkit::Backend,
    root: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self {
            wegent: testkit::Backend::start().await.unwrap(),
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn client(&self) -> Backend {
        let url = HttpUrl::parse(&self.wegent.url()).unwrap();
        Backend::new(HttpClients::new(Proxies::default()).unwrap(), Some(url))
    }

    /// Fetches attachments with these ids.
    async fn fetch(&self, ids: std::ops::Range<i64>) -> Vec<Result<attachments::Local, String>> {
        let wanted: Vec<_> = ids.map(attachment).collect();
        let (folder, limits) = (self.root.path(), attachments::Limits::default());
        let access = access();
        let deliveries =
            attachments::fetch(&wanted, TASK, folder, &self.client(), Some(&access), limits).await;
        deliveries
            .into_iter()
            .map(|delivery| delivery.result)
            .collect()
    }

    async fn deploy(&self, skills: &Skills, parallel: usize) -> skills::Report {
        let place = SkillsFolder {
            path: self.root.path().join("skills"),
            exclusive: true,
        };
        let limits = skills::Limits {
            parallel,
            ..skills::Limits::default()
        };
        skills::deploy(skills, &place, &self.client(), Some(&access()), limits).await
    }
}

fn access() -> Access {
    Access {
        task: TASK,
        token: TOKEN.into(),
        backend_url: None,
    }
}

fn attachment(id: i64) -> Attachment {
    Attachment {
        id,
        filename: format!("{id}.txt"),
        mime_type: None,
        size: None,
        subtask: SubtaskId(5),
        state: AttachmentState::Wanted,
    }
}

fn one_skill(name: &str) -> Skills {
    Skills {
        offered: vec![name.to_owned()],
        ..Skills::default()
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_one_line_without_the_token() {
    let scene = Scene::new().await;
    scene.wegent.files().trouble(Trouble::Status(403));
    let reason = scene.fetch(1..2).await.remove(0).unwrap_err();
    assert_eq!(reason, "HTTP 403; body=refused on purpose for ***");
}

#[tokio::test]
async fn a_broken_download_is_tried_again() {
    let scene = Scene::new().await;
    scene.wegent.files().keep_attachment(1, "whole");
    scene.wegent.files().trouble(Trouble::Cut);
    scene.wegent.files().trouble(Trouble::Status(502));
    let local = scene.fetch(1..2).await.remove(0).unwrap();
    assert_eq!(std::fs::read_to_string(local.path).unwrap(), "whole");
    assert_eq!(scene.wegent.files().asked().len(), 3);
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirect_to_another_host() {
    let scene = Scene::new().await;
    let other = testkit::Backend::start().await.unwrap();
    let target = format!("{}/api/attachments/1/executor-download", other.url());
    scene.wegent.files().trouble(Trouble::Redirect(target));
    let reason = scene.fetch(1..2).await.remove(0).unwrap_err();
    assert_eq!(reason, "the backend redirects to another host");
    assert_eq!(other.files().asked(), []);
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let scene = Scene::new().await;
    scene.wegent.files().keep_attachment(2, "moved");
    let target = "/api/attachments/2/executor-download".to_owned();
    scene.wegent.files().trouble(Trouble::Redirect(target));
    let local = scene.fetch(1..2).await.remove(0).unwrap();
    assert_eq!(std::fs::read_to_string(local.path).unwrap(), "moved");
}

#[tokio::test]
async fn a_skill_that_was_damaged_on_its_way_is_fetched_again_and_an_unchanged_one_is_not() {
    let scene = Scene::new().await;
    let archive = skill_archive("demo", &[("SKILL.md", 0o644, "demo")]);
    scene.wegent.files().keep_skill("4", "demo", archive);
    let mut demo = one_skill("demo");
    let known = KnownSkill {
        id: "4".to_owned(),
        namespace: None,
        hash: None,
    };
    demo.known.insert("demo".to_owned(), known);
    scene.wegent.files().trouble(Trouble::Damaged);
    assert_eq!(scene.deploy(&demo, 3).await.deployed, ["demo"]);
    assert_eq!(scene.wegent.files().asked().len(), 2);
    assert!(!scene.deploy(&demo, 3).await.changed);
    let last = scene.wegent.files().asked().pop().unwrap();
    assert!(last.condition.is_some(), "{last:?}");
    assert_eq!(
        last.uri,
        "/api/v1/kinds/skills/4/download?namespace=default&task_id=7"
    );
}

#[tokio::test]
async fn a_skill_is_found_by_its_name() {
    let scene = Scene::new().await;
    let archive = skill_archive("demo", &[("SKILL.md", 0o644, "demo")]);
    scene.wegent.files().keep_skill("4", "demo", archive);
    let named = Skills {
        namespace: Some("a team".to_owned()),
        ..one_skill("demo")
    };
    assert_eq!(scene.deploy(&named, 3).await.deployed, ["demo"]);
    let uris: Vec<_> = scene
        .wegent
        .files()
        .asked()
        .into_iter()
        .map(|asked| asked.uri)
        .collect();
    assert_eq!(
        uris,
        [
            "/api/v1/kinds/skills?name=demo&namespace=a+team&task_id=7",
            "/api/v1/kinds/skills/4/download?namespace=a+team&task_id=7"
        ]
    );
}

#[tokio::test]
async fn fifty_skills_and_fifty_attachments_come_eight_at_a_time() {
    let scene = Scene::new().await;
    let files = scene.wegent.files();
    files.set_latency(Duration::from_millis(50));
    let mut named = Skills::default();
    for id in 1..=50 {
        files.keep_attachment(id, vec![b'x'; 100_000]);
        let name = format!("skill-{id}");
        let archive = skill_archive(&name, &[("SKILL.md", 0o644, "x"), ("run.sh", 0o755, "y")]);
        files.keep_skill(&id.to_string(), &name, archive);
        let known = KnownSkill {
            id: id.to_string(),
            namespace: None,
            hash: None,
        };
        named.known.insert(name.clone(), known);
        named.offered.push(name);
    }
    let begun = Instant::now();
    let (fetched, report) = tokio::join!(scene.fetch(1..51), scene.deploy(&named, 8));
    let took = begun.elapsed();
    println!("50 skills and 50 attachments with 50 ms latency: {took:?}");
    assert!(fetched.iter().all(Result::is_ok), "{fetched:?}");
    assert_eq!((report.deployed.len(), report.failed.len()), (50, 0));
    // One after the other they would take 5 s. How fast the machine is says the rest.
    let most = files.most_open();
    assert!((9..=16).contains(&most), "{most}");
}
