//! `wegent-executor run`: one turn at a terminal, without Wegent.
//!
//! The turn takes the same way as one of Wegent's: a request in Wegent's form is decoded, run and delivered; only the
//! reader of the callbacks is the terminal.

use std::{fs, io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use agent_core::{AgentKind, SubtaskId, TaskId, workspace::create_private};
use journal::{Store, StoreError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use wegent_protocol::DecodeError;

use crate::{
    cli::Run,
    clock::Clock,
    config::{Access, Config, Mode},
    courier::RetryPolicy,
    outlets::Outlets,
    runs::{SubmitError, Turns, registry},
    service::services,
    terminal::{Ending, Terminal},
};

/// How long the processes of a turn may take to end after it.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);

/// The turn could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder to work in can't be used.
    #[error("--cwd: folder `{}` can't be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The file with the key can't be read.
    #[error("--api-key-file: `{}` can't be read", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The executor's own folder can't be used.
    #[error("`{}` can't be used", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// There is nothing to continue.
    #[error("--continue: there was no conversation in this folder yet")]
    NothingToContinue,
    /// The arguments make no valid request.
    #[error("the arguments make no valid request")]
    Request(#[from] DecodeError),
    /// The journal can't be opened.
    #[error("can't open the journal")]
    Journal(#[from] StoreError),
    /// The turn was not taken over.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Signals can't be received.
    #[error("can't receive signals")]
    Signals(#[source] io::Error),
}

/// Runs the turn and returns the exit code: 0 completed, 1 failed, 130 cancelled.
///
/// # Errors
/// [`RunError`] when it can't be run at all.
pub async fn run(arguments: Run, mut config: Config) -> Result<u8, RunError> {
    config.mode = Mode::Local;
    if arguments.full_access {
        config.access = Access::Full;
    }
    let cwd = folder(arguments.cwd.as_deref())?;
    let tasks = config.paths.executor_home.join("tasks");
    let task = task_for(&tasks, &cwd, arguments.continue_last)?;
    // A name of its own: a service on the same machine keeps its journals and its processes.
    config.identity.name = format!("run-{task}");
    let body = request(&arguments, &config, task, &cwd)?;
    let dispatch = wegent_protocol::decode(&body)?;

    let journal = tasks.join(task.to_string()).join("journal");
    let store = Store::open(&journal)?;
    let terminal = Arc::new(Terminal::new(arguments.json));
    let outlets = Outlets::Fixed(terminal.clone());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let (turns, runs) = registry(services(&config, store, outlets, RetryPolicy::default()))?;
    let mut work = tokio::task::JoinSet::new();
    work.spawn(runs.run());
    turns.submit(dispatch).await?;
    let ending = tokio::select! {
        ending = terminal.ended() => ending,
        _ = interrupt.recv() => cancel(&turns, task, &terminal).await,
        _ = term.recv() => cancel(&turns, task, &terminal).await,
    };
    let _ = tokio::time::timeout(SHUTDOWN_LIMIT, turns.shutdown()).await;
    work.shutdown().await;
    // The journal has been read; what a later turn needs is the task's state.
    let _ = fs::remove_dir_all(journal);
    Ok(match ending {
        Ending::Completed => 0,
        Ending::Failed => 1,
        Ending::Cancelled => 130,
    })
}

async fn cancel(turns: &impl Turns, task: TaskId, terminal: &Terminal) -> Ending {
    // Nothing may be running any more; then the end is on its way.
    let _ = turns.cancel(task, None).await;
    terminal.ended().await
}

fn folder(given: Option<&Path>) -> Result<PathBuf, RunError> {
    let path = given.unwrap_or(Path::new("."));
    let failed = |source| RunError::Folder {
        path: path.to_path_buf(),
        source,
    };
    let folder = fs::canonicalize(path).map_err(failed)?;
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(failed(io::ErrorKind::NotADirectory.into()))
    }
}

/// The task of this run: a new one, or the one that the last run in this folder had.
fn task_for(tasks: &Path, cwd: &Path, continue_last: bool) -> Result<TaskId, RunError> {
    let folders = tasks.join("folders");
    let name: String = Sha256::digest(cwd.as_os_str().as_encoded_bytes())[..16]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let path = folders.join(name);
    let failed = |source| RunError::State {
        path: path.clone(),
        source,
    };
    if continue_last {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RunError::NothingToContinue);
            }
            Err(error) => return Err(failed(error)),
        };
        return text
            .trim()
            .parse()
            .map(TaskId)
            .map_err(|_| failed(io::ErrorKind::InvalidData.into()));
    }
    let task = TaskId(i64::try_from(Clock::System.now_ms()).unwrap_or(i64::MAX));
    create_private(&folders).map_err(failed)?;
    fs::write(&path, task.to_string()).map_err(failed)?;
    Ok(task)
}

/// The request that Wegent would have sent.
fn request(
    arguments: &Run,
    config: &Config,
    task: TaskId,
    cwd: &Path,
) -> Result<Vec<u8>, RunError> {
    let key = api_key(arguments, config)?;
    let subtask = SubtaskId(i64::try_from(Clock::System.now_ms()).unwrap_or(i64::MAX));
    let own_login = key.is_none() && arguments.base_url.is_none();
    let body = json!({
        "model": arguments.model.as_deref().unwrap_or_default(),
        "input": arguments.prompt,
        "background": true,
        "metadata": {
            "task_id": task,
            "subtask_id": subtask,
            "bot": [{
                "id": "run",
                "name": "run",
                "shell_type": AgentKind::from(arguments.shell).shell_type(),
                "cwd": cwd,
            }],
        },
        "model_config": {
            "model_id": arguments.model,
            "base_url": arguments.base_url,
            "api_key": key.as_ref().map(SecretString::expose_secret),
            "runtime_config": { "codex": { "use_user_config": own_login } },
        },
    });
    Ok(body.to_string().into_bytes())
}

fn api_key(arguments: &Run, config: &Config) -> Result<Option<SecretString>, RunError> {
    let Some(path) = &arguments.api_key_file else {
        return Ok(config.openai_api_key.clone());
    };
    let key = fs::read_to_string(path).map_err(|source| RunError::KeyFile {
        path: path.clone(),
        source,
    })?;
    Ok(Some(SecretString::from(key.trim())))
}
