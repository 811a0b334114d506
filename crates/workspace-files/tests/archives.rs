//! Archives: what goes in, what comes out, and what hostile ones can't do.
#![expect(clippy::unwrap_used, reason = "a test's helpers are test code, too")]

use std::{
    fs::{self, File},
    io::{Seek, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use workspace_files::{
    HomePart, PackError, Packed, Source, Stop, Target, UnpackError, Unpacked, pack, unpack,
};

const ROOM: u64 = 1 << 30;

fn write(path: impl AsRef<Path>, content: &str) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Where an archive comes from and where it goes.
struct Stage {
    root: TempDir,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("from/task")).unwrap();
        fs::create_dir_all(root.path().join("from/home")).unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        Self { root }
    }

    fn from(&self, path: &str) -> PathBuf {
        self.root.path().join("from").join(path)
    }

    fn to(&self, path: &str) -> PathBuf {
        self.root.path().join("to").join(path)
    }

    fn pack(&self, part: HomePart, limit: u64) -> Result<(File, Packed), PackError> {
        let file = tempfile::tempfile().unwrap();
        let sources = [
            Source::Workspace(self.from("task")),
            Source::Home(self.from("home"), part),
        ];
        let packed = pack(&sources, file.try_clone().unwrap(), limit, &Stop::default())?;
        Ok((file, packed))
    }

    fn unpack(&self, mut archive: File, part: HomePart) -> Result<Unpacked, UnpackError> {
        archive.rewind().unwrap();
        let target = Target {
            workspace: self.to("task"),
            home: Some((self.to("home"), part)),
        };
        unpack(archive, &target, &Stop::default())
    }
}

