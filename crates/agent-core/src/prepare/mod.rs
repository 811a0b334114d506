//! What happens between a request and its agent: the place is made, what the turn needs is fetched, what the agent is
//! told is put together.
//!
//! # The order
//!
//! ```text
//!            ┌ git: the checkout is the working folder ───► instructions ┐
//!  folders ──┼ attachments: files to disk, prompt rewritten ─────────────┼─► mcp ─► pre-execute hook ─► agent
//!            └ skills: into the agent's own folder ──────────────────────┘
//! ```
//!
//! What the platform wants said before the prompt is put there by whoever decodes its requests.
//!
//! What does not need another step runs beside it; the agent warms up meanwhile. The first failure, or a cancel, drops
//! the steps that still run. So each step keeps this bargain:
//!
//! * It is a future. Dropped at any point it leaves nothing half done: files are complete under their own names or not
//!   there under them, processes end with their guard.
//! * It adds every secret it comes to know to [`StepCx::secrets`] *before* it uses it.
//! * It says what it does through [`StepCx::say`], as often as it likes: what has changed is shown once a second, and
//!   only of steps that take longer than that.
//! * Its error names what is wrong in words fit for the person who asked; the step's own name is put before them.
//!
//! What it does with the disk goes through [`crate::confine`] wherever a name comes from outside.

mod attachments;
mod git;
mod hook;
mod instructions;
mod lasting;
mod mcp;
mod skills;
mod step;

use std::{
    fs, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future;
use redact::Secrets;
use secrecy::ExposeSecret;
use serde_json::Value;

use self::step::Steps;
pub use self::{
    mcp::unreachable,
    step::{StepCx, StepError},
};
use crate::{
    Agent, AgentError, Cancel, CancelReason, EventSink, Layout, PrepareStep, SinkClosed, StateHome,
    Turn, Workspace,
    downloads::{Access, Downloads},
    environment::{Environment, contract_variables},
    git::{Git, GitSettings},
    hook::PreExecuteHook,
    workspace::create_private,
};

/// Prepares turns. One for all tasks; cheap to share.
#[derive(Clone, Debug)]
pub struct Preparer {
    /// Where workspaces and state folders lie.
    pub layout: Layout,
    /// The environment of the image.
    pub image: Environment,
    /// Whose processes the steps start, as with an agent's.
    pub owner: String,
    /// Names of rule files in a repository that its agents are to heed; relative paths.
    pub rule_files: Vec<String>,
    /// What runs before every turn.
    pub pre_execute: Option<PreExecuteHook>,
    /// The platform's backend.
    pub downloads: Arc<dyn Downloads>,
    /// How skills are fetched.
    pub skills: crate::skills::Limits,
    /// Git, with the credentials of all tasks.
    pub git: Arc<Git>,
}

impl Preparer {
    /// One that does what needs no setting.
    pub fn new(
        layout: Layout,
        image: Environment,
        owner: impl Into<String>,
        downloads: Arc<dyn Downloads>,
    ) -> Self {
        let owner = owner.into();
        // Without a path of its own there is no helper, and git goes without credentials.
        let helper = std::env::current_exe().unwrap_or_else(|_| "wegent-executor".into());
        let git = GitSettings::new(image.clone(), owner.clone(), helper);
        Self {
            git: Arc::new(Git::new(git)),
            layout,
            image,
            owner,
            rule_files: Vec::new(),
            pre_execute: None,
            downloads,
            skills: crate::skills::Limits::default(),
        }
    }
}

/// What a preparation gets beside the turn.
pub struct PrepareCx<'a> {
    /// Who will run it; it warms up meanwhile.
    pub agent: &'a dyn Agent,
    /// Where the steps tell how far they are.
    pub events: EventSink,
    /// Tells when to stop.
    pub cancel: Cancel,
    /// The turn's secrets, shared with whoever redacts its events.
    pub secrets: Secrets,
}

/// A turn that is ready for its agent.
#[derive(Debug)]
pub struct Prepared {
    /// The turn, with nothing left to be resolved: its prompt as the agent is to read it, its instructions, its MCP
    /// servers without placeholders.
    pub turn: Turn,
    /// Where it runs.
    pub workspace: Workspace,
}

/// Why a turn was not prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It was told to stop.
    #[error("told to stop")]
    Cancelled(CancelReason),
    /// A step failed.
    #[error(transparent)]
    Failed(#[from] AgentError),
}

impl From<SinkClosed> for PrepareError {
    fn from(closed: SinkClosed) -> Self {
        Self::Failed(closed.into())
    }
}

