//! `wegent-executor run`: one turn at a terminal, without Wegent.
//!
//! The turn takes the same way as one of Wegent's: a request in Wegent's form is decoded, run and delivered; only the
//! reader of the callbacks is the terminal. Where a person sits there, the agent may ask: the answer is one more turn.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent_core::{AgentKind, SubtaskId, TaskId, workspace::create_private};
use http_client::{ClientError, HttpClients};
use journal::{Store, StoreError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use wegent_protocol::DecodeError;

use crate::{
    cli::{Run, Shell},
    clock::Clock,
    config::{Access, Approvals, Config, Mode},
    courier::RetryPolicy,
    logging::LogSecrets,
    outlets::Outlets,
    runs::{SubmitError, Turns, registry},
    service::{codex_agent, services},
    terminal::{Asked, Ending, Reader, Terminal},
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
    /// There is neither a key nor a login.
    #[error(
        "no key: set OPENAI_API_KEY, or --api-key-file, or WEGENT_CODEX_HOME to a Codex home that is logged in"
    )]
    NoKey,
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
    /// The HTTP client can't be made.
    #[error(transparent)]
    Client(#[from] ClientError),
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
pub async fn run(arguments: Run, mut config: Config, log: LogSecrets) -> Result<u8, RunError> {
    config.mode = Mode::Local;
    if arguments.full_access {
        config.access = Access::Full;
    }
    let reader = reader(&arguments);
    let asks = reader == Reader::PersonWhoAnswers && config.access == Access::Workspace;
    if asks {
        config.codex.approvals.get_or_insert(Approvals::OnRequest);
    }
    let cwd = folder(arguments.cwd.as_deref())?;
    let key = api_key(&arguments, &config)?;
    let tasks = config.paths.executor_home.join("tasks");
    let task = task_for(&tasks, &cwd, arguments.continue_last)?;
    // A name of its own: a service on the same machine keeps its journals and its processes.
    config.identity.name = format!("run-{task}");
    let home = config
        .paths
        .executor_home
        .join("codex")
        .join(task.to_string());
    let journal = tasks.join(task.to_string()).join("journal");
    let store = Store::open(&journal)?;
    let clients = HttpClients::new(config.proxies.clone())?;
    let terminal = Arc::new(Terminal::new(reader));
    let outlets = Outlets::Fixed(terminal.clone());
    let mut stop = Stop::new().map_err(RunError::Signals)?;
    let (turns, runs) = registry(services(
        &config,
        codex_agent(&config),
        store,
        clients,
        outlets,
        RetryPolicy::default(),
        log,
    ))?;
    let mut work = tokio::task::JoinSet::new();
    work.spawn(runs.run());
    let request = Request {
        arguments: &arguments,
        key: key.as_ref(),
        task,
        cwd: &cwd,
        asks,
    };
    let mut dispatch = wegent_protocol::decode(&request.first())?;
    let ending = loop {
        turns.submit(dispatch).await?;
        let ending = tokio::select! {
            ending = terminal.ended() => ending,
            () = stop.asked() => cancel(&turns, task, &terminal).await,
        };
        let Ending::Asked(asked) = ending else {
            break ending;
        };
        if reader != Reader::PersonWhoAnswers {
            break Ending::Completed;
        }
        let answers = tokio::select! {
            answers = answers(&asked) => answers,
            () = stop.asked() => None,
        };
        let Some(answers) = answers else {
            break Ending::Cancelled;
        };
        dispatch = wegent_protocol::decode(&request.answer(&asked, answers))?;
    };
    let _ = tokio::time::timeout(SHUTDOWN_LIMIT, turns.shutdown()).await;
    work.shutdown().await;
    // The journal has been read, and a Codex home is made again from the task's state, which stays.
    let _ = fs::remove_dir_all(journal);
    let _ = fs::remove_dir_all(home);
    Ok(match ending {
        Ending::Completed | Ending::Asked(_) => 0,
        Ending::Failed => 1,
        Ending::Cancelled => 130,
    })
}

/// Who reads what the agent says.
fn reader(arguments: &Run) -> Reader {
    if arguments.json {
        Reader::Program
    } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
        Reader::PersonWhoAnswers
    } else {
        Reader::Person
    }
}

