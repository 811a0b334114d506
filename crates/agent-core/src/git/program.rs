//! Runs git and its relatives through the supervisor.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use supervisor::{ChildEnv, ExitStatus, Guard, Ladder, SessionMark, Spec};
use tokio::{
    io::AsyncWriteExt as _,
    time::{interval, timeout},
};

use super::GitError;
use crate::{
    environment::{Environment, allowed},
    program,
};

/// What git and its relatives get of the image's environment beside what every program does.
const MORE: &[&str] = &[
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "CURL_CA_BUNDLE",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "SSH_AUTH_SOCK",
];
/// How often what a program says is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How much of the end of a program's stderr is kept.
const TAIL: usize = 16 << 10;
/// Nobody reads these programs' stdout.
const LONGEST_LINE: usize = 64 << 10;
/// How a program that is over, or took too long, is brought to its end.
const LADDER: Ladder = Ladder {
    after_stdin: Duration::ZERO,
    after_term: Duration::from_millis(500),
    kill_deadline: Duration::from_secs(2),
};

/// One run of a program.
pub(super) struct Run<'a> {
    /// The program's name.
    pub(super) program: &'static str,
    /// Its arguments. No secrets.
    pub(super) args: Vec<OsString>,
    /// What its environment has beside the image's.
    pub(super) env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub(super) cwd: &'a Path,
    /// What it reads.
    pub(super) stdin: Option<&'a SecretString>,
    /// How long it may take.
    pub(super) limit: Duration,
    /// What it is for, in words.
    pub(super) what: String,
}

/// Starts programs for one executor.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// The environment of the image.
    pub(super) image: Environment,
    /// Whose processes they are.
    pub(super) owner: String,
}

impl Programs {
    /// Where the program is, if it is installed.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        program::on_path(name, self.variable("PATH").map(OsString::as_os_str))
    }

    /// Runs a program to its end, showing what it says on stderr to `heed` now and then. Dropping the future ends it and
    /// everything that it started.
    ///
    /// # Errors
    /// [`GitError`] if it can't be started, fails, or takes too long.
    pub(super) async fn run(&self, run: Run<'_>, heed: impl FnMut(&str)) -> Result<(), GitError> {
        let Run {
            program,
            what,
            limit,
            ..
        } = &run;
        let (program, what, limit) = (*program, what.clone(), *limit);
        let finished = timeout(limit, self.finish(run, heed)).await;
        let (status, output) = finished.map_err(|_| GitError::TimedOut {
            what: what.clone(),
            limit,
        })??;
        match status {
            ExitStatus::Code(0) => Ok(()),
            status => {
                tracing::debug!(program, %status, "failed");
                Err(GitError::Failed {
                    what,
                    status: status.to_string(),
                    output,
                })
            }
        }
    }

    async fn finish(
        &self,
        run: Run<'_>,
        mut heed: impl FnMut(&str),
    ) -> Result<(ExitStatus, String), GitError> {
        let program = run.program;
        let broken =
            |source: Box<dyn std::error::Error + Send + Sync>| GitError::Start { program, source };
        let path = self
            .find(program)
            .ok_or_else(|| broken("it is not on the PATH".into()))?;
        let child = Guard::own()
            .spawn(Spec {
                program: path,
                args: run.args,
                env: self.environment(run.env),
                cwd: run.cwd.to_owned(),
                session: SessionMark::new(&self.owner),
                max_line: LONGEST_LINE,
                stderr_tail: TAIL,
            })
            .await
            .map_err(|error| broken(error.into()))?;
        let (mut stdin, mut stdout, process) = child.split();
        if let Some(input) = run.stdin {
            // A program that doesn't read it says itself what it doesn't like.
            let _ = stdin.write_all(input.expose_secret().as_bytes()).await;
        }
        drop(stdin);
        let handle = process.handle();
        let mut look = interval(LOOK);
        let mut open = true;
        let status = loop {
            tokio::select! {
                status = handle.exited() => break status,
                line = stdout.next(), if open => open = matches!(line, Ok(Some(_))),
                _ = look.tick() => heed(&handle.stderr_tail()),
            }
        };
        let output = handle.stderr_tail();
        process.shutdown(&LADDER).await;
        Ok((status, output))
    }

    fn environment(&self, more: Vec<(OsString, OsString)>) -> ChildEnv {
        let mut env = ChildEnv::default();
        for (name, value) in allowed(&self.image, MORE) {
            env.set(name, value);
        }
        // Its words are read by programs.
        env.set("LC_ALL", "C");
        env.set("NO_COLOR", "1");
        env.extend(more);
        env
    }

    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        self.image.get(std::ffi::OsStr::new(name))
    }
}
