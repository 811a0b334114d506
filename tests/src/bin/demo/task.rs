//! What the task is about: a small git repository, one file, one mistake.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

const FILE: &str = "total.py";
const WRONG: &str = "    for price in prices[1:]:";
const RIGHT: &str = "    for price in prices:";
const BEFORE: &str = "\
def total(prices):
    \"\"\"The sum of all prices.\"\"\"
    result = 0
    for price in prices[1:]:
        result += price
    return result
";

/// What the person asks for.
pub(crate) const PROMPT: &str = "In total.py the loop `for price in prices[1:]:` leaves out the first price. \
Change that line to `for price in prices:`, and change nothing else.";

/// The repository can't be set up or looked at, or the file is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("`{}` can't be used: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`git {arguments}` can't be started: {source}")]
    NoGit {
        arguments: String,
        source: io::Error,
    },
    #[error("`git {arguments}` ended with {status}: {said}")]
    Git {
        arguments: String,
        status: ExitStatus,
        said: String,
    },
    #[error("{FILE} was not changed")]
    Unchanged,
    #[error("{FILE} was changed, but not as it was asked for")]
    Wrong,
}

/// The repository.
pub(crate) struct Task {
    folder: PathBuf,
}

/// The right edit as an argument of the script `edit`.
pub(crate) fn scripted_edit() -> String {
    format!("{FILE}|{WRONG}|{RIGHT}")
}

impl Task {
    /// Makes the repository, with the file committed.
    pub(crate) fn set_up(folder: &Path) -> Result<Self, TaskError> {
        let task = Self {
            folder: folder.to_owned(),
        };
        let failed = |source| TaskError::File {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(task.file(), BEFORE))
            .map_err(failed)?;
        task.git(&["init", "--quiet", "--initial-branch=main"])?;
        task.git(&["add", FILE])?;
        let author = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost"];
        task.git(
            &[
                &author[..],
                &["commit", "--quiet", "--message=Sum up prices"],
            ]
            .concat(),
        )?;
        Ok(task)
    }

    /// What has changed since.
    pub(crate) fn diff(&self, colours: bool) -> Result<String, TaskError> {
        let colours = if colours {
            "--color=always"
        } else {
            "--color=never"
        };
        let output = self.git(&["--no-pager", "diff", colours])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether the file is as it was asked for.
    pub(crate) fn check(&self) -> Result<(), TaskError> {
        let failed = |source| TaskError::File {
            path: self.file(),
            source,
        };
        let content = fs::read_to_string(self.file()).map_err(failed)?;
        if content == BEFORE.replace(WRONG, RIGHT) {
            Ok(())
        } else if content == BEFORE {
            Err(TaskError::Unchanged)
        } else {
            Err(TaskError::Wrong)
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Runs git without the person's own settings, hooks and signatures.
    fn git(&self, arguments: &[&str]) -> Result<Output, TaskError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo acts from outside, as a person would"
        )]
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.folder);
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
            command.env(name, "/dev/null");
        }
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        let arguments = arguments.join(" ");
        match command.output() {
            Ok(output) if output.status.success() => Ok(output),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(TaskError::Git {
                    arguments,
                    status: output.status,
                    said,
                })
            }
            Err(source) => Err(TaskError::NoGit { arguments, source }),
        }
    }
}
