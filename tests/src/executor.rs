//! The executor as a process, started as Wegent's manager starts it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use testkit::{
    Backend,
    http::{client, free_port},
};
use tokio::process::{Child, Command};

/// What the operator gave to the executor.
pub const OPERATORS_KEY: &str = "operators-aes-key-0123456789abcdef";

/// What an executor is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is started: the executor, or something that becomes it.
    pub program: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// The port it listens on.
    pub port: u16,
    /// Where its log goes.
    pub log: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
}

impl Settings {
    /// What Wegent's manager gives a container, with everything below `root`.
    pub fn new(root: &Path, codex: &Path, backend: &Backend) -> Self {
        let port = free_port();
        let home = root.join("home");
        let workspace = root.join("workspace");
        let temporary = root.join("tmp");
        for folder in [&home, &workspace, &temporary] {
            fs::create_dir_all(folder).expect("the test's folder is writable");
        }
        let name = root
            .file_name()
            .and_then(|name| name.to_str())
            .expect("the test's folder has a plain name");
        let text = |path: &Path| {
            path.to_str()
                .expect("the test's folder has a plain name")
                .to_owned()
        };
        let env = [
            ("PATH", std_path()),
            ("HOME", text(&home)),
            ("LANG", "C.UTF-8".to_owned()),
            // An executor that a test kills leaves its temporary folder to the next one.
            ("TMPDIR", text(&temporary)),
            ("EXECUTOR_MODE", "docker".to_owned()),
            ("EXECUTOR_NAME", format!("wegent-task-{name}")),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("CALLBACK_URL", backend.callback_url()),
            ("TASK_API_DOMAIN", backend.url()),
            ("HEARTBEAT_ID", "1".to_owned()),
            ("HEARTBEAT_TYPE", "task".to_owned()),
            ("HEARTBEAT_ENABLED", "true".to_owned()),
            (
                "EXECUTOR_MANAGER_HEARTBEAT_BASE_URL",
                backend.heartbeat_base_url(),
            ),
            ("WORKSPACE_ROOT", text(&workspace)),
            ("CODEX_BINARY_PATH", text(codex)),
            ("JAVA_HOME", "/opt/image/java".to_owned()),
            ("GIT_TOKEN_AES_KEY", OPERATORS_KEY.to_owned()),
        ];
        let claude = testkit::cli::claude(crate::CLAUDE).ok();
        let claude = claude.map(|path| ("CLAUDE_BINARY_PATH", text(&path)));
        let env = env
            .into_iter()
            .chain(claude)
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            program: binary(),
            env,
            port,
            log: root.join("executor.log"),
            args: Vec::new(),
        }
    }

    /// As a person starts it: agents may write in their working folder only.
    pub fn outside_of_a_container(&mut self) -> &mut Self {
        self.env.remove("EXECUTOR_MODE");
        if self.env.remove("PORT").is_some() {
            self.args = ["serve", "--port", &self.port.to_string()]
                .map(str::to_owned)
                .into();
        }
        self
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }
}

/// A running executor. Dropping it kills it with SIGKILL; its guards end what it had started.
pub struct Executor {
    child: Child,
    settings: Settings,
}

impl Executor {
    /// Starts it and waits until it is healthy.
    ///
    /// # Panics
    /// If it does not become healthy.
    pub async fn start(settings: Settings) -> Self {
        Self::start_and_ask(settings, Duration::from_millis(2)).await
    }

    /// The same, asking again after each `rest`.
    ///
    /// # Panics
    /// If it does not become healthy.
    pub async fn start_and_ask(settings: Settings, rest: Duration) -> Self {
        let mut executor = Self {
            child: spawn(&settings),
            settings,
        };
        executor.healthy(rest).await;
        executor
    }

    async fn healthy(&mut self, rest: Duration) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let url = format!("{}/", self.url());
            if client::get(&url, Duration::from_secs(1))
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                return;
            }
            let exited = self
                .child
                .try_wait()
                .expect("the executor can be waited for");
            assert!(
                exited.is_none() && Instant::now() < until,
                "the executor did not get healthy:\n{}",
                self.log()
            );
            tokio::time::sleep(rest).await;
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.settings.port)
    }

    /// What it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it is started with the next time.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child
            .id()
            .and_then(|pid| pid.try_into().ok())
            .expect("the executor runs")
    }

    /// Its name, which marks the processes it starts.
    pub fn name(&self) -> &str {
        &self.settings.env["EXECUTOR_NAME"]
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.settings.log).unwrap_or_default()
    }

    /// Kills it with SIGKILL and collects it.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the executor can be killed");
    }

    /// Kills it with SIGKILL and starts another one on the same disk.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// Starts another one on the same disk; the one before has ended.
    pub async fn start_again(&mut self) {
        self.spawn_again();
        self.healthy(Duration::from_millis(2)).await;
    }

    /// The same without waiting for it to be healthy.
    pub fn spawn_again(&mut self) {
        self.child = spawn(&self.settings);
    }

    /// Sends SIGTERM and says how long it took to exit, and with which code.
    ///
    /// # Panics
    /// If it does not exit within 20 s.
    pub async fn terminate(&mut self) -> (Duration, Option<i32>) {
        let start = Instant::now();
        signal(self.pid(), "TERM");
        let status = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        let status = status
            .expect("the executor exits")
            .expect("the executor can be waited for");
        (start.elapsed(), status.code())
    }
}

/// Sends a signal by the system's `kill`.
///
/// # Panics
/// If the process is not there.
pub fn signal(pid: i32, name: &str) {
    assert!(try_signal(pid, name), "no process {pid}");
}

/// The same for a process that may have ended. Whether it was there.
pub(crate) fn try_signal(pid: i32, name: &str) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test acts from outside, as an operator would"
    )]
    let mut kill = std::process::Command::new("kill");
    let status = kill
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("`kill` can be started");
    status.success()
}

/// Starts a command that nobody ends, in `folder`: what a test of tests finds.
pub(crate) fn leave(command: &str, folder: &Path) {
    #[expect(
        clippy::disallowed_methods,
        reason = "what nobody ends is what the caller is to find"
    )]
    let mut shell = std::process::Command::new("sh");
    let status = shell
        .args(["-c", &format!("setsid {command} >/dev/null 2>&1 &")])
        .current_dir(folder)
        .status()
        .expect("`sh` can be started");
    assert!(status.success());
}

fn spawn(settings: &Settings) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&settings.log)
        .expect("the log can be written");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test starts the executor from outside, as a manager would"
    )]
    let mut command = Command::new(&settings.program);
    command
        .args(&settings.args)
        .env_clear()
        .envs(&settings.env)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `make build` builds it",
                settings.program.display()
            )
        })
}

/// The executor that was built with this test: it lies beside the test's own binary.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let folder = own
        .ancestors()
        .find(|folder| folder.join("wegent-executor").is_file());
    folder
        .map(|folder| folder.join("wegent-executor"))
        .expect("`make build` builds wegent-executor")
}

#[expect(clippy::disallowed_methods, reason = "tools need the machine's PATH")]
fn std_path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned())
}
