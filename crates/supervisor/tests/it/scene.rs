//! A folder, a session, and shell scripts in it that write their process ids to files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use supervisor::{
    Child, ChildEnv, Guard, Ladder, Line, LineReader, SessionMark, Spec, session_processes,
};
use tempfile::TempDir;
use tokio::{io::AsyncRead, process::ChildStdin};

/// Processes that try every way out: another session, a double fork, no environment, no ear for signals, and the lot of
/// it together. The CLI itself waits for its stdin to end.
pub(crate) const TREE: &str = r#"
    sleep 1000 & echo $! > plain
    setsid sleep 1000 & echo $! > setsid
    (setsid sh -c 'echo $$ > double; exec sleep 1000' &)
    (env -i /usr/bin/setsid /bin/sh -c 'echo $$ > bare; exec sleep 1000' &)
    sh -c 'trap "" TERM HUP INT; echo $$ > deaf; while :; do sleep 1000; done' &
    (setsid sh -c '(setsid env -i /bin/sh -c "trap \"\" TERM; echo \$\$ > worst; while :; do sleep 1000; done" &)' &)
    echo $$ > cli
    cat
"#;

/// The files that [`TREE`] writes.
pub(crate) const TREE_PIDS: [&str; 7] =
    ["cli", "plain", "setsid", "double", "bare", "deaf", "worst"];

/// What the path of a test's programs is.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A shell that runs `script` in `folder`.
pub(crate) fn shell(script: &str, folder: &Path, session: SessionMark) -> Spec {
    Spec {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: ChildEnv::from_iter([("PATH", PATH)]),
        cwd: folder.to_owned(),
        session,
        max_line: 1 << 20,
        stderr_tail: 1 << 10,
    }
}

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) session: SessionMark,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            session: SessionMark::new("test"),
        }
    }

    pub(crate) fn shell(&self, script: &str) -> Spec {
        shell(script, self.folder.path(), self.session.clone())
    }

    pub(crate) async fn start(&self, script: &str) -> Child {
        Guard::own().spawn(self.shell(script)).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for a line that a script writes to a file.
    pub(crate) async fn line(&self, name: &str) -> String {
        let since = Instant::now();
        loop {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            assert!(
                since.elapsed() < Duration::from_secs(20),
                "never written: `{name}`"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn pid(&self, name: &str) -> i32 {
        self.line(name).await.parse().unwrap()
    }

    /// The pids in these files, all of which must be alive now.
    pub(crate) async fn living<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> BTreeMap<&'static str, i32> {
        let mut pids = BTreeMap::new();
        for name in names {
            let pid = self.pid(name).await;
            assert!(alive(pid), "{name} ({pid}) runs");
            pids.insert(name, pid);
        }
        pids
    }

    /// Nothing of the session is left, by its mark nor by number.
    pub(crate) async fn assert_gone(&self, pids: &BTreeMap<&'static str, i32>) {
        assert_gone(&self.session, pids).await;
    }

    /// Nobody writes to the file any more.
    pub(crate) async fn assert_still(&self, name: &str) {
        let before = fs::read(self.path(name)).unwrap();
        // That something doesn't happen can't be waited for. A writer that is there writes a hundred times in this time.
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(fs::read(self.path(name)).unwrap(), before, "{name} changes");
    }

    /// The guard of the session.
    pub(crate) fn guard(&self) -> i32 {
        let is_guard = |pid: &i32| comm(*pid) == "wegent-guard";
        let guards: Vec<i32> = session_processes(&self.session)
            .into_iter()
            .map(supervisor::Pid::as_raw)
            .filter(is_guard)
            .collect();
        let [guard] = guards[..] else {
            panic!("one guard expected, found {guards:?}")
        };
        guard
    }
}

pub(crate) async fn assert_gone(session: &SessionMark, pids: &BTreeMap<&'static str, i32>) {
    let left = || -> Vec<_> { pids.iter().filter(|(_, pid)| alive(**pid)).collect() };
    let since = Instant::now();
    while !(left().is_empty() && session_processes(session).is_empty()) {
        let late = since.elapsed() > Duration::from_secs(8);
        assert!(
            !late,
            "left by pid: {:?}, by mark: {:?}",
            left(),
            session_processes(session)
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "never came true: {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a process runs; a zombie doesn't.
pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with(['Z', 'X'])
    })
}

pub(crate) fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

pub(crate) fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// A ladder whose rungs are as long as the test needs.
pub(crate) fn ladder(after_stdin: u64, after_term: u64) -> Ladder {
    Ladder {
        after_stdin: Duration::from_millis(after_stdin),
        after_term: Duration::from_millis(after_term),
        kill_deadline: Duration::from_secs(8),
    }
}

/// Sends a line to a CLI that ends in `cat`, and gets it back: it's alive and its pipes work.
pub(crate) async fn echo(stdin: &mut ChildStdin, lines: &mut LineReader<impl AsyncRead + Unpin>) {
    tokio::io::AsyncWriteExt::write_all(stdin, b"are you there?\n")
        .await
        .unwrap();
    assert_eq!(
        lines.next().await.unwrap(),
        Some(Line::Complete("are you there?".into()))
    );
}
