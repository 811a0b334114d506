//! Changes of all kinds, made as a turn's tools make them.

use testkit::git_server::git;

use super::*;

struct Scene {
    root: tempfile::TempDir,
    changes: TurnChanges,
}

const AUTHOR: [&str; 4] = [
    "-c",
    "user.name=Agent",
    "-c",
    "user.email=agent@example.invalid",
];

impl Scene {
    /// A repository with a commit, one file changed since, one untracked; and a turn that begins.
    async fn begin() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        git(at, &["init", "-q", "-b", "main"]);
        for (file, content) in [
            ("a", "1\n2\n3\n"),
            ("b", "b\n"),
            ("dirty", "old\n"),
            (".gitignore", "ignored\n"),
        ] {
            fs::write(at.join(file), content).unwrap();
        }
        let scene = Self {
            root,
            changes: TurnChanges(None),
        };
        scene.commit("first");
        fs::write(scene.file("dirty"), "old\nnew\n").unwrap();
        fs::write(scene.file("untracked"), "u\n").unwrap();
        Self {
            changes: TurnChanges::begin(scene.root.path()).await,
            ..scene
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.root.path(), arguments)
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&[&AUTHOR[..], &["commit", "-qm", message]].concat());
    }

    /// `+2-1 a` for a changed file, `A`, `D` or `R from` before it.
    async fn told(&self) -> Vec<String> {
        let changes = self.changes.so_far(Duration::from_secs(60)).await;
        let told = |file: &FileChange| {
            let kind = match &file.kind {
                FileChangeKind::Added => "A ".to_owned(),
                FileChangeKind::Modified => String::new(),
                FileChangeKind::Deleted => "D ".to_owned(),
                FileChangeKind::Renamed { from } => format!("R {from} "),
            };
            let binary = if file.binary { " binary" } else { "" };
            format!(
                "{kind}+{}-{} {}{binary}",
                file.additions, file.deletions, file.path
            )
        };
        changes.files.iter().map(told).collect()
    }
}

#[tokio::test]
async fn only_what_changed_since_counts_committed_or_not() {
    let scene = Scene::begin().await;
    assert_eq!(scene.told().await, [""; 0]);
    fs::write(scene.file("a"), "1\ntwo\n3\n4\n").unwrap();
    fs::write(scene.file("new"), "x\ny\n").unwrap();
    fs::write(scene.file("ignored"), "x").unwrap();
    fs::remove_file(scene.file("b")).unwrap();
    let expected = ["+2-1 a", "D +0-1 b", "A +2-0 new"];
    assert_eq!(scene.told().await, expected);
    scene.git(&["add", "a"]);
    assert_eq!(scene.told().await, expected, "staged");
    scene.commit("second");
    assert_eq!(
        scene.told().await,
        expected,
        "committed, with what was changed before"
    );
    fs::write(scene.file("dirty"), "old\nnew\nnewer\n").unwrap();
    fs::write(scene.file("untracked"), "u\nv\n").unwrap();
    assert_eq!(
        scene.told().await,
        [
            "+2-1 a",
            "D +0-1 b",
            "+1-0 dirty",
            "A +2-0 new",
            "+1-0 untracked"
        ]
    );
    scene.git(&["reset", "-q", "--hard"]);
    fs::remove_file(scene.file("untracked")).unwrap();
    let told = scene.told().await;
    assert_eq!(told.last().unwrap(), "D +0-1 untracked");
}

#[tokio::test]
async fn renames_modes_binaries_links_and_odd_names_are_told() {
    let scene = Scene::begin().await;
    fs::rename(scene.file("a"), scene.file("z")).unwrap();
    fs::write(scene.file("bin"), [0, 1, 2]).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", scene.file("link")).unwrap();
    fs::write(scene.file("line\nbreak \"é\""), "x\n").unwrap();
    fs::write(scene.file("large"), vec![b'x'; 5 << 20]).unwrap();
    assert_eq!(
        scene.told().await,
        [
            "A +0-0 bin binary",
            "A +0-0 large binary",
            "A +1-0 line\nbreak \"é\"",
            "A +1-0 link",
            "R a +0-0 z"
        ]
    );
}

