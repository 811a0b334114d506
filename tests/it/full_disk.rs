//! A full disk: what the agent says is delivered from memory. Only where the sink is away, too, something is left out, and
//! that is said.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use testkit::{model::Options, notes, oracle::Block, roles};
use wegent_executor_tests::{Settings, World, binary, private_folder};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// Of the disk that holds the journals: room for the end of a turn and not much else.
const KILOBYTES: u64 = 400;

/// An executor whose journals lie on a disk of their own, and the folder of its fake CLI.
struct SmallDisk {
    world: World,
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, saying so, where nobody may mount anything.
    async fn build(test: &str) -> Option<Self> {
        if !may_mount() {
            eprintln!("{test} is skipped: this machine lets nobody mount a disk in a namespace");
            return None;
        }
        let folder = private_folder();
        let notes = folder.path().join("notes");
        let (codex, _) = roles::install_noting(folder.path(), &notes).unwrap();
        let wrapper = folder.path().join("on-a-small-disk");
        let change = |settings: &mut Settings| {
            let journals = Path::new(&settings.env["HOME"]).join(".wegent-executor/journal");
            write_wrapper(&wrapper, &journals);
            settings.program = wrapper.clone();
        };
        let world = World::with_cli(&codex, Options::default(), change).await;
        Some(Self { world, folder })
    }

    /// What the fake has said.
    fn said(&self) -> String {
        let notes = notes::read(&self.folder.path().join("notes")).unwrap();
        notes::spoken(&notes).text()
    }

    /// The bytes of the turn's journal, which only the executor's own namespace shows.
    fn journal(&self) -> u64 {
        let inside = format!("/proc/{}/root", self.world.executor.pid());
        let journals = self.world.journals();
        let seen = PathBuf::from(inside).join(journals.strip_prefix("/").unwrap());
        let files = fs::read_dir(seen).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    /// The most memory that the executor has had, in kilobytes.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.world.executor.pid()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let digits: String = line.unwrap().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    /// Waits until the turn has ended, which can't be told: eighteen megabytes through a debug build take their time.
    async fn ended(&self) {
        let limit = Instant::now() + Duration::from_secs(240);
        while !self.log_says("turn ended") {
            assert!(Instant::now() < limit, "{}", self.world.executor.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log_says(&self, words: &str) -> bool {
        self.world.executor.log().contains(words)
    }
}

fn may_mount() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a disk for the test")]
    let mut unshare = std::process::Command::new("unshare");
    let tried = unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=64k tmpfs /tmp")
        .status();
    tried.is_ok_and(|status| status.success())
}

/// A program that mounts a small disk where the journals are to be, and becomes the executor.
fn write_wrapper(wrapper: &Path, journals: &Path) {
    fs::create_dir_all(journals).unwrap();
    let (journals, binary) = (journals.display(), binary());
    let script = format!(
        "#!/bin/sh\nexec unshare --user --map-root-user --mount sh -c \
         'mount -t tmpfs -o size={KILOBYTES}k,mode=700 tmpfs \"$1\" && exec \"$2\"' sh '{journals}' '{}'\n",
        binary.display()
    );
    fs::write(wrapper, script).unwrap();
    fs::set_permissions(wrapper, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn on_a_full_disk_everything_is_delivered_from_memory() {
    let test = "on_a_full_disk_everything_is_delivered_from_memory";
    let Some(stage) = SmallDisk::build(test).await else {
        return;
    };
    let world = &stage.world;
    let prompt =
        "#fake:deltas count=3000 rate=2000 size=1000\n#fake:tool echo\n#fake:say That was it.";
    let view = world.run(&world.turn(TASK, TURN, prompt)).await;
    assert!(view.completed(), "{:?}", view.terminal);
    assert!(view.text == stage.said(), "{} bytes", view.text.len());
    assert_eq!(
        view.tools().filter(|tool| tool.name != "Prepare").count(),
        1
    );
    let kept = stage.journal();
    println!("3 MB said, {kept} bytes on disk, peak {} kB", stage.peak());
    assert!(kept <= KILOBYTES * 1024, "{kept}");
}

#[tokio::test]
async fn on_a_full_disk_without_a_sink_the_gap_is_stated_and_the_end_is_told() {
    let test = "on_a_full_disk_without_a_sink_the_gap_is_stated_and_the_end_is_told";
    let Some(stage) = SmallDisk::build(test).await else {
        return;
    };
    let world = &stage.world;
    let prompt = "#fake:say Here it comes.\n#fake:deltas count=900 rate=0 size=20000";
    world.backend.go_away().await;
    world.dispatch(&world.turn(TASK, TURN, prompt)).await;
    stage.ended().await;
    assert!(stage.log_says("the journal takes no more events of this turn"));
    world.backend.come_back().await.unwrap();
    let view = world.finished(TURN).await;
    assert!(view.completed(), "{:?}", view.terminal);
    let said = stage.said();
    let (before, gap) = view.text.split_once("\n\n> ").unwrap_or((&view.text, ""));
    println!(
        "{} MB said, {} MB shown, peak {} kB; {gap}",
        said.len() >> 20,
        view.text.len() >> 20,
        stage.peak()
    );
    assert!(said.starts_with(before), "{} bytes differ", before.len());
    assert!(before.len() > 12 << 20, "{} bytes", before.len());
    let shown = view.blocks.iter().map(|block| match block {
        Block::Text(text) => text.clone(),
        other => format!("{other:?}"),
    });
    let notice = "could not be kept and are missing here";
    let stated = shown.collect::<String>().matches(notice).count();
    assert_eq!(stated, 1, "one outage is stated once");
    // The sixteen megabytes, the whole answer a few times, and a debug build.
    assert!(stage.peak() < 400 * 1024, "{} kB", stage.peak());
    // Delivered, it gives its room back to the next one.
    let next = world
        .run(&world.turn(TASK, TURN + 1, "#fake:say And on."))
        .await;
    assert!(next.completed() && next.text == "And on.", "{next:?}");
}
