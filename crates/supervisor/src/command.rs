//! What to start, and the start itself.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsRawFd as _, fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use command_fds::CommandFdExt as _;
use tokio::{
    net::{UnixStream, unix::OwnedReadHalf},
    process::Command,
    time::timeout,
};

use crate::{
    Child, Line, LineReader, Pid, PipedChild, SESSION_MARK, SessionMark,
    child::{Parts, Wire},
    control::{EXEC, Word},
    guard::{CONTROL_FD, GUARD_NAME, GUARD_WORD},
};

/// How many characters of a command line the log shows.
const LONGEST_SHOWN: usize = 1000;
/// How long a guard may take to say that the CLI runs. It takes a millisecond; ten seconds are for a machine that swaps.
const START: Duration = Duration::from_secs(10);
/// The longest word of a guard: 100 000 survivors would fit.
const LONGEST_WORD: usize = 1 << 20;

/// The environment of a child: exactly this and [`SESSION_MARK`], nothing is inherited.
///
/// Shows names only when debugged, as values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChildEnv(BTreeMap<OsString, OsString>);

impl ChildEnv {
    /// Sets a variable, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> &mut Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for ChildEnv {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl<N: Into<OsString>, V: Into<OsString>> Extend<(N, V)> for ChildEnv {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, variables: I) {
        self.0.extend(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
    }
}

impl std::fmt::Debug for ChildEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChildEnv")
            .field(&Vec::from_iter(self.0.keys()))
            .finish()
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The program. Without a slash it's searched in the `PATH` of `env`; a relative path starts at `cwd`.
    pub program: PathBuf,
    /// Its arguments. Everybody on the machine can read them: no secrets.
    pub args: Vec<OsString>,
    /// Its environment. [`SESSION_MARK`] is added.
    pub env: ChildEnv,
    /// The folder it starts in.
    pub cwd: PathBuf,
    /// The session that it and everything below it belong to.
    pub session: SessionMark,
    /// The longest line of its stdout, in bytes; a longer one becomes [`Line::TooLong`].
    pub max_line: usize,
    /// How many of the last bytes of its stderr are kept.
    pub stderr_tail: usize,
}

