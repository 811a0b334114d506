//! What the tests have in common: a server, a folder of tasks, and tools' shells.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Mutex,
};

use agent_core::{
    GitSource, GitUser, TaskId,
    environment::Environment,
    git::{Checkout, Git, GitError, GitSettings},
};
use redact::Secrets;
use testkit::GitServer;

/// The token that the server wants.
pub(crate) const TOKEN: &str = "glpat-tok3n-of-alice";
/// The task of every test.
pub(crate) const TASK: TaskId = TaskId(7);

/// This binary is the credential helper, too.
#[ctor::ctor]
fn be_the_helper() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, word, socket, operation] = arguments.as_slice()
        && word == "git-credential"
    {
        let asked = agent_core::git::ask_for_credential(
            Path::new(socket),
            &operation.to_string_lossy(),
            std::io::stdin(),
            std::io::stdout(),
        );
        std::process::exit(i32::from(asked.is_err()));
    }
}

pub(crate) struct Stage {
    pub(crate) server: GitServer,
    pub(crate) root: tempfile::TempDir,
    pub(crate) user: GitUser,
    pub(crate) secrets: Secrets,
    pub(crate) settings: GitSettings,
    pub(crate) said: Mutex<Vec<String>>,
}

impl Stage {
    /// A server with `shop/web.git`, which `alice` reaches with her token.
    pub(crate) async fn new() -> Self {
        testkit::init();
        let server = GitServer::start().await.unwrap();
        let repository = server.repository("shop/web.git");
        repository.commit(
            "main",
            "first",
            &[("README.md", "hello\n"), ("src/a.txt", "one\ntwo\n")],
        );
        server.require("alice", TOKEN);
        let root = tempfile::tempdir().unwrap();
        for folder in ["home", "tmp", "tasks"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let image = Environment::from([
            ("PATH".into(), path()),
            ("HOME".into(), root.path().join("home").into()),
            ("TMPDIR".into(), root.path().join("tmp").into()),
        ]);
        let helper = std::env::current_exe().unwrap();
        let user = GitUser {
            domain: Some(server.domain()),
            token: Some(TOKEN.into()),
            id: Some("1".into()),
            login: Some("alice".into()),
            email: Some("alice@example.invalid".into()),
        };
        Self {
            settings: GitSettings::new(image, "git-test".into(), helper),
            server,
            root,
            user,
            secrets: Secrets::new(),
            said: Mutex::default(),
        }
    }

    pub(crate) fn git(&self) -> Git {
        Git::new(self.settings.clone())
    }

    pub(crate) fn source(&self) -> GitSource {
        GitSource {
            url: format!("{}/shop/web.git", self.server.url()),
            branch: Some("main".into()),
            ..GitSource::default()
        }
    }

    pub(crate) fn tasks(&self) -> PathBuf {
        self.root.path().join("tasks")
    }

    pub(crate) fn image(&mut self, name: &str, value: impl Into<OsString>) {
        self.settings.image.insert(name.into(), value.into());
    }

    pub(crate) async fn check_out(
        &self,
        git: &Git,
        source: &GitSource,
    ) -> Result<Checkout, GitError> {
        let say = |note| self.said.lock().unwrap().push(note);
        git.check_out(
            TASK,
            Some(source),
            &self.user,
            &self.tasks(),
            &self.secrets,
            say,
        )
        .await
    }

    /// Nothing but what is expected is in the folder of tasks.
    pub(crate) fn left(&self) -> Vec<String> {
        names(&self.tasks())
    }

    /// What a tool of the agent's gets of a shell command, in `at`.
    pub(crate) async fn tool(&self, checkout: &Checkout, at: &Path, script: &str) -> Output {
        #[expect(clippy::disallowed_methods, reason = "an agent's tool is a shell")]
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).current_dir(at).env_clear();
        command
            .envs(&self.settings.image)
            .envs(checkout.variables.iter().cloned());
        // The keeper of credentials needs the runtime meanwhile.
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "git is on the machine's PATH")]
fn path() -> OsString {
    std::env::var_os("PATH").unwrap()
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Everything that the command said.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Whether a file below `folder` contains `needle`.
pub(crate) fn contains(folder: &Path, needle: &str) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        match fs::symlink_metadata(&path).unwrap().file_type() {
            kind if kind.is_dir() => contains(&path, needle),
            kind if kind.is_file() => {
                let bytes = fs::read(&path).unwrap();
                bytes
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes())
            }
            _ => false,
        }
    })
}
