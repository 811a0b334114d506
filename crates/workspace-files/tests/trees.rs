//! What others see of a workspace.
#![expect(clippy::unwrap_used, reason = "a test's helpers are test code, too")]

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use tempfile::TempDir;
use workspace_files::{Kind, Stop, Tree, TreeError, ZipError, ZipLimits, zip};

const LIMITS: ZipLimits = ZipLimits {
    size: 1 << 20,
    time: Duration::from_secs(60),
};

/// A workspace with a secret beside it and the executor's state in it, and ways to both.
fn stage() -> (TempDir, Tree) {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("workspace");
    fs::create_dir_all(inside.join("1/folder/below")).unwrap();
    fs::create_dir_all(inside.join("1/.wegent-executor")).unwrap();
    fs::write(root.path().join("secret"), "secret").unwrap();
    fs::write(inside.join("1/.wegent-executor/state"), "state").unwrap();
    fs::write(inside.join("1/b.txt"), "bee").unwrap();
    fs::write(inside.join("1/folder/a.txt"), "a").unwrap();
    symlink("../../secret", inside.join("1/out")).unwrap();
    symlink("folder", inside.join("1/in")).unwrap();
    symlink(".wegent-executor", inside.join("1/sly")).unwrap();
    symlink(".wegent-executor/state", inside.join("1/slier")).unwrap();
    let tree = Tree::open(&inside).unwrap();
    (root, tree)
}

#[test]
fn a_folder_is_listed_folders_first_and_without_the_executors_state() {
    let (_root, tree) = stage();
    let entries = tree.folder(Path::new("1")).unwrap().list().unwrap();
    let seen: Vec<(&str, Kind, u64)> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.kind, entry.size))
        .collect();
    assert_eq!(
        seen,
        [
            ("folder", Kind::Folder, 0),
            ("in", Kind::Folder, 0),
            ("sly", Kind::Folder, 0),
            ("b.txt", Kind::File, 3),
            ("out", Kind::File, 0),
            ("slier", Kind::File, 5),
        ]
    );
}

#[test]
fn nothing_outside_and_nothing_of_the_state_can_be_had() {
    let (_root, tree) = stage();
    let file = |path: &str| tree.file(Path::new(path)).map(|(_, size)| size);
    assert_eq!(file("1/b.txt").unwrap(), 3);
    assert_eq!(file("1/in/a.txt").unwrap(), 1);
    assert_eq!(file("1/folder/../b.txt").unwrap(), 3);
    for out in ["1/out", "../secret", "1/../../secret", "/etc/passwd"] {
        assert!(
            matches!(file(out), Err(TreeError::Outside)),
            "{out}: {:?}",
            file(out)
        );
    }
    for hidden in [
        "1/.wegent-executor/state",
        "1/sly/state",
        "1/slier",
        "1/nothing",
    ] {
        assert!(
            matches!(file(hidden), Err(TreeError::NotFound)),
            "{hidden}: {:?}",
            file(hidden)
        );
    }
    assert!(matches!(file("1/folder"), Err(TreeError::NotAFile)));
    let folder = |path: &str| tree.folder(Path::new(path)).map(|_| ());
    folder("1/in").unwrap();
    folder("").unwrap();
    assert!(matches!(folder("1/b.txt"), Err(TreeError::NotAFolder)));
    for hidden in ["1/.wegent-executor", "1/sly"] {
        assert!(
            matches!(folder(hidden), Err(TreeError::NotFound)),
            "{hidden}"
        );
    }
    assert!(
        matches!(folder(".."), Err(TreeError::Outside)),
        "{:?}",
        folder("..")
    );
}

#[test]
fn a_zip_has_the_folder_as_its_only_root() {
    let (_root, tree) = stage();
    let folder = tree.folder(Path::new("1/folder")).unwrap();
    let file = zip(
        &folder,
        "folder",
        tempfile::tempfile().unwrap(),
        LIMITS,
        &Stop::default(),
    );
    let archive = ::zip::ZipArchive::new(file.unwrap()).unwrap();
    let names = archive.file_names();
    let mut names: Vec<String> = names.map(|name| name.unwrap().into_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["folder/", "folder/a.txt", "folder/below/"]);
}

#[test]
fn a_zip_that_is_too_large_or_too_slow_or_has_links_is_refused() {
    let (_root, tree) = stage();
    let zipped = |path: &str, limits| {
        let folder = tree.folder(Path::new(path)).unwrap();
        zip(
            &folder,
            "x",
            tempfile::tempfile().unwrap(),
            limits,
            &Stop::default(),
        )
        .unwrap_err()
    };
    let small = ZipLimits { size: 0, ..LIMITS };
    assert!(matches!(
        zipped("1/folder", small),
        ZipError::TooLarge { .. }
    ));
    let slow = ZipLimits {
        time: Duration::ZERO,
        ..LIMITS
    };
    assert!(matches!(zipped("1/folder", slow), ZipError::TooSlow { .. }));
    assert!(matches!(zipped("1", LIMITS), ZipError::Link(_)));
}
