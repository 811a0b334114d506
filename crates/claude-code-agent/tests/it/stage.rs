//! A task's place, and turns in it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use agent_core::{
    Agent, AgentError, AgentEvent, AgentKind, AgentOptions, Attempt, Bot, Cancel, CancelHandle,
    Completed, EventSink, Identity, ModelConfig, Outcome, Prompt, Skills, SubtaskId, TaskId, Team,
    Turn, TurnCx, TurnKey, Variables, Workspace, environment::contract_variables,
};
use claude_code_agent::{Access, ClaudeCodeAgent, ClaudeConfig};
use secrecy::SecretString;
use supervisor::SESSION_MARK;
use testkit::{
    ModelServer,
    model::Options,
    procs::{self, Proc},
};

/// The key that nobody but the model's API may see.
pub(crate) const KEY: &str = "sk-ant-agent-test-key-0000";

/// An agent with a task to work on.
pub(crate) struct Stage {
    pub(crate) agent: ClaudeCodeAgent,
    pub(crate) workspace: Workspace,
    pub(crate) owner: String,
    config: ClaudeConfig,
    _root: tempfile::TempDir,
}

impl Stage {
    /// An agent whose CLI is `binary`.
    pub(crate) fn new(binary: &Path, change: impl FnOnce(&mut ClaudeConfig)) -> Self {
        let parent = testkit::cli::workspace_root().join("target/e2e");
        std::fs::create_dir_all(&parent).unwrap();
        let root = tempfile::Builder::new()
            .prefix("c")
            .tempdir_in(parent)
            .unwrap();
        let name = root.path().file_name().unwrap();
        let owner = name.to_str().unwrap().to_owned();
        let workspace = Workspace {
            cwd: root.path().join("ws"),
            state: root.path().join("state"),
            variables: Default::default(),
            skills_changed: false,
        };
        for folder in [&workspace.cwd, &workspace.state] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut config = ClaudeConfig::new(owner.clone());
        config.binary = Some(binary.to_path_buf());
        config.access = Access::Full;
        config.image = BTreeMap::from([
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("HOME".into(), root.path().into()),
            ("IMAGE_SAYS".into(), "hello".into()),
            ("CLAUDE_CODE_MAX_RETRIES".into(), "1".into()),
        ]);
        change(&mut config);
        Self {
            agent: ClaudeCodeAgent::new(config.clone()),
            workspace,
            owner,
            config,
            _root: root,
        }
    }

    /// The stages of a test, one for each CLI to be tried, each with a model of its own.
    pub(crate) async fn of_all_versions(test: &str) -> Vec<(Self, ModelServer)> {
        let mut stages = Vec::new();
        for binary in testkit::cli::require_claudes(test) {
            let model = ModelServer::start(Options::default()).await.unwrap();
            stages.push((Self::new(&binary, |_| {}), model));
        }
        stages
    }

    /// Another agent for the same task, as after a restart.
    pub(crate) fn another_agent(&self) -> ClaudeCodeAgent {
        ClaudeCodeAgent::new(self.config.clone())
    }

    /// Starts over with another agent; the one before has to be shut down.
    pub(crate) fn restart(&mut self) {
        self.agent = self.another_agent();
    }

    /// Runs a turn and gives its events and its end.
    pub(crate) async fn run(&self, turn: &Turn) -> (Vec<AgentEvent>, Result<Outcome, AgentError>) {
        let (_handle, cancel) = CancelHandle::new();
        self.run_until(turn, cancel, |_| {}).await
    }

    /// Runs a turn that is to be completed.
    pub(crate) async fn complete(&self, turn: &Turn) -> (Vec<AgentEvent>, Completed) {
        match self.run(turn).await {
            (events, Ok(Outcome::Completed(done))) => (events, done),
            (events, other) => panic!("{other:?} after {events:#?}"),
        }
    }

    /// Runs a turn with every event shown to `seen` as it comes.
    pub(crate) async fn run_until(
        &self,
        turn: &Turn,
        cancel: Cancel,
        seen: impl FnMut(&AgentEvent),
    ) -> (Vec<AgentEvent>, Result<Outcome, AgentError>) {
        run(&self.agent, &self.workspace, turn, cancel, seen).await
    }

    /// The processes of this stage's sessions, guards aside.
    pub(crate) fn processes(&self) -> Vec<Proc> {
        let prefix = format!("{}.", self.owner);
        let mut all = procs::all();
        all.retain(|proc| {
            proc.variable(SESSION_MARK)
                .is_some_and(|mark| mark.starts_with(&prefix))
                && !proc.command.starts_with("wegent-guard")
        });
        all
    }

    /// The CLI's own process.
    pub(crate) fn cli(&self) -> Proc {
        let is_cli = |proc: &Proc| proc.command.contains("--input-format");
        let mut all = self.processes();
        all.retain(is_cli);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Ends the agent, and sees that nothing is left.
    pub(crate) async fn close(&self) {
        self.agent.shutdown().await;
        procs::wait_until_gone(|| self.processes(), Duration::from_secs(4))
            .await
            .unwrap();
    }
}

/// Runs a turn on an agent.
pub(crate) async fn run(
    agent: &ClaudeCodeAgent,
    workspace: &Workspace,
    turn: &Turn,
    cancel: Cancel,
    mut seen: impl FnMut(&AgentEvent),
) -> (Vec<AgentEvent>, Result<Outcome, AgentError>) {
    let (events, mut receiver) = EventSink::new(16);
    let workspace = Workspace {
        variables: contract_variables(turn),
        ..workspace.clone()
    };
    let running = agent.run(turn, &workspace, TurnCx { events, cancel });
    let reading = async {
        let mut all = Vec::new();
        while let Some(event) = receiver.recv().await {
            seen(&event);
            all.push(event);
        }
        all
    };
    let both = async { tokio::join!(running, reading) };
    let (result, events) = tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("a turn ends");
    (events, result)
}

/// A turn that asks for `prompt`.
pub(crate) fn turn(prompt: &str, model: &ModelServer) -> Turn {
    Turn {
        key: TurnKey {
            task: TaskId(1),
            subtask: SubtaskId(2),
        },
        attempt: Attempt(1),
        agent: AgentKind::ClaudeCode,
        prompt: Prompt::text(prompt),
        answer: None,
        instructions: None,
        model: ModelConfig {
            model_id: Some("claude-scripted-1".into()),
            api_key: Some(SecretString::from(KEY)),
            base_url: Some(model.anthropic_url()),
            ..ModelConfig::default()
        },
        bots: vec![Bot {
            id: Some("44".into()),
            name: "bot".into(),
            ..Bot::default()
        }],
        team: Team::default(),
        options: AgentOptions::default(),
        mcp_servers: Vec::new(),
        identity: Identity::default(),
        git: None,
        lasting_folder: None,
        skills: Skills::default(),
        attachments: Vec::new(),
        new_session: false,
        resume_session: None,
        inherited_sessions: Vec::new(),
        variables: Variables::default(),
    }
}

/// The text that was shown.
pub(crate) fn text(events: &[AgentEvent]) -> String {
    let parts = events.iter().filter_map(|event| match event {
        AgentEvent::Text {
            delta,
            parent: None,
            ..
        } => Some(delta.as_str()),
        _ => None,
    });
    parts.collect()
}

/// What tools gave, one after the other.
pub(crate) fn outputs(events: &[AgentEvent]) -> String {
    let parts = events.iter().filter_map(|event| match event {
        AgentEvent::Tool(agent_core::ToolEvent::Finished { output, .. }) => Some(output.as_str()),
        _ => None,
    });
    parts.collect()
}
