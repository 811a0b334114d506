//! The stage of the end-to-end tests and of the demo: the real executor binary, the real CLIs, a scripted model, a
//! fake Wegent.
//!
//! ```no_run
//! # async fn example() {
//! use wegent_executor_tests::World;
//! let Some(mut world) = World::build("my_test").await else { return };
//! let turn = world.turn(1, 2, "Hello. #script:text");
//! world.dispatch(&turn).await;
//! let view = world.finished(2).await;
//! assert!(view.completed());
//! # }
//! ```
#![warn(missing_docs)]

pub mod chaos;
mod executor;
mod flat;
mod processes;
mod turn;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::{
    Backend, ModelServer, View,
    cli::ClaudeVersion,
    cumulative::{self, Stored},
    http::client::Answer,
    model::Options,
    oracle,
};

pub use executor::OPERATORS_KEY;
pub use executor::{Executor, Settings, binary, signal};
pub use flat::FlatTurn;
pub use processes::{Sleeper, until};
pub use turn::{API_KEY, AUTH_TOKEN, SKILL_TOKEN, TurnBody};

/// How long a turn may take in a test. Generous: the machine may have two cores and much to do.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The Claude Code that the end-to-end tests and the demo run.
pub const CLAUDE: ClaudeVersion = ClaudeVersion::V2_1_329;

/// Everything that takes part in a test.
pub struct World {
    /// The fake Wegent.
    pub backend: Backend,
    /// The scripted model.
    pub model: ModelServer,
    /// The executor under test.
    pub executor: Executor,
    /// Holds workspaces, homes and logs; removed at the end.
    pub root: tempfile::TempDir,
}

impl World {
    /// A world with the real Codex CLI. `None`, saying so, if the CLI is not there (a panic with `CI=true`).
    pub async fn build(test: &str) -> Option<Self> {
        Self::build_with(test, Options::default(), |_| {}).await
    }

    /// The same with a model and an executor that are set up otherwise.
    pub async fn build_with(
        test: &str,
        model: Options,
        change: impl FnOnce(&mut Settings),
    ) -> Option<Self> {
        let codex = testkit::cli::require_codex(test)?;
        Some(Self::with_cli(&codex, model, change).await)
    }

    /// A world with the real Claude Code CLI; Codex is there only if it is installed. `None`, saying so, if Claude Code is
    /// not there (a panic with `CI=true`).
    pub async fn with_claude(
        test: &str,
        model: Options,
        change: impl FnOnce(&mut Settings),
    ) -> Option<Self> {
        testkit::cli::require_claude(CLAUDE, test)?;
        let codex = testkit::cli::codex().unwrap_or_else(|_| "/nonexistent/codex".into());
        Some(Self::with_cli(&codex, model, change).await)
    }

    /// A world with any program in Codex's place, and with Claude Code if it is installed.
    pub async fn with_cli(
        codex: &Path,
        model: Options,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let root = private_folder();
        let backend = Backend::start().await.expect("the fake backend can listen");
        let model = ModelServer::start(model)
            .await
            .expect("the scripted model can listen");
        let mut settings = Settings::new(root.path(), codex, &backend);
        change(&mut settings);
        let executor = Executor::start(settings).await;
        Self {
            backend,
            model,
            executor,
            root,
        }
    }

    /// A request in Wegent's form that asks the scripted model.
    pub fn turn(&self, task: i64, subtask: i64, prompt: &str) -> TurnBody {
        TurnBody::new(task, subtask, prompt, &self.model.base_url())
    }

    /// The same for Claude Code.
    pub fn claude_turn(&self, task: i64, subtask: i64, prompt: &str) -> TurnBody {
        TurnBody::claude(task, subtask, prompt, &self.model.anthropic_url())
    }

    /// Posts a turn as Wegent's manager does.
    ///
    /// # Panics
    /// If the executor does not answer 200.
    pub async fn dispatch(&self, turn: &TurnBody) -> Value {
        let answer = self.post(&turn.0).await;
        assert_eq!(
            answer.status,
            200,
            "dispatch was refused: {}",
            answer.text()
        );
        answer.json()
    }

    /// A flat payload for Codex that asks the scripted model.
    pub fn flat(&self, task: i64, subtask: i64, prompt: &str) -> FlatTurn {
        FlatTurn::codex(task, subtask, prompt, &self.model.base_url())
    }

    /// The same for Claude Code.
    pub fn flat_claude(&self, task: i64, subtask: i64, prompt: &str) -> FlatTurn {
        FlatTurn::claude(task, subtask, prompt, &self.model.anthropic_url())
    }

    /// Posts a flat payload as the manager of January 2026 does.
    ///
    /// # Panics
    /// If the executor does not answer 200 with a state.
    pub async fn execute(&self, turn: &FlatTurn) -> Value {
        let answer = self.backend.execute(&self.executor.url(), &turn.0).await;
        let answer = answer.expect("the executor answers a dispatch");
        assert_eq!(answer.status, 200, "refused: {}", answer.text());
        let answer = answer.json();
        assert!(answer["status"].is_string(), "{answer}");
        answer
    }