/// Signals that end the turn.
struct Stop {
    interrupt: Signal,
    term: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// What the person answers; `None` if the input ends.
async fn answers(asked: &Asked) -> Option<Map<String, Value>> {
    let form = asked.form.clone();
    // Reading can't be called off, but nobody waits for it when the process ends.
    let reading = move || form.fill(&mut io::stdin().lock(), &mut io::stdout().lock());
    match tokio::task::spawn_blocking(reading).await.ok()? {
        Ok(answers) => answers,
        Err(error) => {
            tracing::error!(%error, "the answer can't be read");
            None
        }
    }
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

/// The requests that Wegent would have sent.
struct Request<'a> {
    arguments: &'a Run,
    key: Option<&'a SecretString>,
    task: TaskId,
    cwd: &'a Path,
    /// Whether Claude Code asks before it does more than to edit in its folder; Codex is told by its configuration.
    asks: bool,
}

impl Request<'_> {
    fn first(&self) -> Vec<u8> {
        self.body(&self.arguments.prompt, Value::Null)
    }

    /// The one that answers a question.
    fn answer(&self, asked: &Asked, answers: Map<String, Value>) -> Vec<u8> {
        let answer = json!({
            "tool_use_id": asked.call,
            "status": "answered",
            "answers": answers,
        });
        self.body("I have answered your question.", answer)
    }

    fn body(&self, input: &str, answer: Value) -> Vec<u8> {
        let arguments = self.arguments;
        let subtask = SubtaskId(i64::try_from(Clock::System.now_ms()).unwrap_or(i64::MAX));
        let own_login = self.key.is_none() && arguments.base_url.is_none();
        let body = json!({
            "model": arguments.model.as_deref().unwrap_or_default(),
            "input": input,
            "background": true,
            "metadata": {
                "task_id": self.task,
                "subtask_id": subtask,
                "bot": [{
                    "id": "run",
                    "name": "run",
                    "shell_type": AgentKind::from(arguments.shell).shell_type(),
                    "cwd": self.cwd,
                }],
                "claude_permission_mode": self.asks.then_some("acceptEdits"),
                "interactive_form_answer": answer,
            },
            "model_config": {
                "model_id": arguments.model,
                "base_url": arguments.base_url,
                "api_key": self.key.map(SecretString::expose_secret),
                "runtime_config": { "codex": { "use_user_config": own_login } },
            },
        });
        body.to_string().into_bytes()
    }
}

/// The model's key. There may be none for a provider that wants none, or where Codex has a login of its own: that is in
/// its home, and a home that is made for this turn has none.
fn api_key(arguments: &Run, config: &Config) -> Result<Option<SecretString>, RunError> {
    let Some(path) = &arguments.api_key_file else {
        let login = config.codex.shared_home.is_some() || arguments.shell != Shell::Codex;
        let own = match arguments.shell {
            Shell::ClaudeCode => &config.anthropic_api_key,
            Shell::Codex => &config.openai_api_key,
        };
        return match own {
            None if arguments.base_url.is_none() && !login => Err(RunError::NoKey),
            key => Ok(key.clone()),
        };
    };
    let key = fs::read_to_string(path).map_err(|source| RunError::KeyFile {
        path: path.clone(),
        source,
    })?;
    Ok(Some(SecretString::from(key.trim())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        config::ImageEnvironment,
    };

    #[test]
    fn without_a_key_there_has_to_be_a_login_or_a_provider_that_wants_none() {
        let key = |more: &[&str], variable: (&str, &str)| {
            let words = [
                "wegent-executor",
                "run",
                "--shell",
                "codex",
                "--prompt",
                "x",
            ];
            let cli = Cli::try_parse_from([&words[..], more].concat()).unwrap();
            let Ok(Command::Run(run)) = cli.command(Mode::Local) else {
                panic!("`run` was asked for")
            };
            let environment = ImageEnvironment::from_iter([("HOME", "/home/ada"), variable]);
            let key = api_key(&run, &Config::read(environment).unwrap());
            key.map(|key| key.map(|key| key.expose_secret().to_owned()))
        };
        let nothing = ("LANG", "C");
        assert!(matches!(key(&[], nothing), Err(RunError::NoKey)));
        assert_eq!(
            key(&["--base-url", "http://localhost/v1"], nothing).unwrap(),
            None
        );
        assert_eq!(
            key(&[], ("WEGENT_CODEX_HOME", "/home/ada/.codex")).unwrap(),
            None
        );
        assert_eq!(
            key(&[], ("OPENAI_API_KEY", "sk-x")).unwrap().as_deref(),
            Some("sk-x")
        );
    }
}