impl Preparer {
    /// Prepares the turn, while its agent warms up.
    ///
    /// # Errors
    /// [`PrepareError`] if it was told to stop, or a step failed that the turn can't do without.
    pub async fn prepare(
        &self,
        mut turn: Turn,
        cx: &PrepareCx<'_>,
    ) -> Result<Prepared, PrepareError> {
        let task = turn.key.task;
        let state = self.layout.state_folder(task);
        let made = self.folders(&turn)?;
        let steps = Steps::new(cx);
        let skills_folder = cx.agent.skills_folder(task, &state);
        let fetched = {
            let prompt = mem::take(&mut turn.prompt);
            let git = steps.run(PrepareStep::Git, |cx| git::checkout(cx, self, &turn, &made));
            let attachments = steps.run(PrepareStep::Attachments, |cx| {
                attachments::deliver(cx, self, &turn, prompt)
            });
            let skills = steps.run(PrepareStep::Skills, |cx| {
                skills::provide(cx, self, &turn, &skills_folder)
            });
            let warm_up = async {
                cx.agent.warm_up(task, &state).await;
                Ok(())
            };
            future::try_join4(git, attachments, skills, warm_up).await?
        };
        let (checkout, prompt, skills_changed, ()) = fetched;
        turn.prompt = prompt;
        lasting::tell(&mut turn, &checkout.cwd);
        self.reveal_token(&mut turn, &cx.secrets);
        let mut variables = contract_variables(&turn);
        variables.extend(checkout.variables);
        let skills = skills_folder.path.to_string_lossy().into_owned();
        variables.insert("SKILLS_DIR".to_owned(), skills.into());
        let servers = mem::take(&mut turn.mcp_servers);
        turn.mcp_servers = steps
            .run(PrepareStep::Mcp, |cx| {
                mcp::resolve(cx, servers, &turn.variables.0, &variables)
            })
            .await?;
        let place = instructions::Place {
            cwd: checkout.cwd.clone(),
            rule_files: self.rule_files.clone(),
            agent: turn.agent,
            may_write: self.layout.state == StateHome::InWorkspace,
        };
        let rules = steps
            .run(PrepareStep::Instructions, |cx| {
                instructions::make_known(cx, place)
            })
            .await?;
        turn.instructions = joined(turn.instructions, rules);
        let workspace = Workspace {
            cwd: checkout.cwd,
            state,
            variables,
            skills_changed,
        };
        steps
            .run(PrepareStep::PreExecuteHook, |cx| {
                hook::run(cx, self, &turn, &workspace)
            })
            .await?;
        Ok(Prepared { turn, workspace })
    }

    /// What a placeholder calls the user's git token is what its server knows, not what the platform has encrypted.
    fn reveal_token(&self, turn: &mut Turn, secrets: &Secrets) {
        if let Some(Value::String(shown)) = turn.variables.0.pointer_mut("/user/git_token")
            && let Some(token) = self.git.token(&turn.identity.git, secrets)
        {
            *shown = token.expose_secret().to_owned();
        }
    }

    /// Makes the folders of the task, and those that the request names.
    fn folders(&self, turn: &Turn) -> Result<Folders, AgentError> {
        let task = self.layout.task_folder(turn.key.task);
        let given = turn.bot().cwd.clone();
        // A clone makes its own.
        let lasting = turn.lasting_folder.clone();
        let lasting = lasting.filter(|_| turn.git.is_none());
        if let Some(given) = &given {
            check_absolute(given)?;
        }
        let wanted: Vec<&PathBuf> = match (&given, &turn.git) {
            // Nothing is put into it.
            (Some(given), None) => vec![given],
            (given, _) => given.iter().chain([&task]).collect(),
        };
        for folder in wanted.into_iter().chain(&lasting) {
            fs::create_dir_all(folder).map_err(|source| cannot_make(folder, source))?;
        }
        let state = self.layout.state_folder(turn.key.task);
        create_private(&state)
            .and_then(|()| hide_from_git(&state))
            .map_err(|source| cannot_make(&state, source))?;
        Ok(Folders { task, given })
    }
}

/// What the backend is asked with, if the request brings a token.
fn access(turn: &Turn) -> Option<Access> {
    Some(Access {
        task: turn.key.task,
        token: turn.identity.auth_token.clone()?,
        backend_url: turn.identity.backend_url.clone(),
    })
}

/// The folders of a turn that are there before any step.
#[derive(Clone, Debug)]
struct Folders {
    /// The task's own: the agent works there if there is nothing else; a repository is cloned into a folder below.
    task: PathBuf,
    /// The bot's own, if it has one.
    given: Option<PathBuf>,
}

/// A folder that ignores itself shows in nobody's `git status`, whatever repository it comes to lie in.
fn hide_from_git(folder: &Path) -> std::io::Result<()> {
    let ignore = folder.join(".gitignore");
    if ignore.exists() {
        return Ok(());
    }
    fs::write(ignore, "*\n")
}

/// Two parts of the instructions, with a blank line between them.
fn joined(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}\n\n{second}")),
        (first, second) => first.or(second),
    }
}

fn check_absolute(folder: &Path) -> Result<(), AgentError> {
    if folder.is_absolute() {
        return Ok(());
    }
    Err(AgentError::Workspace {
        message: format!("bot.cwd: `{}` is no absolute path", folder.display()),
        source: None,
    })
}

fn cannot_make(folder: &Path, source: std::io::Error) -> AgentError {
    AgentError::Workspace {
        message: format!("folder `{}` can't be made", folder.display()),
        source: Some(source),
    }
}
