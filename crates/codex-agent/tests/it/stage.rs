//! A task's place, and a turn in it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use agent_core::{
    Agent, AgentError, AgentEvent, AgentKind, AgentOptions, ApiFormat, Attempt, Bot, Cancel,
    CancelHandle, EventSink, Identity, ModelConfig, Outcome, Prompt, Skills, SubtaskId, TaskId,
    Team, Turn, TurnCx, TurnKey, Variables, Workspace, environment::contract_variables,
};
use codex_agent::{Access, CodexAgent, CodexConfig, HomePolicy};
use secrecy::SecretString;
use supervisor::SESSION_MARK;
use testkit::procs::{self, Proc};

/// An agent with a task to work on.
pub(crate) struct Stage {
    pub(crate) agent: CodexAgent,
    pub(crate) workspace: Workspace,
    owner: String,
    _root: tempfile::TempDir,
}

impl Stage {
    /// An agent whose CLI is `binary`.
    pub(crate) fn new(binary: &Path, change: impl FnOnce(&mut CodexConfig)) -> Self {
        let parent = testkit::cli::workspace_root().join("target/e2e");
        std::fs::create_dir_all(&parent).unwrap();
        let root = tempfile::Builder::new()
            .prefix("a")
            .tempdir_in(parent)
            .unwrap();
        let owner = root
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let workspace = Workspace {
            cwd: root.path().join("ws"),
            state: root.path().join("state"),
            variables: Default::default(),
            skills_changed: false,
        };
        for folder in [&workspace.cwd, &workspace.state] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut config = CodexConfig::new(
            owner.clone(),
            HomePolicy::PerTask(root.path().join("codex")),
        );
        config.binary = Some(binary.to_path_buf());
        config.access = Access::Full;
        config.image = BTreeMap::from([
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("HOME".into(), "/".into()),
        ]);
        change(&mut config);
        Self {
            agent: CodexAgent::new(config),
            workspace,
            owner,
            _root: root,
        }
    }

    /// A stage with the fake CLI.
    pub(crate) fn with_fake() -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let binary = testkit::roles::install_fake_codex(folder.path()).unwrap();
        (Self::new(&binary, |_| {}), folder)
    }

    /// Runs a turn and gives its events and its end.
    pub(crate) async fn run(&self, turn: &Turn) -> (Vec<AgentEvent>, Result<Outcome, AgentError>) {
        let (_handle, cancel) = CancelHandle::new();
        self.run_until(turn, cancel, |_| {}).await
    }

    /// The same, with every event shown to `seen` as it comes.
    pub(crate) async fn run_until(
        &self,
        turn: &Turn,
        cancel: Cancel,
        mut seen: impl FnMut(&AgentEvent),
    ) -> (Vec<AgentEvent>, Result<Outcome, AgentError>) {
        let (events, mut receiver) = EventSink::new(16);
        let workspace = Workspace {
            variables: contract_variables(turn),
            ..self.workspace.clone()
        };
        let running = self.agent.run(turn, &workspace, TurnCx { events, cancel });
        let reading = async {
            let mut all = Vec::new();
            while let Some(event) = receiver.recv().await {
                seen(&event);
                all.push(event);
            }
            all
        };
        let (result, events) = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::join!(running, reading)
        })
        .await
        .expect("a turn ends");
        (events, result)
    }

    /// The processes of this agent's sessions.
    pub(crate) fn processes(&self) -> Vec<Proc> {
        let prefix = format!("{}.", self.owner);
        let mut all = procs::all();
        all.retain(|proc| {
            proc.variable(SESSION_MARK)
                .is_some_and(|mark| mark.starts_with(&prefix))
        });
        all
    }
}

/// A turn that asks for `prompt`.
pub(crate) fn turn(prompt: &str, base_url: Option<String>) -> Turn {
    Turn {
        key: TurnKey {
            task: TaskId(1),
            subtask: SubtaskId(2),
        },
        attempt: Attempt(1),
        agent: AgentKind::Codex,
        prompt: Prompt::text(prompt),
        answer: None,
        instructions: None,
        model: ModelConfig {
            model_id: Some("scripted-model".into()),
            api_key: Some(SecretString::from("sk-agent-test-key")),
            base_url: base_url.or_else(|| Some("http://127.0.0.1:9/v1".into())),
            api_format: Some(ApiFormat::Responses),
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

/// The text that was shown as the agent's own.
pub(crate) fn text(events: &[AgentEvent]) -> String {
    let parts = events.iter().filter_map(|event| match event {
        AgentEvent::Text {
            parent: None,
            delta,
            ..
        } => Some(delta.as_str()),
        _ => None,
    });
    parts.collect()
}