impl Spec {
    /// Program and arguments as the log shows them: no secrets are among them.
    fn command_line(&self) -> String {
        let parts = std::iter::once(self.program.as_os_str())
            .chain(self.args.iter().map(OsString::as_os_str))
            .map(|part| part.to_string_lossy());
        let line = parts.collect::<Vec<_>>().join(" ");
        line.chars().take(LONGEST_SHOWN).collect()
    }
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The folder to start in is missing or can't be entered.
    #[error("the working folder `{}` can't be used", cwd.display())]
    Cwd {
        /// The folder.
        cwd: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The program itself is missing or can't be executed.
    #[error("the program `{}` could not be started", program.display())]
    Program {
        /// The program as it was asked for.
        program: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The guard could not be started.
    #[error("the guard `{}` could not be started", exe.display())]
    Guard {
        /// The guard's binary.
        exe: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The guard could not make itself the keeper of a session.
    #[error("the guard failed at `{step}`")]
    Setup {
        /// The system call.
        step: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The guard ended without a word. Most likely its binary doesn't call
    /// [`run_guard_if_asked`](crate::run_guard_if_asked) first.
    #[error("the guard ended before it said anything (does `{}` run as a guard when asked?)", exe.display())]
    Mute {
        /// The guard's binary.
        exe: PathBuf,
    },
    /// The guard said nothing in time.
    #[error("the guard said nothing within {after:?}")]
    NoAnswer {
        /// How long it was waited for.
        after: Duration,
    },
}

/// How guards are started: by executing a binary that calls [`run_guard_if_asked`](crate::run_guard_if_asked).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    exe: PathBuf,
}

impl Guard {
    /// This process's own binary, also when its file has been replaced or removed since.
    pub fn own() -> Self {
        Self {
            exe: "/proc/self/exe".into(),
        }
    }

    /// Another binary.
    pub fn at(exe: PathBuf) -> Self {
        Self { exe }
    }

    /// Starts a child, and waits until it runs. Dropping the future ends what was started.
    ///
    /// # Errors
    /// [`SpawnError`] says whether it's the program, the folder or the guard.
    pub async fn spawn(&self, spec: Spec) -> Result<Child, SpawnError> {
        let parts = self.start(&spec).await?;
        Ok(Child::new(parts, spec.max_line, spec.stderr_tail))
    }

    /// The same for whoever wants the child's output as it comes, byte by byte, and reads both streams himself. The
    /// specification's limits of lines don't count then.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn spawn_piped(&self, spec: Spec) -> Result<PipedChild, SpawnError> {
        self.start(&spec).await.map(PipedChild::new)
    }

    async fn start(&self, spec: &Spec) -> Result<Parts, SpawnError> {
        let broken = |source| SpawnError::Guard {
            exe: self.exe.clone(),
            source,
        };
        let (ours, theirs) = StdUnixStream::pair().map_err(broken)?;
        let mut guard = self
            .command(spec, theirs.into())
            .spawn()
            .map_err(|source| match source.kind() {
                // The system doesn't say which of the two paths it didn't find.
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotADirectory => {
                    unusable(&spec.cwd).unwrap_or_else(|| broken(source))
                }
                _ => broken(source),
            })?;
        ours.set_nonblocking(true).map_err(broken)?;
        let hangup = ours.try_clone().map_err(broken)?;
        let (reader, writer) = UnixStream::from_std(ours).map_err(broken)?.into_split();
        let mut words = LineReader::new(reader, LONGEST_WORD);
        let pid = match timeout(START, self.first_word(&mut words, spec)).await {
            Ok(started) => started?,
            Err(_) => return Err(SpawnError::NoAnswer { after: START }),
        };
        tracing::info!(%pid, session = %spec.session, command = spec.command_line(), "child started");
        let piped = "its three streams were asked for as pipes and are taken once";
        Ok(Parts {
            stdin: guard.stdin.take().expect(piped),
            stdout: guard.stdout.take().expect(piped),
            stderr: guard.stderr.take().expect(piped),
            guard,
            link: Wire {
                pid,
                session: spec.session.clone(),
                words,
                writer,
            },
            hangup,
        })
    }

    /// The guard's command. It owns `control`, which is closed here when the command is dropped.
    #[expect(clippy::disallowed_methods, reason = "this starts the guard")]
    fn command(&self, spec: &Spec, control: OwnedFd) -> Command {
        let mut command = Command::new(&self.exe);
        command
            .arg0(GUARD_NAME)
            .args([
                GUARD_WORD,
                CONTROL_FD,
                &control.as_raw_fd().to_string(),
                "--",
            ])
            .arg(&spec.program)
            .args(&spec.args)
            .env_clear()
            .envs(spec.env.iter())
            .env(SESSION_MARK, spec.session.as_str())
            .current_dir(&spec.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Under the number it has: a chosen one might be that of the pipe on which exec's failure is reported.
            .preserved_fds(vec![control]);
        command
    }

    async fn first_word(
        &self,
        words: &mut LineReader<OwnedReadHalf>,
        spec: &Spec,
    ) -> Result<Pid, SpawnError> {
        let mute = || SpawnError::Mute {
            exe: self.exe.clone(),
        };
        let Ok(Some(Line::Complete(line))) = words.next().await else {
            return Err(mute());
        };
        match std::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.parse().ok())
        {
            Some(Word::Started(pid)) => Ok(pid),
            Some(Word::Failed { errno, what }) => {
                let source = io::Error::from_raw_os_error(errno);
                Err(if what == EXEC {
                    SpawnError::Program {
                        program: spec.program.clone(),
                        source,
                    }
                } else {
                    SpawnError::Setup { step: what, source }
                })
            }
            _ => Err(mute()),
        }
    }
}

/// Why nothing can start in this folder, if so.
fn unusable(cwd: &Path) -> Option<SpawnError> {
    let source = match std::fs::metadata(cwd.join(".")) {
        Ok(_) => return None,
        Err(source) => source,
    };
    Some(SpawnError::Cwd {
        cwd: cwd.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_does_not_show_its_values() {
        let env = ChildEnv::from_iter([("NAME", "s3cret")]);
        assert_eq!(format!("{env:?}"), r#"ChildEnv(["NAME"])"#);
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let mut env = ChildEnv::default();
        env.set("B", "1").set("A", "2").set("B", "3");
        assert_eq!(env.get("B"), Some(OsStr::new("3")));
        assert_eq!(env.get("C"), None);
        assert_eq!(
            env.iter()
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>(),
            ["A", "B"]
        );
    }
}
