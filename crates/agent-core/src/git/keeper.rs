//! Keeps credentials in memory and tells them to git, and to nobody who doesn't ask as git does.
//!
//! Each task has a folder of its own (0700) in a temporary folder of the executor's, outside every workspace. In it is a
//! socket (0600), on which the credential helper, `wegent-executor git-credential`, passes git's question on. So no
//! credential is in a file, and all of them are gone with the executor, however it ends.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

use super::{Credential, GitError};
use crate::{
    TaskId,
    environment::Environment,
    scratch::{self, Scratch},
    workspace::create_private,
};

/// A question has a few short lines.
const LONGEST_QUESTION: u64 = 16 << 10;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The credentials of all tasks of an executor.
#[derive(Debug, Default)]
pub(super) struct Keeper(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Answers questions. Before `folder`, so that nobody answers where nothing is left.
    listeners: JoinSet<()>,
    tasks: HashMap<TaskId, Arc<Mutex<Vec<Credential>>>>,
    folder: Option<Scratch>,
}

impl Keeper {
    /// The task's own folder, which lives as long as the executor.
    ///
    /// # Errors
    /// [`GitError::Io`] if it can't be made.
    pub(super) fn folder(
        &self,
        task: TaskId,
        image: &Environment,
        owner: &str,
    ) -> Result<PathBuf, GitError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = scratch::parent(image);
        if inner.folder.is_none() {
            inner.folder = Some(Scratch::create(&parent, owner).map_err(GitError::io(&parent))?);
        }
        let shared = inner
            .folder
            .as_ref()
            .map_or(parent.as_path(), Scratch::path);
        let folder = shared.join(task.to_string());
        create_private(&folder).map_err(GitError::io(&folder))?;
        Ok(folder)
    }

    /// From now on these, and no others, are the task's credentials. Gives the socket to ask at, which stays the same.
    ///
    /// # Errors
    /// [`GitError::Io`] if it can't be listened at.
    pub(super) fn keep(
        &self,
        task: TaskId,
        folder: &Path,
        credentials: Vec<Credential>,
    ) -> Result<PathBuf, GitError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = folder.join("git");
        if let Some(kept) = inner.tasks.get(&task) {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
            return Ok(socket);
        }
        let listener = UnixListener::bind(&socket).map_err(GitError::io(&socket))?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))
            .map_err(GitError::io(&socket))?;
        let kept = Arc::new(Mutex::new(credentials));
        inner.tasks.insert(task, Arc::clone(&kept));
        inner.listeners.spawn(listen(listener, kept));
        Ok(socket)
    }
}

async fn listen(listener: UnixListener, kept: Arc<Mutex<Vec<Credential>>>) {
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            asked = listener.accept() => match asked {
                Ok((stream, _)) => {
                    let kept = Arc::clone(&kept);
                    answers.spawn(async move {
                        // Who hangs up, or says nothing, gets nothing.
                        let _ = timeout(PATIENCE, answer(stream, &kept)).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a question for git credentials was lost");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = answers.join_next() => {}
        }
    }
}

async fn answer(mut stream: UnixStream, kept: &Mutex<Vec<Credential>>) -> io::Result<()> {
    let mut question = String::new();
    (&mut stream)
        .take(LONGEST_QUESTION)
        .read_to_string(&mut question)
        .await?;
    let answer = {
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find_map(|credential| credential.answer(&question))
    };
    if let Some(answer) = answer {
        stream.write_all(answer.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// The credential helper: passes the question on `input` on to the executor that listens at `socket`, and its answer to
/// `output`. Blocks. `store` and `erase` have nothing to do: what is known comes from the platform.
///
/// # Errors
/// What the system says, as when the executor has gone.
pub fn ask_for_credential(
    socket: &Path,
    operation: &str,
    input: impl io::Read,
    mut output: impl io::Write,
) -> io::Result<()> {
    if operation != "get" {
        return Ok(());
    }
    let mut question = Vec::new();
    input.take(LONGEST_QUESTION).read_to_end(&mut question)?;
    let mut stream = StdUnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&question)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = secrecy::zeroize::Zeroizing::new(Vec::new());
    stream.take(LONGEST_QUESTION).read_to_end(&mut answer)?;
    output.write_all(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Remote;

    fn credentials(token: &str) -> Vec<Credential> {
        let remote: Remote = "https://git.example/a".parse().unwrap();
        vec![
            Credential::new(
                remote.origin().cloned().unwrap(),
                "alice".into(),
                token.into(),
            )
            .unwrap(),
        ]
    }

    async fn ask(socket: &Path, operation: &'static str, host: &str) -> String {
        let (socket, question) = (
            socket.to_owned(),
            format!("protocol=https\nhost={host}\n\n"),
        );
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer = Vec::new();
            ask_for_credential(&socket, operation, question.as_bytes(), &mut answer)
                .map(|()| answer)
        });
        String::from_utf8(asked.await.unwrap().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_helper_gets_what_is_kept_for_its_task_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let image = Environment::from([("TMPDIR".into(), parent.path().into())]);
        let keeper = Keeper::default();
        let mut sockets = Vec::new();
        for (task, token) in [(1, "one-token"), (2, "two-token")] {
            let folder = keeper.folder(TaskId(task), &image, "me").unwrap();
            sockets.push(
                keeper
                    .keep(TaskId(task), &folder, credentials(token))
                    .unwrap(),
            );
        }
        let mode = std::fs::metadata(&sockets[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            ask(&sockets[0], "get", "git.example").await,
            "username=alice\npassword=one-token\n"
        );
        assert_eq!(
            ask(&sockets[1], "get", "git.example").await,
            "username=alice\npassword=two-token\n"
        );
        assert_eq!(ask(&sockets[0], "get", "evil.example").await, "");
        assert_eq!(ask(&sockets[0], "store", "git.example").await, "");
        // A new turn may bring another token, or none.
        let folder = keeper.folder(TaskId(1), &image, "me").unwrap();
        assert_eq!(
            keeper.keep(TaskId(1), &folder, Vec::new()).unwrap(),
            sockets[0]
        );
        assert_eq!(ask(&sockets[0], "get", "git.example").await, "");
        drop(keeper);
        assert_eq!(
            std::fs::read_dir(parent.path()).unwrap().count(),
            0,
            "the folder goes with the keeper"
        );
    }
}
