//! A home, a Codex, a model and a daemon of a test's own.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use codex_daemon::{
    client::{Client, ClientError, Connect},
    protocol::{Ask, HealthView, Operation, SessionName, StatusView, Target, Warmth},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use testkit::{
    ModelServer,
    model::{Options, Script},
    procs::{self, Proc},
};
use tokio::{process::Command, time::sleep};

/// Generous: the machine may be busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(90);

pub(crate) struct Stage {
    pub(crate) root: TempDir,
    pub(crate) model: ModelServer,
    pub(crate) codex: PathBuf,
    /// More variables.
    pub(crate) env: Vec<(String, String)>,
    /// The daemon's program.
    pub(crate) program: PathBuf,
}

impl Stage {
    /// Nothing runs yet. `None` where there is no Codex CLI.
    pub(crate) async fn new(test: &str, script: Script) -> Option<Self> {
        Self::with(
            test,
            Options {
                script,
                ..Options::default()
            },
        )
        .await
    }

    pub(crate) async fn with(test: &str, options: Options) -> Option<Self> {
        let codex = testkit::cli::require_codex(test)?;
        let model = ModelServer::start(options).await.unwrap();
        let root = tempfile::tempdir().unwrap();
        for folder in ["home", "codex", "work", "other"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(root.path().join("run"))
            .unwrap();
        let config = format!(
            "check_for_update_on_startup = false\nmodel = \"mock-model\"\nmodel_provider = \"local\"\n\
             [model_providers.local]\nname = \"local\"\nbase_url = \"{}\"\nwire_api = \"responses\"\n\
             [analytics]\nenabled = false\n[features]\nplugins = false\n",
            model.base_url()
        );
        fs::write(root.path().join("codex/config.toml"), config).unwrap();
        Some(Self {
            root,
            model,
            codex,
            env: Vec::new(),
            program: env!("CARGO_BIN_EXE_codex-daemon").into(),
        })
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.push((name.to_owned(), value.into()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/codex-daemon/daemon.sock")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("home/.local/state/codex-daemon")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.other(&self.program);
        command.args(arguments);
        command
    }

    /// Another program in the daemon's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "a program that the user starts beside the daemon"
    )]
    pub(crate) fn other(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"))
            .env("CODEX_HOME", self.path("codex"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("CODEX_DAEMON_CODEX", &self.codex)
            .envs(self.env.iter().cloned())
            .current_dir(self.path("work"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output();
        Ran::of(tokio::time::timeout(SOON, output).await.unwrap().unwrap())
    }

    /// Starts the daemon in the background.
    pub(crate) async fn start(&self) -> i32 {
        let ran = self.run(&["start", "--json", "--wait", "60"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let started: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        i32::try_from(started["pid"].as_i64().unwrap()).unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.socket()).await.unwrap()
    }

    /// The daemon's status, once Codex is ready. Says Codex's process too.
    pub(crate) async fn ready(&self) -> (StatusView, i32) {
        self.ready_after(0).await
    }

    /// As [`ready`](Self::ready), but another process than `old`.
    pub(crate) async fn ready_after(&self, old: i32) -> (StatusView, i32) {
        let mut client = self.client().await;
        let start = Instant::now();
        loop {
            let status: StatusView = client.call(Operation::Status {}).await.unwrap();
            if let Warmth::Ready { pid, .. } = status.codex
                && pid != old
                && status.sandbox != "untried"
            {
                return (status, pid);
            }
            assert!(start.elapsed() < SOON, "codex is not ready: {status:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn health(&self) -> HealthView {
        self.client()
            .await
            .call(Operation::Health {})
            .await
            .unwrap()
    }

    /// A question in the session of the folder `work`.
    pub(crate) fn question(&self, text: &str) -> Ask {
        Ask::new(Target::of_folder(self.path("work")), text)
    }

    /// A question in a session of that name.
    pub(crate) fn question_in(&self, session: &str, text: &str) -> Ask {
        let target = Target {
            session: SessionName::try_from(session.to_owned()).ok(),
            cwd: Some(self.path("work")),
        };
        Ask::new(target, text)
    }

    /// Everything that this stage has started.
    pub(crate) fn processes(&self) -> Vec<Proc> {
        let home = self.path("codex");
        procs::with_variable("CODEX_HOME", home.to_str())
    }

    /// Proves that nothing runs any more.
    pub(crate) async fn nothing_runs(&self) {
        let gone = procs::wait_until_gone(|| self.processes(), SOON).await;
        gone.unwrap_or_else(|left| panic!("still there: {left:?}"));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for proc in self.processes() {
            signal(proc.pid, Signal::SIGKILL);
        }
    }
}

/// Connects, and never starts a daemon.
pub(crate) struct JustConnect(pub(crate) PathBuf);

impl Connect for JustConnect {
    async fn connect(&mut self) -> Result<Client, ClientError> {
        Client::connect(&self.0).await
    }
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is().await {
        assert!(start.elapsed() < SOON, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