#[tokio::test]
async fn the_turns_commits_are_told_in_their_order() {
    let scene = Scene::begin().await;
    let base = scene
        .changes
        .so_far(Duration::from_secs(60))
        .await
        .base
        .unwrap();
    assert_eq!(
        (base.id, base.message.as_str()),
        (scene.git(&["rev-parse", "HEAD"]), "first")
    );
    scene.git(&["checkout", "-qb", "wegent-1"]);
    scene.commit("second\n\nwith a body");
    fs::write(scene.file("c"), "1\n2\n").unwrap();
    scene.commit("third");
    let changes = scene.changes.so_far(Duration::from_secs(60)).await;
    let commits: Vec<_> = changes
        .commits
        .iter()
        .map(|c| (c.message.as_str(), c.files, c.additions, c.deletions))
        .collect();
    assert_eq!(
        commits,
        [("second\n\nwith a body", 2, 2, 0), ("third", 1, 2, 0)]
    );
    assert_eq!(changes.commits[1].id, scene.git(&["rev-parse", "HEAD"]));
    assert_eq!(
        (
            changes.commits[1].author.as_str(),
            changes.commits[1].email.as_str()
        ),
        ("Agent", "agent@example.invalid")
    );
    assert_eq!(changes.branch.as_deref(), Some("wegent-1"));
    // What comes from elsewhere is not this turn's.
    let other = [
        "-c",
        "user.name=O",
        "-c",
        "user.email=o",
        "commit-tree",
        "HEAD^{tree}",
        "-p",
        "HEAD",
        "-m",
        "old",
    ];
    #[expect(clippy::disallowed_methods, reason = "an old commit needs an old date")]
    let old = std::process::Command::new("git")
        .args(other)
        .current_dir(scene.root.path())
        .env("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
        .output()
        .unwrap();
    scene.git(&[
        "merge",
        "-q",
        "--ff-only",
        String::from_utf8(old.stdout).unwrap().trim(),
    ]);
    assert_eq!(
        scene
            .changes
            .so_far(Duration::from_secs(60))
            .await
            .commits
            .len(),
        2
    );
}

#[tokio::test]
async fn nothing_is_written_to_the_repository() {
    let scene = Scene::begin().await;
    let count = || scene.git(&["count-objects"]);
    let before = count();
    fs::write(scene.file("a"), "else\n").unwrap();
    assert_eq!(scene.told().await.len(), 1);
    assert_eq!(count(), before);
    assert_eq!(
        scene.git(&["status", "--porcelain"]),
        " M a\n M dirty\n?? untracked"
    );
}

#[tokio::test]
async fn a_repository_may_be_new_or_none() {
    let root = tempfile::tempdir().unwrap();
    let none = TurnChanges::begin(root.path()).await;
    fs::write(root.path().join("x"), "x").unwrap();
    assert_eq!(
        none.so_far(Duration::from_secs(60)).await,
        FileChanges::default()
    );
    git(root.path(), &["init", "-q", "-b", "main"]);
    let new = Scene {
        changes: TurnChanges::begin(root.path()).await,
        root,
    };
    fs::write(new.file("y"), "y\n").unwrap();
    assert_eq!(new.told().await, ["A +1-0 y"]);
    new.commit("first");
    assert_eq!(new.told().await, ["A +1-0 y"]);
    assert_eq!(
        new.changes.so_far(Duration::from_secs(60)).await.commits[0].files,
        2
    );
}

#[tokio::test]
async fn hostile_configuration_runs_nothing_and_points_nowhere() {
    let scene = Scene::begin().await;
    let file = scene.file("executed");
    let command = format!("touch {}", file.display());
    for key in [
        "core.fsmonitor",
        "diff.external",
        "filter.x.clean",
        "filter.x.process",
        "diff.x.textconv",
    ] {
        scene.git(&["config", key, &command]);
    }
    scene.git(&["config", "include.path", "/dev/zero-that-is-not-there"]);
    fs::write(scene.file(".gitattributes"), "* filter=x diff=x\n").unwrap();
    let turn = TurnChanges::begin(scene.root.path()).await;
    fs::write(scene.file("a"), "else\n").unwrap();
    assert_eq!(turn.so_far(Duration::from_secs(60)).await.files.len(), 1);
    assert!(!file.exists());
    scene.git(&["config", "core.worktree", "/"]);
    assert!(TurnChanges::begin(scene.root.path()).await.0.is_none());
}

#[tokio::test]
async fn looks_meanwhile_have_their_share_of_memory_and_the_end_is_told_all_the_same() {
    let scene = Scene::begin().await;
    fs::write(scene.file("c"), "1\n2\n").unwrap();
    let patience = Duration::from_secs(60);
    let meanwhile = scene.changes.meanwhile(patience).await;
    assert_eq!(meanwhile, Some(scene.changes.so_far(patience).await));
    for number in 0..17 {
        let content = format!("{number}\n").repeat(4 << 20);
        let content = &content.as_bytes()[..4 << 20];
        fs::write(scene.file(&format!("large-{number:02}")), content).unwrap();
    }
    let told = scene.changes.meanwhile(patience).await.unwrap().files;
    assert!(told.iter().any(|file| file.binary), "there was no room");
    assert_eq!(scene.changes.meanwhile(patience).await, None);
    assert_eq!(scene.changes.so_far(patience).await.files.len(), 18);
    let nothing = TurnChanges::none();
    assert_eq!(nothing.meanwhile(patience).await, None);
}