    /// Waits for the end of a turn with cumulative callbacks and gives what is stored of it, having checked that nothing
    /// was wrong and that both of that time's backends store the same.
    ///
    /// # Panics
    /// If it does not end in time, or anything was wrong.
    pub async fn stored(&self, subtask: i64) -> Stored {
        if self.backend.wait_end(subtask, 1, PATIENCE).await.is_none() {
            panic!(
                "subtask {subtask} did not end; seen: {:#?}\nlog:\n{}",
                self.backend.stored(subtask, cumulative::Rule::Merge),
                self.executor.log()
            );
        }
        cumulative::assert_clean(&self.backend.callbacks(subtask))
    }

    /// Posts a flat payload and waits for the end.
    pub async fn run_flat(&self, turn: &FlatTurn) -> Stored {
        self.execute(turn).await;
        self.stored(turn.subtask()).await
    }

    /// Posts a turn until the executor runs it: while the end of the attempt before is not known to be delivered, the
    /// answer is that attempt's state. Once it runs, to post the same again changes nothing.
    ///
    /// # Panics
    /// If it is not run.
    pub async fn dispatch_anew(&self, turn: &TurnBody) {
        let begun = || {
            let callbacks = self.backend.callbacks(turn.subtask());
            callbacks
                .iter()
                .filter(|callback| callback.event_type() == "response.created")
                .count()
        };
        let (before, limit) = (begun(), Instant::now() + PATIENCE);
        while begun() == before {
            let answer = self.dispatch(turn).await;
            assert!(Instant::now() < limit, "never begun: {answer}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Posts a turn until its state is `state`, in Wegent's words.
    ///
    /// # Panics
    /// If it does not become so.
    pub async fn dispatch_until(&self, turn: &TurnBody, state: &str) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let answer = self.dispatch(turn).await;
            if answer["message"]
                .as_str()
                .is_some_and(|message| message.ends_with(state))
            {
                return;
            }
            assert!(Instant::now() < limit, "never {state}: {answer}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Posts any body to `/v1/responses`.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn post(&self, body: &Value) -> Answer {
        self.backend
            .dispatch(&self.executor.url(), body)
            .await
            .expect("the executor answers a dispatch")
    }

    /// Waits for the end of a turn's first attempt and gives what the person sees, having checked that nothing was wrong.
    pub async fn finished(&self, subtask: i64) -> View {
        self.finished_attempt(subtask, 1).await
    }

    /// The same for its `attempt`-th attempt.
    ///
    /// # Panics
    /// If it does not end in time, or anything was wrong with its callbacks.
    pub async fn finished_attempt(&self, subtask: i64, attempt: usize) -> View {
        if self
            .backend
            .wait_end(subtask, attempt, PATIENCE)
            .await
            .is_none()
        {
            panic!(
                "subtask {subtask} did not end; seen: {:#?}\nlog:\n{}",
                self.backend.view(subtask),
                self.executor.log()
            );
        }
        let view = self.backend.view(subtask);
        oracle::assert_clean(&view);
        assert!(
            self.backend.mistakes().is_empty(),
            "{:#?}",
            self.backend.mistakes()
        );
        view
    }

    /// Dispatches and waits for the end.
    pub async fn run(&self, turn: &TurnBody) -> View {
        self.dispatch(turn).await;
        self.finished(turn.subtask()).await
    }

    /// Waits until a subtask's callbacks satisfy `condition`.
    ///
    /// # Panics
    /// If they don't in time.
    pub async fn wait_for(&self, subtask: i64, what: &str, condition: impl Fn(&View) -> bool) {
        let seen = self.backend.wait_for(PATIENCE, |callbacks| {
            let ours = callbacks
                .iter()
                .filter(|callback| callback.subtask() == Some(subtask));
            condition(&oracle::replay(ours))
        });
        assert!(
            seen.await,
            "{what}: {:#?}\nlog:\n{}",
            self.backend.view(subtask),
            self.executor.log()
        );
    }

    /// The folder of the executor's journals.
    pub fn journals(&self) -> PathBuf {
        let home = self.root.path().join("home/.wegent-executor");
        home.join("journal").join(self.executor.name())
    }

    /// The workspace folder of a task.
    pub fn workspace(&self, task: i64) -> PathBuf {
        self.root.path().join("workspace").join(task.to_string())
    }
}

/// A folder for one test. Not under the system's temporary folder: Codex does not make its helpers in a home there.
pub fn private_folder() -> tempfile::TempDir {
    let parent = testkit::cli::workspace_root().join("target/e2e");
    std::fs::create_dir_all(&parent).expect("the target folder is writable");
    tempfile::Builder::new()
        .prefix("w")
        .tempdir_in(parent)
        .expect("the target folder is writable")
}
