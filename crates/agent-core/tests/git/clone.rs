//! The states of a checkout.

use std::{
    ffi::OsStr,
    fs,
    time::{Duration, Instant},
};

use agent_core::GitSource;
use testkit::git_server::{Faults, git};

use crate::stage::{Stage, TOKEN, contains};

#[tokio::test]
async fn a_repository_is_cloned_on_its_branch_with_the_authors_name() {
    let stage = Stage::new().await;
    stage
        .server
        .repository("other.git")
        .commit("main", "x", &[("x", "y")]);
    let git_service = stage.git();
    let checkout = stage
        .check_out(&git_service, &stage.source())
        .await
        .unwrap();
    let folder = checkout.folder.clone().unwrap();
    assert_eq!(folder, stage.tasks().join("web"));
    assert_eq!(stage.left(), ["web"]);
    assert_eq!(
        fs::read_to_string(folder.join("README.md")).unwrap(),
        "hello\n"
    );
    assert_eq!(git(&folder, &["branch", "--show-current"]), "main");
    assert_eq!(git(&folder, &["config", "user.name"]), "alice");
    assert_eq!(
        git(&folder, &["config", "user.email"]),
        "alice@example.invalid"
    );
    assert_eq!(
        git(&folder, &["config", "remote.origin.url"]),
        stage.source().url
    );
    assert_eq!(git(&folder, &["status", "--porcelain"]), "");
    assert!(
        !contains(stage.root.path(), TOKEN),
        "the token is in no file"
    );
    assert!(
        stage
            .said
            .lock()
            .unwrap()
            .iter()
            .any(|note| note.starts_with("cloning from"))
    );
}

