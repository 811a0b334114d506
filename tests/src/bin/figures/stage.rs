//! An executor whose CLIs are the fake ones and whose callbacks go to the [sink](crate::sink).

use std::time::Duration;

use testkit::{model::Options, roles};
use wegent_executor_tests::{TurnBody, World, private_folder};

use crate::{
    machine::{self, Used},
    sink::{Post, Sink},
};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// See the module.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) sink: Sink,
    _cli: tempfile::TempDir,
}

/// Which agent a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Claude,
    Codex,
}

impl Shell {
    /// As users call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Claude => "ClaudeCode",
            Self::Codex => "Codex",
        }
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let cli = private_folder();
        let codex = roles::install_fake_codex(cli.path()).expect("the folder is writable");
        let claude = roles::install_fake_claude(cli.path()).expect("the folder is writable");
        let sink = Sink::start().expect("loopback has free ports");
        let url = sink.url().to_owned();
        let world = World::with_cli(&codex, Options::default(), |settings| {
            settings.set("CALLBACK_URL", url);
            settings.set("CLAUDE_BINARY_PATH", claude.display().to_string());
        });
        Self {
            world: world.await,
            sink,
            _cli: cli,
        }
    }

    /// A turn.
    pub(crate) fn turn(&self, shell: Shell, task: i64, subtask: i64, prompt: &str) -> TurnBody {
        match shell {
            Shell::Claude => self.world.claude_turn(task, subtask, prompt),
            Shell::Codex => self.world.turn(task, subtask, prompt),
        }
    }

    /// Runs a turn to its end and gives what came of it.
    pub(crate) async fn run(&self, turn: &TurnBody) -> Vec<Post> {
        self.sink.clear();
        self.world.dispatch(turn).await;
        self.sink.ended(1, PATIENCE).await;
        self.sink.posts(turn.subtask())
    }

    /// Begins a turn that answers at once, so that its CLI is warm for the next.
    pub(crate) async fn warm_up(&self, shell: Shell, task: i64) {
        self.run(&self.turn(shell, task, 1, "#fake:say warm")).await;
    }

    /// What the executor has used so far.
    pub(crate) fn used(&self) -> Used {
        Used::by(self.world.executor.pid())
    }

    /// Counts the executor's largest memory from here on.
    pub(crate) fn reset_peak(&self) {
        machine::reset_peak(self.world.executor.pid());
    }
}
