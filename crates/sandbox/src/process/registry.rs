//! The commands that run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use supervisor::ProcessHandle;
use tokio::{io::AsyncWriteExt, process::ChildStdin, sync::Mutex as AsyncMutex, task::JoinSet};

use super::Listed;
use crate::answer::{Code, Refusal};

/// How many commands may run at once.
const MOST: usize = 256;
/// How long a command may take to read its input.
const WRITE: Duration = Duration::from_secs(30);

/// All commands of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    running: Mutex<BTreeMap<i32, Arc<Running>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(super) handle: ProcessHandle,
    pub(super) listed: Listed,
    pub(super) stdin: AsyncMutex<Option<ChildStdin>>,
}

/// Which command is meant.
#[derive(Debug, Deserialize)]
pub(super) struct Selector {
    #[serde(default)]
    pid: Option<i32>,
    #[serde(default)]
    tag: Option<String>,
}

impl Processes {
    pub(super) fn list(&self) -> Vec<Listed> {
        let running = self.running();
        running.values().map(|one| one.listed.clone()).collect()
    }

    pub(super) fn is_full(&self) -> bool {
        self.running().len() >= MOST
    }

    pub(super) fn find(&self, which: &Selector) -> Result<Arc<Running>, Refusal> {
        let running = self.running();
        let found = match (which.pid, &which.tag) {
            (Some(pid), _) => running.get(&pid),
            (None, Some(tag)) => running
                .values()
                .find(|one| one.listed.tag.as_ref() == Some(tag)),
            (None, None) => return Err(Refusal::invalid("process: expected `pid` or `tag`")),
        };
        let none = || Refusal::new(Code::NotFound, "process: no such command runs");
        found.cloned().ok_or_else(none)
    }

    /// Takes a command over until `work` has seen it to its end.
    pub(super) fn add(&self, running: Running, work: impl Future<Output = ()> + Send + 'static) {
        let pid = running.listed.pid;
        self.running().insert(pid, Arc::new(running));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Only to forget the ones that have ended.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    pub(super) fn remove(&self, pid: i32) {
        self.running().remove(&pid);
    }

    /// Ends every command.
    pub(crate) async fn shutdown(&self) {
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        let all: Vec<Arc<Running>> = self.running().values().cloned().collect();
        let kills = all.iter().map(|one| one.handle.kill());
        futures::future::join_all(kills).await;
        tasks.shutdown().await;
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<i32, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Writes to the command's input; nothing at all closes it.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> Result<(), Refusal> {
        let mut stdin = self.stdin.lock().await;
        if bytes.is_empty() {
            *stdin = None;
            return Ok(());
        }
        let Some(open) = stdin.as_mut() else {
            return Err(Refusal::invalid("input: the command's input is closed"));
        };
        match tokio::time::timeout(WRITE, open.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                *stdin = None;
                Err(Refusal::invalid(format!("input: {error}")))
            }
            Err(_) => {
                let message = "input: the command does not read it";
                Err(Refusal::new(Code::DeadlineExceeded, message))
            }
        }
    }
}
