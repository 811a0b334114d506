//! A conversation in a running CLI: how it is opened, and how it is told what a turn changes.
//!
//! What a turn may change goes over the pipe, so that the process stays warm: the identity tokens that tools see and the
//! model configuration's key (by the key proxy), MCP servers with their headers (`mcp_set_servers`, which restarts only
//! those that changed, and answers when all are connected), the model, the permission mode. Nothing of it is in a file
//! or on the command line. Only what the CLI reads once, at its start, makes a new process.

use std::{collections::BTreeMap, time::Duration};

use agent_core::{AgentError, NoticeKind, Resume, SessionId, Turn, Workspace, scratch::Scratch};
use serde_json::{Map, Value};
use supervisor::{SessionMark, Spec};
use tokio::sync::OnceCell;

use crate::{
    ClaudeConfig,
    answer::Standing,
    binary,
    cli::{self, Begin},
    control::Host,
    endpoint::model_variables,
    folder::Folder,
    key_proxy::{KeyProxy, KeyProxyError, Lease, TurnPass},
    plan::Plan,
    process::{AskError, Cli, Lost, MAX_LINE, STDERR_TAIL},
    protocol::{Control, Message},
    tasks::Tasks,
    usage::Ledger,
};

/// How long a setting may take to be applied. It takes milliseconds.
const SETTING_LIMIT: Duration = Duration::from_secs(10);

/// A conversation in a running CLI.
pub(crate) struct Session {
    /// The process.
    pub(crate) cli: Cli,
    /// Its temporary folder.
    _scratch: Scratch,
    /// The conversation.
    pub(crate) id: SessionId,
    /// What it has used.
    pub(crate) ledger: Ledger,
    /// What runs in the background.
    pub(crate) tasks: Tasks,
    /// Holds its transcript; ours for as long as the process lives.
    _folder: Folder,
    /// What the process was started with; two equal ones need no restart.
    fingerprint: u64,
    /// Whether a prompt was ever given in it.
    pub(crate) used: bool,
    /// Whether the process may still say that it can't take up what an earlier one put off.
    pub(crate) resumed: bool,
    lease: Option<Lease>,
    told: Told,
}

/// What the process was told over the pipe.
#[derive(Default)]
struct Told {
    variables: BTreeMap<String, String>,
    servers: BTreeMap<String, Value>,
    model: Option<String>,
    mode: &'static str,
}

/// Opens conversations.
pub(crate) struct Opener {
    config: ClaudeConfig,
    proxy: OnceCell<KeyProxy>,
}

/// A conversation for a turn, and what the person is to be told about it.
pub(crate) struct Opened {
    /// The conversation.
    pub(crate) session: Session,
    /// Whether its process has run before.
    pub(crate) warm: bool,
    /// What to tell.
    pub(crate) notices: Vec<(NoticeKind, String)>,
}

impl Opener {
    /// Nothing is open yet.
    pub(crate) fn new(config: ClaudeConfig) -> Self {
        Self {
            config,
            proxy: OnceCell::new(),
        }
    }