#[tokio::test]
async fn tools_get_the_facts_and_no_secret() {
    let stage = Stage::new().await;
    let source = GitSource {
        repository: Some("shop/web".into()),
        repository_id: Some("12".into()),
        url: stage
            .source()
            .url
            .replace("http://", "http://eve:in-the-url@"),
        ..stage.source()
    };
    let checkout = stage.check_out(&stage.git(), &source).await.unwrap();
    let value = |name: &str| {
        let found = checkout.variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    assert_eq!(value("GIT_URL").unwrap(), stage.source().url);
    assert_eq!(value("GIT_DOMAIN").unwrap(), stage.server.domain());
    assert_eq!(value("GIT_REPO").unwrap(), "shop/web");
    assert_eq!(value("GIT_REPO_ID").unwrap(), "12");
    assert_eq!(value("BRANCH_NAME").unwrap(), "main");
    for (name, value) in &checkout.variables {
        let value = value.to_str().unwrap();
        assert!(
            !value.contains(TOKEN) && !value.contains("in-the-url"),
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn a_checkout_that_is_there_is_used_as_it_is() {
    let mut stage = Stage::new().await;
    let service = stage.git();
    let folder = stage
        .check_out(&service, &stage.source())
        .await
        .unwrap()
        .folder
        .unwrap();
    fs::write(folder.join("mine"), "work").unwrap();
    git(&folder, &["checkout", "-qb", "wegent-1"]);
    let before = stage.server.requests().len();
    stage.user.email = None;
    let again = stage.check_out(&service, &stage.source()).await.unwrap();
    assert_eq!(again.folder.as_deref(), Some(folder.as_path()));
    assert_eq!(stage.server.requests().len(), before, "nothing is fetched");
    assert_eq!(git(&folder, &["branch", "--show-current"]), "wegent-1");
    assert!(folder.join("mine").exists());
    assert_eq!(
        git(&folder, &["config", "user.email"]),
        "1+alice@users.noreply.github.com"
    );
}

#[tokio::test]
async fn an_empty_folder_is_filled_and_anything_else_is_left_alone() {
    let stage = Stage::new().await;
    let (service, web) = (stage.git(), stage.tasks().join("web"));
    fs::create_dir(&web).unwrap();
    stage.check_out(&service, &stage.source()).await.unwrap();
    assert!(web.join(".git").is_dir());
    for make in [
        |web: &std::path::Path| fs::write(web, "x").unwrap(),
        |web: &std::path::Path| {
            fs::create_dir(web).unwrap();
            fs::write(web.join("precious"), "x").unwrap();
        },
    ] {
        let _ = fs::remove_dir_all(&web);
        make(&web);
        let error = stage
            .check_out(&service, &stage.source())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("can't be cloned there"), "{error}");
        assert_eq!(stage.left(), ["web"]);
        let _ = fs::remove_file(&web);
    }
}

#[tokio::test]
async fn a_restored_workspace_and_a_given_folder_are_taken_as_they_are() {
    let stage = Stage::new().await;
    let service = stage.git();
    let web = stage.tasks().join("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("restored"), "x").unwrap();
    let restored = GitSource {
        restored: true,
        ..stage.source()
    };
    let before = stage.server.requests().len();
    assert_eq!(
        stage.check_out(&service, &restored).await.unwrap().folder,
        Some(web)
    );
    let given = stage.root.path().join("persistent");
    fs::create_dir(&given).unwrap();
    let source = GitSource {
        folder: Some(given.clone()),
        ..stage.source()
    };
    fs::write(given.join("p4"), "x").unwrap();
    assert_eq!(
        stage.check_out(&service, &source).await.unwrap().folder,
        Some(given.clone())
    );
    assert_eq!(stage.server.requests().len(), before, "nothing was cloned");
    fs::remove_file(given.join("p4")).unwrap();
    stage.check_out(&service, &source).await.unwrap();
    assert!(given.join(".git").is_dir(), "an empty one is cloned into");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_leaves_nothing() {
    let mut stage = Stage::new().await;
    for (token, expected) in [
        (Some("wr0ng-token"), "not accepted"),
        (None, "needs a git token"),
    ] {
        stage.user.token = token.map(Into::into);
        let error = stage
            .check_out(&stage.git(), &stage.source())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && !error.contains("wr0ng-token"),
            "{error}"
        );
    }
    stage.user.token = Some(TOKEN.into());
    let missing = GitSource {
        branch: Some("nowhere".into()),
        ..stage.source()
    };
    let error = stage
        .check_out(&stage.git(), &missing)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("nowhere") && error.contains("not found"),
        "{error}"
    );
    assert_eq!(stage.left(), [""; 0]);
}

#[tokio::test]
async fn history_can_be_left_out() {
    let mut stage = Stage::new().await;
    let repository = stage.server.repository("deep.git");
    for subject in ["a", "b", "c"] {
        repository.commit("main", subject, &[(subject, subject)]);
    }
    stage.settings.depth = std::num::NonZeroU32::new(1);
    stage.settings.filter = Some("blob:none".parse().unwrap());
    let source = GitSource {
        url: format!("{}/deep.git", stage.server.url()),
        ..stage.source()
    };
    let folder = stage
        .check_out(&stage.git(), &source)
        .await
        .unwrap()
        .folder
        .unwrap();
    assert_eq!(git(&folder, &["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(
        git(&folder, &["config", "remote.origin.partialclonefilter"]),
        "blob:none"
    );
}

#[tokio::test]
async fn a_clone_that_is_dropped_midway_or_takes_too_long_leaves_nothing() {
    let mut stage = Stage::new().await;
    stage
        .server
        .repository("big.git")
        .commit("main", "big", &[("noise", &noise(1 << 20))]);
    stage.server.set_faults(Faults {
        stall_after: Some(200_000),
        ..Faults::default()
    });
    let source = GitSource {
        url: format!("{}/big.git", stage.server.url()),
        ..stage.source()
    };
    let service = stage.git();
    {
        let mut cloning = Box::pin(stage.check_out(&service, &source));
        let midway = async {
            while !stage
                .said
                .lock()
                .unwrap()
                .iter()
                .any(|note| note.starts_with("receiving objects"))
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = &mut cloning => panic!("{ended:?}"),
            () = midway => {}
        }
        assert_eq!(stage.left().len(), 1, "it is under way");
    }
    gone(&stage).await;
    stage.settings.clone_limit = Duration::from_secs(3);
    let error = stage
        .check_out(&stage.git(), &source)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("took longer than 3 s"), "{error}");
    gone(&stage).await;
}

/// Waits until nothing is left of a clone.
async fn gone(stage: &Stage) {
    let wait = async {
        while !stage.left().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_killed_executor_left_is_cleared_away() {
    let stage = Stage::new().await;
    let left = stage.tasks().join(".web.clone-dead");
    fs::create_dir_all(left.join(".git")).unwrap();
    fs::create_dir_all(stage.tasks().join(".website.clone-dead")).unwrap();
    stage
        .check_out(&stage.git(), &stage.source())
        .await
        .unwrap();
    assert_eq!(stage.left(), [".website.clone-dead", "web"]);
}

/// What doesn't compress.
fn noise(length: usize) -> String {
    noise_of(1, length)
}

fn noise_of(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(length);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(char::from(b'!' + (state % 90) as u8));
    }
    text
}

#[tokio::test]
async fn pointers_of_large_files_are_told_of_where_nothing_fetches_them() {
    let stage = Stage::new().await;
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    stage.server.repository("large.git").commit(
        "main",
        "x",
        &[
            (
                ".gitattributes",
                "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            ),
            ("a.bin", pointer),
        ],
    );
    let source = GitSource {
        url: format!("{}/large.git", stage.server.url()),
        ..stage.source()
    };
    let service = stage.git();
    let checkout = stage.check_out(&service, &source).await.unwrap();
    let installed =
        agent_core::program::on_path("git-lfs", Some(&stage.settings.image[OsStr::new("PATH")]));
    if installed.is_some() {
        assert_eq!(checkout.warnings, [""; 0]);
        return;
    }
    assert!(
        checkout.warnings[0].contains("Git LFS"),
        "{:?}",
        checkout.warnings
    );
    let folder = checkout.folder.unwrap();
    assert_eq!(fs::read_to_string(folder.join("a.bin")).unwrap(), pointer);
    let again = stage.check_out(&service, &source).await.unwrap();
    assert_eq!(again.warnings, [""; 0], "it is told once");
}

/// A benchmark: `cargo test --release -p agent-core --test git -- --ignored --nocapture a_clone_takes`.
#[tokio::test]
#[ignore = "a benchmark; it needs the machine for itself"]
async fn a_clone_takes_as_long_as_gits_own() {
    const PACK: usize = 25 << 20;
    const RUNS: usize = 3;
    let stage = Stage::new().await;
    let repository = stage.server.repository("large.git");
    // Nothing of it compresses.
    let content: Vec<(String, String)> = (0..25)
        .map(|number| {
            (
                format!("file-{number}"),
                noise_of(number + 1, PACK / 25 * 8 / 6),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = content
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    repository.commit("main", "large", &files);
    let source = GitSource {
        url: format!("{}/large.git", stage.server.url()),
        ..stage.source()
    };
    let (service, place) = (stage.git(), stage.tasks().join("large"));
    let with_token = source
        .url
        .replace("http://", &format!("http://alice:{TOKEN}@"));
    let (mut ours, mut gits) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        let begun = Instant::now();
        stage.check_out(&service, &source).await.unwrap();
        ours = ours.min(begun.elapsed());
        fs::remove_dir_all(&place).unwrap();
        let (parent, url) = (stage.tasks(), with_token.clone());
        let begun = Instant::now();
        tokio::task::spawn_blocking(move || {
            git(
                &parent,
                &[
                    "clone",
                    "-q",
                    "--branch",
                    "main",
                    "--single-branch",
                    &url,
                    "large",
                ],
            )
        })
        .await
        .unwrap();
        gits = gits.min(begun.elapsed());
        fs::remove_dir_all(&place).unwrap();
    }
    let times = ours.as_secs_f64() / gits.as_secs_f64();
    println!("a clone of 25 MiB: {ours:?}, git's own {gits:?}: {times:.2} times as long");
    assert!(times < 1.1, "{times}");
}
