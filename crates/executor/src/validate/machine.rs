//! The programs of the machine that this runs on.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::{
    AgentError,
    environment::{Environment, without_secrets},
    error_chain,
    program::on_path,
};
use supervisor::{ExitStatus, Guard, OutputError, SessionMark, Spec};

use super::Version;
use crate::config::Config;

/// How long a program may take to tell its version.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of what a program says is kept, in bytes.
const KEPT: usize = 4096;
/// How much of it is shown, in characters.
const SHOWN: usize = 200;

/// Where programs are looked for, and how they are started.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) image: Environment,
    pub(super) owner: String,
    pub(super) codex: Option<PathBuf>,
    pub(super) claude: Option<PathBuf>,
    pub(super) executor_home: PathBuf,
}

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its version, if what it says has one in it.
    pub version: Option<Version>,
    /// What it says when it is asked for it.
    pub said: String,
}

/// A program that is missing, doesn't start, or is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct NotUsable {
    /// The version of one that is of no use.
    pub version: Option<Version>,
    why: String,
}

impl NotUsable {
    fn because(why: impl Into<String>) -> Self {
        Self {
            version: None,
            why: why.into(),
        }
    }
}

impl From<AgentError> for NotUsable {
    fn from(error: AgentError) -> Self {
        Self::because(error.chain())
    }
}

impl Machine {
    /// The machine as the configuration describes it.
    pub fn new(config: &Config) -> Self {
        Self {
            image: config.image_environment.as_map().clone(),
            owner: config.identity.name.clone(),
            codex: config.codex.binary.clone(),
            claude: config.claude.binary.clone(),
            executor_home: config.paths.executor_home.clone(),
        }
    }

    /// The Codex CLI.
    ///
    /// # Errors
    /// [`NotUsable`] saying why; also if it is too old.
    pub async fn codex(&self) -> Result<Found, NotUsable> {
        let program = codex_agent::find_program(self.codex.as_deref(), self.variable("PATH"))?;
        let found = self.ask(program).await?;
        let version = found.version.map(|version| version.to_string());
        match codex_agent::check_version(version.as_deref()) {
            Ok(()) => Ok(found),
            Err(error) => Err(NotUsable {
                version: found.version,
                ..error.into()
            }),
        }
    }

    /// The Claude Code CLI.
    ///
    /// # Errors
    /// [`NotUsable`] saying why.
    pub async fn claude(&self) -> Result<Found, NotUsable> {
        let (home, path) = (self.variable("HOME"), self.variable("PATH"));
        let program = claude_code_agent::find_program(self.claude.as_deref(), home, path)?;
        self.ask(program).await
    }

    /// The system's git.
    ///
    /// # Errors
    /// [`NotUsable`] saying why.
    pub async fn git(&self) -> Result<Found, NotUsable> {
        self.on_path("git").await.map_err(|error| {
            NotUsable::because(format!("{error}: without git no repository can be cloned"))
        })
    }

    /// This program itself, as whoever else starts it.
    ///
    /// # Errors
    /// [`NotUsable`] saying why.
    pub async fn executor(&self) -> Result<Found, NotUsable> {
        self.ask(PathBuf::from("/proc/self/exe")).await
    }

    /// A program on the `PATH`.
    ///
    /// # Errors
    /// [`NotUsable`] saying why.
    pub async fn on_path(&self, name: &str) -> Result<Found, NotUsable> {
        let program = on_path(name, self.variable("PATH"));
        let program =
            program.ok_or_else(|| NotUsable::because(format!("`{name}` is not on the PATH")))?;
        self.ask(program).await
    }

    /// Asks a program for its version.
    async fn ask(&self, path: PathBuf) -> Result<Found, NotUsable> {
        // Boxed: several are asked side by side.
        let output = Box::pin(Guard::own().output(self.spec(&path), LIMIT)).await;
        let output = output.map_err(|error: OutputError| {
            NotUsable::because(format!("`{}`: {}", path.display(), error_chain(&error)))
        })?;
        // Some say it on their stderr, where others only warn of something.
        let texts = [output.stdout.trim(), output.stderr.trim()];
        let text = texts.into_iter().find(|text| !text.is_empty());
        let line = text.and_then(|text| text.lines().next());
        let said: String = line.unwrap_or_default().chars().take(SHOWN).collect();
        if output.status != ExitStatus::Code(0) {
            let (path, status) = (path.display(), output.status);
            return Err(NotUsable::because(format!(
                "`{path} --version` ended with {status}: {said}"
            )));
        }
        Ok(Found {
            version: Version::find(&said),
            path,
            said,
        })
    }

    fn spec(&self, path: &Path) -> Spec {
        Spec {
            program: path.to_path_buf(),
            args: vec![OsString::from("--version")],
            env: without_secrets(&self.image, std::iter::empty())
                .into_iter()
                .collect(),
            cwd: "/".into(),
            session: SessionMark::new(&self.owner),
            max_line: KEPT,
            stderr_tail: KEPT,
        }
    }

    /// A variable of the image's environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.image.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}
