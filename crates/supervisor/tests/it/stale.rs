//! What an earlier life of an executor left behind.

use supervisor::{SESSION_MARK, SessionMark, end_stale_sessions};

use crate::scene::{PATH, Scene, alive};

/// A process tree with a mark and without a guard.
fn unguarded(scene: &Scene, mark: &SessionMark, script: &str) -> tokio::process::Child {
    #[expect(clippy::disallowed_methods, reason = "there must be no guard")]
    let mut command = tokio::process::Command::new("/bin/sh");
    command
        .args(["-c", script])
        .env_clear()
        .env("PATH", PATH)
        .env(SESSION_MARK, mark.as_str());
    command
        .current_dir(scene.folder.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn stale_processes_of_the_owner_are_ended_and_no_others() {
    let scene = Scene::new();
    let owner = format!("owner/{}", std::process::id());
    let mine = r#"
        (setsid sh -c 'trap "" TERM; echo $$ > deaf; while :; do sleep 1000; done' &)
        env -i sleep 1000 & echo $! > bare
        echo $$ > mine; wait"#;
    let mut stale = unguarded(&scene, &SessionMark::new(&owner), mine);
    let other = SessionMark::new(&format!("{owner}2"));
    let mut foreign = unguarded(&scene, &other, "echo $$ > foreign; exec sleep 1000");
    let ended = scene.living(["mine", "deaf", "bare"]).await;
    let spared = scene.living(["foreign"]).await;

    let report = end_stale_sessions(&owner).await;
    assert_eq!(report.survivors, []);
    assert!(report.killed);
    assert!(report.ended >= 3, "{report:?}");
    for (name, pid) in ended {
        assert!(!alive(pid), "{name}");
    }
    assert!(alive(spared["foreign"]));
    stale.wait().await.unwrap();
    foreign.kill().await.unwrap();
}

#[tokio::test]
async fn with_nothing_stale_nothing_happens() {
    let report = end_stale_sessions("an owner that never was").await;
    assert_eq!(report, supervisor::SweepReport::default());
}