    /// The conversation that the turn continues, or a fresh one: in `warm` if that has it loaded, else in a new process.
    ///
    /// # Errors
    /// [`AgentError`] saying what stands against it.
    pub(crate) async fn open(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        resume: Option<Resume>,
        warm: Option<Session>,
    ) -> Result<Opened, AgentError> {
        let plan = Plan::of(turn, workspace, &self.config)?;
        let fingerprint = plan.fingerprint(turn, workspace, &self.config);
        let mut notices = Vec::new();
        if let Some(mut session) = warm {
            let same = match &resume {
                Some(resume) => *resume.id() == session.id,
                None => !session.used,
            };
            // New skills are found when a process starts.
            let fit = session.fingerprint == fingerprint && !workspace.skills_changed;
            if same && fit && session.cli.is_running() {
                match self.tell(&mut session, turn, plan, &mut notices).await {
                    Ok(()) => {
                        return Ok(Opened {
                            session,
                            warm: true,
                            notices,
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the warm process is not fit, a new one is started")
                    }
                }
                session.end().await;
                return self
                    .start(turn, workspace, resume, fingerprint, notices)
                    .await;
            }
            session.end().await;
        }
        self.start(turn, workspace, resume, fingerprint, notices)
            .await
    }

    async fn start(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        resume: Option<Resume>,
        fingerprint: u64,
        mut notices: Vec<(NoticeKind, String)>,
    ) -> Result<Opened, AgentError> {
        let Some(resume) = resume else {
            let session = self
                .fresh(turn, workspace, fingerprint, &mut notices)
                .await?;
            return Ok(Opened {
                session,
                warm: false,
                notices,
            });
        };
        let folder = Folder::open(&workspace.state)?;
        if let Some(what) = folder.resume(resume.id(), &workspace.cwd) {
            let begin = (Begin::Resume(what), resume.id().clone());
            match self
                .launch(turn, workspace, folder, begin, fingerprint, &mut notices)
                .await
            {
                Ok(session) => {
                    return Ok(Opened {
                        session,
                        warm: false,
                        notices,
                    });
                }
                Err(LaunchError::NoConversation) => {}
                Err(LaunchError::Agent(error)) => return Err(error),
            }
        } else {
            drop(folder);
        }
        tracing::warn!(session = %resume.id(), "conversation is unknown here, starting afresh");
        let text = match resume {
            Resume::Own(_) => {
                "The earlier conversation could not be found, so a new one was started."
            }
            Resume::Inherited(_) => {
                "The conversation to continue is not on this machine, so a new one was started."
            }
        };
        notices.push((NoticeKind::FreshSession, text.to_owned()));
        let session = self
            .fresh(turn, workspace, fingerprint, &mut notices)
            .await?;
        Ok(Opened {
            session,
            warm: false,
            notices,
        })
    }

    async fn fresh(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        fingerprint: u64,
        notices: &mut Vec<(NoticeKind, String)>,
    ) -> Result<Session, AgentError> {
        let id = uuid::Uuid::new_v4().to_string();
        let begin = (
            Begin::New(id.clone()),
            SessionId::new(id).expect("a UUID is not blank"),
        );
        let folder = Folder::open(&workspace.state)?;
        let launched = self.launch(turn, workspace, folder, begin, fingerprint, notices);
        launched.await.map_err(|error| match error {
            LaunchError::Agent(error) => error,
            LaunchError::NoConversation => AgentError::Protocol {
                message: "claude missed a conversation that it was not asked to resume".to_owned(),
            },
        })
    }

    async fn launch(
        &self,
        turn: &Turn,
        workspace: &Workspace,
        folder: Folder,
        (begin, id): (Begin, SessionId),
        fingerprint: u64,
        notices: &mut Vec<(NoticeKind, String)>,
    ) -> Result<Session, LaunchError> {
        let plan = Plan::of(turn, workspace, &self.config)?;
        let variables = model_variables(turn, plan.target.is_some());
        let mut environment = cli::environment(&self.config, turn, folder.path(), variables);
        let lease = match &plan.target {
            Some(target) => {
                let lease = self.proxy().await?.open(target.clone());
                cli::through_proxy(&mut environment, &lease.base_url(), lease.token());
                Some(lease)
            }
            None => {
                let plain = plan.endpoint.plain_variables().into_iter();
                environment.extend(plain.map(|(name, value)| (name.into(), value.into())));
                None
            }
        };
        let scratch = Scratch::for_session(&self.config.image, &self.config.owner)?;
        environment.insert("TMPDIR".into(), scratch.path().into());
        let resumed = matches!(begin, Begin::Resume(_));
        let model = turn.model.model_id.clone();
        let mut args = cli::arguments(turn, &self.config);
        args.extend(cli::beginning(&begin, plan.mode, model.as_deref()));
        let spec = Spec {
            program: self.program()?,
            args,
            env: cli::child_env(environment),
            cwd: workspace.cwd.clone(),
            session: SessionMark::new(&self.config.owner),
            max_line: MAX_LINE,
            stderr_tail: STDERR_TAIL,
        };
        let mut cli = Cli::spawn(spec, self.config.access).await?;
        // A resumed one may ask before it is told anything.
        cli.host.begin(Standing::of(turn));
        let told = Told {
            model,
            mode: plan.mode,
            ..Told::default()
        };
        let mut session = Session {
            cli,
            _scratch: scratch,
            id,
            ledger: Ledger::default(),
            tasks: Tasks::default(),
            _folder: folder,
            fingerprint,
            used: resumed,
            resumed,
            lease,
            told,
        };
        let done = async {
            self.initialize(&mut session, turn, &plan).await?;
            self.tell(&mut session, turn, plan, notices).await
        };
        match done.await {
            Ok(()) => Ok(session),
            Err(error) => {
                let error = self.why(&session, error, resumed).await;
                session.end().await;
                Err(error)
            }
        }
    }

    async fn initialize(
        &self,
        session: &mut Session,
        turn: &Turn,
        plan: &Plan,
    ) -> Result<(), AskError> {
        let handshake = Control::Initialize {
            append_system_prompt: turn.instructions.clone(),
            system_prompt_snapshot: false,
            agents: plan.agents.clone(),
            hooks: Host::hooks(),
        };
        session
            .cli
            .ask(&handshake, self.config.deadlines.ready)
            .await?;
        Ok(())
    }

    /// Why a process that has just been started is of no use. A CLI that can't find the conversation it is to resume
    /// says so by the end of a turn that nobody began, and exits.
    async fn why(&self, session: &Session, error: AskError, resumed: bool) -> LaunchError {
        let agent = match error {
            AskError::Lost(Lost) => {
                let ended = |message: &Message| matches!(message, Message::Result(result) if result.is_error);
                if resumed && session.cli.unseen().any(ended) {
                    return LaunchError::NoConversation;
                }
                session.cli.exit_error().await
            }
            AskError::Late { after, .. } => AgentError::Stalled {
                phase: agent_core::Phase::Starting,
                idle: after,
            },
            AskError::Refused { .. } => AgentError::Protocol {
                message: error.to_string(),
            },
        };
        LaunchError::Agent(agent)
    }

    /// Tells the process what this turn changes.
    async fn tell(
        &self,
        session: &mut Session,
        turn: &Turn,
        plan: Plan,
        notices: &mut Vec<(NoticeKind, String)>,
    ) -> Result<(), AskError> {
        session.cli.host.begin(Standing::of(turn));
        if let (Some(lease), Some(target)) = (&session.lease, plan.target) {
            lease.retarget(target);
        }
        if session.told.variables != plan.variables {
            // One that is no longer there is emptied: it can't be taken away.
            let gone = session
                .told
                .variables
                .keys()
                .map(|name| (name.clone(), String::new()));
            let all = gone.chain(plan.variables.clone()).collect();
            session
                .cli
                .ask(&Control::variables(all), SETTING_LIMIT)
                .await?;
            session.told.variables = plan.variables;
        }
        if session.told.model != turn.model.model_id {
            let model = turn.model.model_id.clone();
            session
                .cli
                .ask(
                    &Control::SetModel {
                        model: model.clone(),
                    },
                    SETTING_LIMIT,
                )
                .await?;
            session.told.model = model;
        }
        if session.told.mode != plan.mode {
            let mode = Control::SetPermissionMode {
                mode: plan.mode.to_owned(),
            };
            session.cli.ask(&mode, SETTING_LIMIT).await?;
            session.told.mode = plan.mode;
        }
        if session.told.servers != plan.servers {
            self.servers(session, plan.servers, notices).await?;
        }
        Ok(())
    }

    /// Gives the process its MCP servers. One that fails, or takes too long, is missing and the person is told; it is no
    /// reason not to run the turn.
    async fn servers(
        &self,
        session: &mut Session,
        servers: BTreeMap<String, Value>,
        notices: &mut Vec<(NoticeKind, String)>,
    ) -> Result<(), AskError> {
        let request = Control::McpSetServers {
            servers: servers.clone(),
        };
        match session.cli.ask(&request, self.config.deadlines.mcp).await {
            Ok(answer) => {
                session.told.servers = servers;
                let errors: Map<String, Value> =
                    answer["errors"].as_object().cloned().unwrap_or_default();
                for (name, why) in errors {
                    tracing::warn!(server = name, %why, "MCP server failed to start");
                    let text = format!(
                        "The MCP server `{name}` could not be started; its tools are missing in this turn."
                    );
                    notices.push((NoticeKind::Warning, text));
                }
                Ok(())
            }
            Err(AskError::Late { after, .. }) => {
                // What it has connected it keeps; that the list is not known to be applied has it sent again.
                session.told.servers = BTreeMap::new();
                tracing::warn!(?after, "MCP servers take too long to start");
                let text =
                    "Some MCP servers take long to start; their tools may be missing in this turn.";
                notices.push((NoticeKind::Warning, text.to_owned()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn program(&self) -> Result<std::path::PathBuf, AgentError> {
        let variable = |name: &str| {
            let value = self.config.image.get(std::ffi::OsStr::new(name));
            value.map(std::ffi::OsString::as_os_str)
        };
        binary::find(
            self.config.binary.as_deref(),
            variable("HOME"),
            variable("PATH"),
        )
    }

    async fn proxy(&self) -> Result<&KeyProxy, AgentError> {
        let upstream = self.config.key_proxy.clone().unwrap_or_default();
        self.proxy
            .get_or_try_init(|| KeyProxy::start(upstream))
            .await
            .map_err(|error: KeyProxyError| AgentError::Spawn {
                name: "the key proxy".to_owned(),
                source: Box::new(error),
            })
    }
}

/// Why a process could not be started with a conversation.
enum LaunchError {
    /// The conversation to resume is not there.
    NoConversation,
    /// Anything else.
    Agent(AgentError),
}

impl From<AgentError> for LaunchError {
    fn from(error: AgentError) -> Self {
        Self::Agent(error)
    }
}

impl Session {
    /// Ends its process. Then its folder is free for another.
    pub(crate) async fn end(self) {
        self.cli.shutdown().await;
    }

    /// Lets its requests to the model pass for as long as the pass lives; `None` where no key proxy stands between.
    pub(crate) fn allow(&self) -> Option<TurnPass> {
        self.lease.as_ref().map(Lease::allow)
    }
}
