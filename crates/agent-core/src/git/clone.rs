//! Clones a repository, all of it or nothing.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Branch, GitError, GitSettings, Remote,
    config::GitConfig,
    program::{Programs, Run},
    progress::{complaint, progress},
};

/// A transfer slower than this many bytes per second …
const SLOW: &str = "1000";
/// … for this many seconds is given up.
const SLOW_FOR: &str = "60";
/// How long the processes of a clone that was dropped may take to end.
const DYING: Duration = Duration::from_secs(5);

/// What to clone, and how.
pub(super) struct Clone<'a> {
    pub(super) settings: &'a GitSettings,
    pub(super) programs: &'a Programs,
    pub(super) remote: &'a Remote,
    pub(super) branch: Option<&'a Branch>,
    /// Where it's to be: missing, or an empty folder.
    pub(super) folder: &'a Path,
    /// Where credentials and proxies come from.
    pub(super) config: GitConfig,
    /// Whether there are credentials.
    pub(super) offered: bool,
}

impl Clone<'_> {
    /// Clones beside the folder and gives the clone its place when it's complete.
    ///
    /// # Errors
    /// [`GitError`]; then, and when the future is dropped, nothing is left of it.
    pub(super) async fn run(mut self, say: impl Fn(String)) -> Result<(), GitError> {
        let parent = self.folder.parent().unwrap_or(Path::new("/")).to_owned();
        fs::create_dir_all(&parent).map_err(GitError::io(&parent))?;
        let partial = Partial::new(self.folder)?;
        let run = Run {
            program: "git",
            args: self.arguments(&partial.0),
            env: self.environment(),
            cwd: &parent,
            stdin: None,
            limit: self.settings.clone_limit,
            what: format!("cloning `{}`", self.remote),
        };
        let host = self.remote.host();
        say(format!("cloning from {host}"));
        let mut told = String::new();
        let cloned = self.programs.run(run, |stderr| {
            if let Some(now) = progress(stderr).filter(|now| *now != told) {
                say(now.clone());
                told = now;
            }
        });
        cloned.await.map_err(|error| self.explained(error))?;
        // Over an empty folder too.
        fs::rename(&partial.0, self.folder).map_err(GitError::io(self.folder))
    }

    fn arguments(&self, to: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["clone", "--progress", "--template="]
            .map(OsString::from)
            .into();
        if let Some(branch) = self.branch {
            arguments.push(format!("--branch={branch}").into());
            arguments.push("--single-branch".into());
        }
        if let Some(depth) = self.settings.depth {
            arguments.push(format!("--depth={depth}").into());
        }
        if let Some(filter) = self.settings.filter {
            arguments.push(format!("--filter={}", filter.as_str()).into());
        }
        arguments.push("--".into());
        arguments.push(self.remote.to_string().into());
        arguments.push(to.into());
        arguments
    }

    /// No hook, no question to a person, no way but the network's, no program of the repository's choice.
    fn environment(&mut self) -> Vec<(OsString, OsString)> {
        let mut config = std::mem::take(&mut self.config);
        for (key, value) in [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.askPass", ""),
            ("submodule.recurse", "false"),
            ("http.lowSpeedLimit", SLOW),
            ("http.lowSpeedTime", SLOW_FOR),
        ] {
            config.set(key, value);
        }
        let mut variables = config.variables();
        variables.extend(super::quiet(self.programs));
        variables.push(("GIT_ALLOW_PROTOCOL".into(), "http:https:ssh:git".into()));
        variables
    }

    fn explained(&self, error: GitError) -> GitError {
        let GitError::Failed {
            what,
            status,
            output,
        } = error
        else {
            return error;
        };
        let refusals = [
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "error: 403",
            "Access denied",
        ];
        if self.remote.origin().is_some() && refusals.iter().any(|words| output.contains(words)) {
            tracing::info!(output = %complaint(&output), "the git server refused");
            return GitError::Refused {
                host: self.remote.host().to_owned(),
                offered: self.offered,
            };
        }
        GitError::Failed {
            what,
            status,
            output: complaint(&output),
        }
    }
}

/// A clone that isn't complete. Dropping it removes it; after it was renamed there is nothing to remove.
struct Partial(PathBuf);

impl Partial {
    /// A name beside `folder`. What earlier clones left, killed with the executor, is removed.
    fn new(folder: &Path) -> Result<Self, GitError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.clone-");
        let parent = folder.parent().unwrap_or(Path::new("/"));
        for entry in fs::read_dir(parent)
            .map_err(GitError::io(parent))?
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path()).map_err(GitError::io(entry.path()))?;
            }
        }
        Ok(Self(
            parent.join(format!("{prefix}{:x}", std::process::id())),
        ))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.0);
        if !folder.exists() {
            return;
        }
        // Its processes may still be dying, and write until they have.
        let remove = move || {
            let begun = Instant::now();
            while let Err(error) = fs::remove_dir_all(&folder) {
                if error.kind() == io::ErrorKind::NotFound {
                    break;
                }
                if begun.elapsed() > DYING {
                    tracing::warn!(folder = %folder.display(), %error, "an incomplete clone can't be removed");
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
