//! Opening a conversation: in the warm process that has it, by resuming it, or as a new one.

use std::ffi::OsStr;

use agent_core::{
    AgentError, NoticeKind, Resume, SessionId, Turn, Workspace, environment::Environment,
    scratch::Scratch,
};
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
    key_proxy::{KeyProxy, KeyProxyError, Lease},
    plan::Plan,
    process::{AskError, Cli, Lost, MAX_LINE, STDERR_TAIL},
    protocol::{Control, Message},
    session::{Session, Told},
    tasks::Tasks,
    usage::Ledger,
};

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
        let mut opening = Opening {
            opener: self,
            turn,
            workspace,
            fingerprint: plan.fingerprint(turn, workspace, &self.config),
            notices: Vec::new(),
        };
        let kept = match warm {
            Some(warm) => opening.keep(warm, plan, resume.as_ref()).await,
            None => None,
        };
        let (session, warm) = match kept {
            Some(session) => (session, true),
            None => (opening.start(resume).await?, false),
        };
        Ok(Opened {
            session,
            warm,
            notices: opening.notices,
        })
    }

    fn program(&self) -> Result<std::path::PathBuf, AgentError> {
        let variable = |name: &str| {
            let value = self.config.image.get(OsStr::new(name));
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

/// One conversation that is being opened.
struct Opening<'a> {
    opener: &'a Opener,
    turn: &'a Turn,
    workspace: &'a Workspace,
    fingerprint: u64,
    notices: Vec<(NoticeKind, String)>,
}

impl Opening<'_> {
    /// The warm process, told of the turn; `None` once it has been ended as it is not fit for it.
    async fn keep(
        &mut self,
        mut warm: Session,
        plan: Plan,
        resume: Option<&Resume>,
    ) -> Option<Session> {
        let same = match resume {
            Some(resume) => *resume.id() == warm.id,
            None => !warm.used,
        };
        // New skills are found when a process starts.
        let fit = warm.fingerprint == self.fingerprint && !self.workspace.skills_changed;
        if same && fit && warm.cli.is_running() {
            match self.tell(&mut warm, plan).await {
                Ok(()) => return Some(warm),
                Err(error) => {
                    tracing::warn!(%error, "the warm process is not fit, a new one is started");
                }
            }
        }
        warm.end().await;
        None
    }

    /// A new process, with the conversation to resume if it is there.
    async fn start(&mut self, resume: Option<Resume>) -> Result<Session, AgentError> {
        let Some(resume) = resume else {
            return self.fresh().await;
        };
        if let Some(session) = self.resumed(&resume).await? {
            return Ok(session);
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
        self.notices
            .push((NoticeKind::FreshSession, text.to_owned()));
        self.fresh().await
    }

    /// The conversation to resume; `None` if it is not there.
    async fn resumed(&mut self, resume: &Resume) -> Result<Option<Session>, AgentError> {
        let folder = Folder::open(&self.workspace.state)?;
        let Some(what) = folder.resume(resume.id(), &self.workspace.cwd) else {
            return Ok(None);
        };
        let begin = Begin::Resume(what);
        match self.launch(folder, begin, resume.id().clone()).await {
            Ok(session) => Ok(Some(session)),
            Err(LaunchError::NoConversation) => Ok(None),
            Err(LaunchError::Agent(error)) => Err(error),
        }
    }

    async fn fresh(&mut self) -> Result<Session, AgentError> {
        let id = uuid::Uuid::new_v4().to_string();
        let begin = Begin::New(id.clone());
        let id = SessionId::new(id).expect("a UUID is not blank");
        let folder = Folder::open(&self.workspace.state)?;
        let launched = self.launch(folder, begin, id).await;
        launched.map_err(|error| match error {
            LaunchError::Agent(error) => error,
            LaunchError::NoConversation => AgentError::Protocol {
                message: "claude missed a conversation that it was not asked to resume".to_owned(),
            },
        })
    }

    /// A process with the conversation, told of the turn.
    async fn launch(
        &mut self,
        folder: Folder,
        begin: Begin,
        id: SessionId,
    ) -> Result<Session, LaunchError> {
        let plan = Plan::of(self.turn, self.workspace, &self.opener.config)?;
        let resumed = matches!(begin, Begin::Resume(_));
        let mut session = self.spawn(folder, &begin, id, &plan).await?;
        let done = async {
            self.initialize(&mut session, &plan).await?;
            self.tell(&mut session, plan).await
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

    async fn spawn(
        &self,
        folder: Folder,
        begin: &Begin,
        id: SessionId,
        plan: &Plan,
    ) -> Result<Session, AgentError> {
        let (config, turn) = (&self.opener.config, self.turn);
        let lease = match &plan.target {
            Some(target) => Some(self.opener.proxy().await?.open(target.clone())),
            None => None,
        };
        let scratch = Scratch::for_session(&config.image, &config.owner)?;
        let mut environment = self.environment(&folder, plan, lease.as_ref());
        environment.insert("TMPDIR".into(), scratch.path().into());
        let model = turn.model.model_id.clone();
        let mut args = cli::arguments(turn, config);
        args.extend(cli::beginning(begin, plan.mode, model.as_deref()));
        let spec = Spec {
            program: self.opener.program()?,
            args,
            env: cli::child_env(environment),
            cwd: self.workspace.cwd.clone(),
            session: SessionMark::new(&config.owner),
            max_line: MAX_LINE,
            stderr_tail: STDERR_TAIL,
        };
        let mut cli = Cli::spawn(spec, config.access).await?;
        // A resumed one may ask before it is told anything.
        cli.host.begin(Standing::of(turn));
        let resumed = matches!(begin, Begin::Resume(_));
        Ok(Session {
            cli,
            _scratch: scratch,
            id,
            ledger: Ledger::default(),
            tasks: Tasks::default(),
            _folder: folder,
            fingerprint: self.fingerprint,
            used: resumed,
            resumed,
            lease,
            told: Told::at_start(model, plan.mode),
        })
    }

    /// The environment of the process: with the way to the key proxy, or the key itself where there is none.
    fn environment(&self, folder: &Folder, plan: &Plan, lease: Option<&Lease>) -> Environment {
        let config = &self.opener.config;
        let variables = model_variables(self.turn, plan.target.is_some());
        let mut environment = cli::environment(config, self.turn, folder.path(), variables);
        match lease {
            Some(lease) => cli::through_proxy(&mut environment, &lease.base_url(), lease.token()),
            None => {
                let plain = plan.endpoint.plain_variables().into_iter();
                environment.extend(plain.map(|(name, value)| (name.into(), value.into())));
            }
        }
        environment
    }

    async fn tell(&mut self, session: &mut Session, plan: Plan) -> Result<(), AskError> {
        let limit = self.opener.config.deadlines.mcp;
        let notices = &mut self.notices;
        session.tell(self.turn, plan, limit, notices).await
    }

    async fn initialize(&self, session: &mut Session, plan: &Plan) -> Result<(), AskError> {
        let handshake = Control::Initialize {
            append_system_prompt: self.turn.instructions.clone(),
            system_prompt_snapshot: false,
            agents: plan.agents.clone(),
            hooks: Host::hooks(),
        };
        session
            .cli
            .ask(&handshake, self.opener.config.deadlines.ready)
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