#[test]
fn a_task_comes_back_as_it_was_but_for_what_can_be_made_again() {
    let stage = Stage::new();
    let repository = git2::Repository::init(stage.from("task/shop")).unwrap();
    for tracked in [
        "vendor/lib/lib.go",
        "build/run.sh",
        "debug.log",
        "src/main.go",
    ] {
        write(stage.from("task/shop").join(tracked), tracked);
        let mut index = repository.index().unwrap();
        index.add_path(Path::new(tracked)).unwrap();
        index.write().unwrap();
    }
    for made in [
        "vendor/other.go",
        "node_modules/a/index.js",
        "src/__pycache__/a.pyc",
        "src/b.pyc",
        "out.log",
        "target/debug/x",
    ] {
        write(stage.from("task/shop").join(made), "again");
    }
    // Names mean nothing to git itself.
    write(stage.from("task/shop/.git/refs/heads/build"), "ref");
    write(stage.from("task/shop/.git/logs/refs/heads/x.log"), "log");
    let script = stage.from("task/shop/build/run.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
    symlink("../../../secret", stage.from("task/shop/out")).unwrap();
    symlink("/etc/passwd", stage.from("task/absolute")).unwrap();
    write(
        stage.from("task/.wegent-executor/sessions/codex-1.json"),
        "{}",
    );
    write(
        stage.from("task/.wegent-executor/codex/sessions/2026/rollout.jsonl"),
        "said",
    );
    write(
        stage.from("task/.wegent-executor/claude/.claude.json"),
        "login",
    );
    write(
        stage.from("task/.wegent-executor/codex/sessions/state.sqlite"),
        "db",
    );
    write(stage.from("home/.claude/projects/p/x.jsonl"), "said");
    write(stage.from("home/.claude/.credentials.json"), "login");
    write(stage.from("home/.bashrc"), "mine");
    let long = format!("task/{}/{}", "d".repeat(120), "f".repeat(150));
    write(stage.from(&long), "long");

    let (archive, packed) = stage.pack(HomePart::Claude, ROOM).unwrap();
    assert!(packed.conversation && packed.repository);
    let unpacked = stage.unpack(archive, HomePart::Claude).unwrap();
    assert!(unpacked.conversation && unpacked.repository);
    assert_eq!((unpacked.members, unpacked.skipped), (packed.members, 0));

    for there in [
        "task/shop/vendor/lib/lib.go",
        "task/shop/build/run.sh",
        "task/shop/debug.log",
        "task/shop/src/main.go",
        "task/shop/.git/index",
        "task/shop/.git/refs/heads/build",
        "task/shop/.git/logs/refs/heads/x.log",
        "task/.wegent-executor/sessions/codex-1.json",
        "task/.wegent-executor/codex/sessions/2026/rollout.jsonl",
        "home/.claude/projects/p/x.jsonl",
        &long,
    ] {
        assert!(stage.to(there).is_file(), "{there}");
    }
    for gone in [
        "task/shop/vendor/other.go",
        "task/shop/node_modules",
        "task/shop/src/b.pyc",
        "task/shop/out.log",
        "task/shop/target",
        "task/.wegent-executor/claude/.claude.json",
        "task/.wegent-executor/codex/sessions/state.sqlite",
        "home/.claude/.credentials.json",
        "home/.bashrc",
    ] {
        assert!(!stage.to(gone).exists(), "{gone}");
    }
    let mode = |path: &str| fs::metadata(stage.to(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("task/shop/build/run.sh"), 0o750);
    assert_eq!(mode("task/.wegent-executor"), 0o700);
    let link = |path: &str| fs::read_link(stage.to(path)).unwrap();
    assert_eq!(link("task/shop/out"), Path::new("../../../secret"));
    assert_eq!(link("task/absolute"), Path::new("/etc/passwd"));
    let modified = |path: PathBuf| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let main = "task/shop/src/main.go";
    assert_eq!(modified(stage.to(main)), modified(stage.from(main)));
}

#[test]
fn a_sandboxs_whole_home_is_taken_without_its_logins() {
    let stage = Stage::new();
    write(stage.from("home/notes.md"), "mine");
    write(stage.from("home/.ssh/id_ed25519"), "key");
    write(stage.from("home/.cache/x"), "again");
    let (archive, _) = stage.pack(HomePart::All, ROOM).unwrap();
    stage.unpack(archive, HomePart::All).unwrap();
    assert!(stage.to("home/notes.md").exists());
    assert!(!stage.to("home/.ssh").exists() && !stage.to("home/.cache").exists());
}

#[test]
fn an_archive_that_gets_too_large_is_given_up() {
    let stage = Stage::new();
    // What can't be compressed.
    let noise: String = (0_u64..100_000)
        .map(|n| char::from(33 + (n.wrapping_mul(6_364_136_223_846_793_005) >> 40) as u8 % 90))
        .collect();
    write(stage.from("task/noise"), &noise);
    let refused = stage.pack(HomePart::Claude, 10_000).unwrap_err();
    assert!(
        matches!(refused, PackError::TooLarge { limit: 10_000 }),
        "{refused:?}"
    );
}

#[test]
fn what_is_told_to_stop_stops() {
    let stage = Stage::new();
    write(stage.from("task/a"), "a");
    let stop = Stop::default();
    stop.now();
    let sources = [Source::Workspace(stage.from("task"))];
    let stopped = pack(&sources, tempfile::tempfile().unwrap(), ROOM, &stop);
    assert!(matches!(stopped, Err(PackError::Stopped)));
}

/// An archive with entries that no builder would make.
#[derive(Default)]
struct Forged(Vec<(Header, Vec<u8>)>);

impl Forged {
    fn entry(mut self, kind: EntryType, name: &str, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4777);
        header.set_mtime(u64::MAX >> 1);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.push((header, content.to_vec()));
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name, "", content.as_bytes())
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    fn archive(self) -> File {
        let file = tempfile::tempfile().unwrap();
        let mut tar = Builder::new(GzEncoder::new(file, Compression::fast()));
        for (header, content) in self.0 {
            tar.append(&header, content.as_slice()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }
}

#[test]
fn a_hostile_archive_writes_nothing_elsewhere() {
    let stage = Stage::new();
    let outside = stage.root.path().join("secret");
    let root = stage.root.path().display().to_string();
    let archive = Forged::default()
        .file("../up", "x")
        .file("workspace/../../up", "x")
        .file("/tmp/workspace-files-absolute", "x")
        .link("workspace/a", &root)
        .file("workspace/a/secret", "overwritten")
        .link("workspace/b", "../..")
        .entry(EntryType::Directory, "workspace/b/made", "", b"")
        .link("workspace/c", &format!("{root}/secret"))
        .file("workspace/c", "overwritten")
        .link("workspace/d", ".wegent-executor/claude")
        .file("workspace/d/settings.json", "hooks")
        .entry(
            EntryType::Link,
            "workspace/hard",
            &format!("{root}/secret"),
            b"",
        )
        .entry(EntryType::Fifo, "workspace/fifo", "", b"")
        .entry(EntryType::Char, "workspace/device", "", b"")
        .file("workspace/.wegent-executor/claude/settings.json", "hooks")
        .link("workspace/.wegent-executor", &root)
        .link("workspace/.wegent-executor/sessions", &root)
        .file("workspace/.wegent-executor/sessions/secret", "mine")
        .file("home/.bashrc", "x")
        .file("home/.claude/.credentials.json", "x")
        .file("workspace/good", "good")
        .archive();
    let unpacked = stage.unpack(archive, HomePart::Claude).unwrap();
    assert!(unpacked.skipped >= 9, "{unpacked:?}");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
    let mut names: Vec<_> = fs::read_dir(stage.root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["from", "secret", "to"]);
    assert!(!Path::new("/tmp/workspace-files-absolute").exists());
    // What was below a link lies in a folder of its own now.
    assert_eq!(
        fs::read_to_string(stage.to("task/a/secret")).unwrap(),
        "overwritten"
    );
    assert!(stage.to("task/b/made").is_dir());
    assert!(!stage.to("task/.wegent-executor/claude").exists());
    assert_eq!(
        fs::read_to_string(stage.to("task/.wegent-executor/sessions/secret")).unwrap(),
        "mine"
    );
    for gone in [
        "task/hard",
        "task/fifo",
        "task/device",
        "home/.bashrc",
        "home/.claude/.credentials.json",
    ] {
        assert!(fs::symlink_metadata(stage.to(gone)).is_err(), "{gone}");
    }
    let good = fs::metadata(stage.to("task/good")).unwrap();
    assert_eq!(good.permissions().mode() & 0o7777, 0o777, "no set-user-id");
}

#[test]
fn archives_of_earlier_times_are_read() {
    let stage = Stage::new();
    let archive = Forged::default()
        .file("./shop/main.go", "main")
        .file(".claude_session_id_7", "id")
        .file("shop/.git/HEAD", "ref")
        .file("__home__/.claude/x", "x")
        .archive();
    let unpacked = stage.unpack(archive, HomePart::Claude).unwrap();
    assert!(unpacked.conversation && unpacked.repository, "{unpacked:?}");
    assert!(stage.to("task/shop/main.go").exists() && stage.to("home/.claude/x").exists());
}

#[test]
fn what_is_there_already_stays_unless_it_is_in_the_archive() {
    let stage = Stage::new();
    write(stage.to("task/kept"), "kept");
    write(stage.to("task/shop/old"), "old");
    write(stage.to("task/turned/into/file"), "x");
    let archive = Forged::default()
        .file("workspace/shop/old", "new")
        .file("workspace/turned", "file")
        .archive();
    stage.unpack(archive, HomePart::Claude).unwrap();
    let read = |path: &str| fs::read_to_string(stage.to(path)).unwrap();
    assert_eq!(
        (
            read("task/kept"),
            read("task/shop/old"),
            read("task/turned")
        ),
        ("kept".into(), "new".into(), "file".into())
    );
}

#[test]
fn of_a_damaged_archive_nothing_is_written() {
    let stage = Stage::new();
    let whole = || {
        let noise = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        let noise: Vec<u8> = noise.collect();
        Forged::default()
            .file("workspace/first", "first")
            .entry(EntryType::Regular, "workspace/noise", "", &noise)
            .archive()
    };
    let cut = whole();
    let length = cut.metadata().unwrap().len();
    cut.set_len(length / 2).unwrap();
    let mut flipped = whole();
    flipped.seek(std::io::SeekFrom::Start(length - 6)).unwrap();
    flipped.write_all(&[0xff; 2]).unwrap();
    let mut nonsense = tempfile::tempfile().unwrap();
    nonsense.write_all(b"<html>no such key</html>").unwrap();
    let huge = vec![b'n'; 1 << 20];
    let long = Forged::default()
        .entry(EntryType::GNULongName, "././@LongLink", "", &huge)
        .file("workspace/x", "x")
        .archive();
    for (what, archive) in [
        ("cut", cut),
        ("flipped", flipped),
        ("nonsense", nonsense),
        ("long", long),
    ] {
        let refused = stage.unpack(archive, HomePart::Claude);
        assert!(refused.is_err(), "{what}: {refused:?}");
        assert!(!stage.to("task").exists(), "{what}");
    }
}

#[test]
fn archives_of_the_systems_tar_are_read_with_their_sparse_files() {
    let stage = Stage::new();
    fs::create_dir_all(stage.from("workspace")).unwrap();
    let sparse = File::create(stage.from("workspace/sparse")).unwrap();
    // Many holes, so that one block does not hold them.
    for hole in 0..40_u64 {
        use std::os::unix::fs::FileExt;
        sparse.write_all_at(b"data", hole << 20).unwrap();
    }
    write(stage.from("workspace/after"), "after");
    write(stage.from(&format!("workspace/{}/x", "n".repeat(150))), "x");
    let archive = stage.root.path().join("archive.tar.gz");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test acts from outside, as an operator would"
    )]
    let mut tar = std::process::Command::new("tar");
    let tar = tar
        .args(["--sparse", "--format=gnu", "-C"])
        .arg(stage.from(""));
    let made = tar.arg("-czf").arg(&archive).arg("workspace").status();
    assert!(made.unwrap().success());
    stage
        .unpack(File::open(&archive).unwrap(), HomePart::Claude)
        .unwrap();
    let unpacked = fs::read(stage.to("task/sparse")).unwrap();
    assert!(unpacked == fs::read(stage.from("workspace/sparse")).unwrap());
    assert_eq!(fs::read_to_string(stage.to("task/after")).unwrap(), "after");
    assert!(stage.to(&format!("task/{}/x", "n".repeat(150))).exists());
}
