//! Starting the daemon in the background, and waiting until it listens.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use supervisor::{ChildEnv, Detached, DetachedChild};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, ClientError, Connect},
    config::Config,
    exit,
    paths::{self, PathError},
};

/// How often it is looked whether the daemon listens.
const LOOK: Duration = Duration::from_millis(10);

/// How long a daemon may take until it listens, for those who need it.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// How a daemon is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The program; `run --detached` and `args` are its arguments.
    pub program: PathBuf,
    /// Flags, those that the starter itself was given.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: ChildEnv,
    /// The socket it will listen on.
    pub socket: PathBuf,
    /// Where its state lies, and where it says why it can't start.
    pub state_dir: PathBuf,
    /// How long it may take.
    pub wait: Duration,
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It ended again, and this is what it said.
    #[error("{said}")]
    Refused {
        /// Its exit code.
        code: u8,
        /// Its words.
        said: String,
    },
    /// It doesn't listen in time.
    #[error("the daemon does not listen yet after {waited:?}; `codex-daemon logs` may say why")]
    Slow {
        /// How long it was waited for.
        waited: Duration,
    },
    /// It can't be started at all.
    #[error("the daemon can't be started")]
    Spawn(#[source] io::Error),
    /// A folder can't be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Something else listens, or the like.
    #[error(transparent)]
    Client(ClientError),
}

/// What starting came to.
#[derive(Debug)]
pub struct Started {
    /// A connection to it.
    pub client: Client,
    /// Whether it was there before.
    pub was_running: bool,
}

impl Start {
    /// As the configuration says, with this program.
    pub fn new(config: &Config, env: ChildEnv, args: Vec<OsString>) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            args,
            env,
            socket: config.socket.clone(),
            state_dir: config.state_dir.clone(),
            wait: WAIT,
        }
    }

    /// Connects to the daemon, and starts it first if there is none. Of several who do this at once one wins; the
    /// others connect to it.
    ///
    /// # Errors
    /// [`StartError`] with the daemon's own reason.
    pub async fn start(&self) -> Result<Started, StartError> {
        let begin = Instant::now();
        if let Some(client) = self.connect().await? {
            return Ok(Started {
                client,
                was_running: true,
            });
        }
        paths::private_folder(&self.state_dir)?;
        // A name of its own per starter, so that nobody reads another one's words.
        let name = format!("start-{}.err", std::process::id());
        let words = self.state_dir.join(name);
        let stderr = paths::private_file(&words)?;
        let child = Detached {
            program: self.program.clone(),
            name: "codex-daemon".into(),
            args: ["run".into(), "--detached".into()]
                .into_iter()
                .chain(self.args.iter().cloned())
                .collect(),
            env: self.env.clone(),
            cwd: self.state_dir.clone(),
        };
        let child = child.start(stderr).map_err(StartError::Spawn);
        let started = match child {
            Ok(child) => self.wait_for(child, begin, &words).await,
            Err(error) => Err(error),
        };
        let _ = fs::remove_file(&words);
        started
    }

    async fn wait_for(
        &self,
        mut child: DetachedChild,
        begin: Instant,
        words: &Path,
    ) -> Result<Started, StartError> {
        let mut running = true;
        let mut was_running = false;
        loop {
            if let Some(client) = self.connect().await? {
                return Ok(Started {
                    client,
                    was_running,
                });
            }
            if running && let Some(status) = child.ended().map_err(StartError::Spawn)? {
                running = false;
                was_running = status.code() == Some(i32::from(exit::OTHER_OWNER));
                if !was_running {
                    return Err(refused(status, words));
                }
            }
            if begin.elapsed() > self.wait {
                return Err(StartError::Slow { waited: self.wait });
            }
            sleep(LOOK).await;
        }
    }

    async fn connect(&self) -> Result<Option<Client>, StartError> {
        match Client::connect(&self.socket).await {
            Ok(client) => Ok(Some(client)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(StartError::Client(error)),
        }
    }
}

fn refused(status: ExitStatus, words: &Path) -> StartError {
    let said = fs::read_to_string(words).unwrap_or_default();
    let said = said.trim().trim_start_matches("codex-daemon: ");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    StartError::Refused {
        code: code.unwrap_or(exit::FAILURE),
        said: if said.is_empty() {
            format!("the daemon ended at once, with {status}")
        } else {
            said.to_owned()
        },
    }
}

/// Has the daemon started by the command `start` of `program`, unless it runs. For those who live long or become another
/// program: the daemon is not their child, so they needn't wait for its end.
///
/// # Errors
/// [`StartError`] with the daemon's own reason.
pub fn by_command(
    program: &Path,
    flags: &[OsString],
    env: ChildEnv,
    state_dir: &Path,
    wait: Duration,
) -> Result<(), StartError> {
    paths::private_folder(state_dir)?;
    let words = state_dir.join(format!("start-{}.err", std::process::id()));
    let stderr = paths::private_file(&words)?;
    let mut args: Vec<OsString> = flags.to_vec();
    let seconds = wait.as_secs().max(1).to_string();
    args.extend(["start".into(), "--wait".into(), seconds.into()]);
    let command = Detached {
        program: program.to_owned(),
        name: "codex-daemon".into(),
        args,
        env,
        cwd: state_dir.to_owned(),
    };
    let ended = command
        .start(stderr)
        .and_then(|mut child| ended_within(&mut child, wait + crate::client::CONNECT));
    let started = match ended {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(refused(status, &words)),
        Ok(None) => Err(StartError::Slow { waited: wait }),
        Err(error) => Err(StartError::Spawn(error)),
    };
    let _ = fs::remove_file(&words);
    started
}

fn ended_within(child: &mut DetachedChild, longest: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = std::time::Instant::now();
    loop {
        match child.ended()? {
            None if begin.elapsed() < longest => std::thread::sleep(LOOK),
            ended => return Ok(ended),
        }
    }
}

impl Connect for Start {
    /// Starts the daemon if need be.
    async fn connect(&mut self) -> Result<Client, ClientError> {
        match self.start().await {
            Ok(started) => Ok(started.client),
            Err(StartError::Client(error)) => Err(error),
            Err(error) => Err(ClientError::Start(Box::new(error))),
        }
    }
}
