//! The executor as a service: everything wired together, and taken down in order.

use std::{io, sync::Arc, time::Duration};

use agent_core::{
    Layout, StateHome,
    git::{Git, GitSettings},
    prepare::Preparer,
    scratch::{self, Scratch},
};
use claude_code_agent::{ClaudeCodeAgent, key_proxy::UpstreamConfig};
use codex_agent::{CodexAgent, Deadlines, HomePolicy};
use http_client::{ClientError, HttpClients};
use journal::{Retention, Store, StoreError};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    at_start,
    backend::Backend,
    clock::Clock,
    config::{Access, Approvals, Config, Mode},
    courier::RetryPolicy,
    factory::Agents,
    heartbeat::{self, Binding},
    http::{BindError, Server},
    logging::LogSecrets,
    mount,
    outlets::Outlets,
    runs::{Services, registry},
    validate::Machine,
};

/// How long everything together may take to end after SIGTERM. Ending what is left then takes 20 ms, on a machine that has
/// much to do 300 ms, and the process has to be gone after 8 s. Docker kills after 10 s.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(7);
/// How long a CLI may take from its start to the end of its handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(60);

/// The executor can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The journals can't be used.
    #[error("can't open the journals")]
    Journals(#[from] StoreError),
    /// The HTTP client can't be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Signals can't be received.
    #[error("can't receive signals")]
    Signals(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT, then ends every turn, delivers what it can in time, and returns when nothing of it is
/// left. Told so again, it returns at once; guards end what runs.
///
/// # Errors
/// [`ServiceError`] when it can't start.
pub async fn serve(config: Config, log: LogSecrets) -> Result<(), ServiceError> {
    let started = Instant::now();
    let mut term = signal(SignalKind::terminate()).map_err(ServiceError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServiceError::Signals)?;
    let server = Server::bind(config.server.clone()).await?;
    let clients = HttpClients::new(config.proxies.clone())?;
    let binding = Binding::new(&config.heartbeat);
    let sandbox = mount::sandbox(&config);
    let more = mount::routes(&config, clients.clone(), &binding, &sandbox);
    let server = server.with_routes(more);
    let store = Store::open(
        &config
            .paths
            .executor_home
            .join("journal")
            .join(&config.identity.name),
    )?;
    // The journals are ours alone, so whatever carries our mark is left over from an earlier process.
    let stale = supervisor::end_stale_sessions(&config.identity.name).await;
    if stale.ended > 0 || !stale.survivors.is_empty() {
        tracing::warn!(
            ended = stale.ended,
            survivors = stale.survivors.len(),
            "ended processes of an earlier executor"
        );
    }
    let temporary = scratch::parent(config.image_environment.as_map());
    Scratch::remove_stale(&temporary, &config.identity.name);
    let retries = RetryPolicy::default();
    let outlets = Outlets::Http {
        clients: clients.clone(),
        callback_url: config.delivery.callback_url.clone(),
        timeout: retries.request_timeout,
    };
    let codex = codex_agent(&config);
    if config.warm_pool && config.codex.enabled {
        prepare_spare(&codex).await;
    }
    let services = services(
        &config,
        codex,
        store,
        clients.clone(),
        outlets,
        retries,
        log,
    );
    let (turns, runs) = registry(services)?;
    let stop = CancellationToken::new();
    let mut work = JoinSet::new();
    work.spawn(runs.run());
    work.spawn(server.run(Arc::new(turns.clone()), binding.clone(), stop.clone()));
    if let Some(task) = config.at_start {
        at_start::take_over(&turns, &binding, config.server.dispatch, task, started).await;
    }
    let mut beats = JoinSet::new();
    beats.spawn(heartbeat::run(config.heartbeat, binding, clients));
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: ending every turn"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending every turn"),
    }
    stop.cancel();
    let ended = async {
        tokio::join!(turns.shutdown(), sandbox.shutdown());
        while work.join_next().await.is_some() {}
    };
    let told_again = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(SHUTDOWN_LIMIT, ended) => if ended.is_err() {
            tracing::warn!("what is not delivered yet stays in the journal");
        },
        () = told_again => tracing::warn!("told to end a second time: ending at once, the next start tells how turns ended"),
    }
    // Dropping what is left ends it; guards end their processes.
    work.shutdown().await;
    beats.shutdown().await;
    Ok(())
}

/// A container that waits for its task can as well have its app-server up. Best effort: the task may not be Codex's, and
/// what goes wrong here goes wrong again, and is told, in a turn.
async fn prepare_spare(codex: &CodexAgent) {
    if let Err(error) = codex.prepare_spare().await {
        tracing::warn!(error = %error.chain(), "no app-server is started ahead of the task");
    }
}

/// The Codex agent, by the configuration.
pub fn codex_agent(config: &Config) -> Arc<CodexAgent> {
    Arc::new(CodexAgent::new(codex_config(config)))
}

/// What turns run with, by the configuration.
pub fn services(
    config: &Config,
    codex: Arc<CodexAgent>,
    store: Store,
    clients: HttpClients,
    outlets: Outlets,
    retries: RetryPolicy,
    log: LogSecrets,
) -> Services {
    let image = config.image_environment.as_map().clone();
    let preparer = Preparer {
        rule_files: config.prepare.rule_files.clone(),
        pre_execute: config.prepare.pre_execute.clone(),
        git: Arc::new(Git::new(git_settings(config))),
        skills: config.skill_limits(),
        ..Preparer::new(
            layout(config),
            image,
            config.identity.name.clone(),
            Arc::new(Backend::new(clients, config.delivery.backend_url.clone())),
        )
    };
    let claude = ClaudeCodeAgent::new(claude_config(config));
    Services {
        store,
        retention: Retention::default(),
        agents: Agents::new(codex, Arc::new(claude))
            .routed(config.codex.routing)
            .with_codex(config.codex.enabled),
        preparer: Arc::new(preparer),
        machine: Arc::new(Machine::new(config)),
        outlets,
        retries,
        identity: config.identity.clone(),
        codex_events: config.codex_events.clone(),
        image: config.image_environment.as_map().clone(),
        log,
        limits: config.limits,
        rerun: config.server.dispatch.rerun,
        clock: Clock::System,
    }
}

/// In a container the state travels with the workspace; at a terminal the person's folder stays clean.
fn layout(config: &Config) -> Layout {
    let state = match config.mode {
        Mode::Docker => StateHome::InWorkspace,
        Mode::Local => StateHome::Under(config.paths.executor_home.join("tasks")),
    };
    Layout {
        workspace_root: config.paths.workspace_root.clone(),
        state,
    }
}

fn git_settings(config: &Config) -> GitSettings {
    // Without a path of its own there is no helper, and git goes without credentials.
    let helper = std::env::current_exe().unwrap_or_else(|_| "wegent-executor".into());
    let git = config.git.clone();
    let image = config.image_environment.as_map().clone();
    let default = GitSettings::new(image, config.identity.name.clone(), helper);
    GitSettings {
        cipher: git.cipher,
        protected_domains: git.protected_domains,
        proxies: git.proxies,
        protected_branches: git.protected_branches.unwrap_or(default.protected_branches),
        depth: git.depth,
        filter: git.filter,
        clone_limit: git.clone_limit.unwrap_or(default.clone_limit),
        ..default
    }
}

fn codex_config(config: &Config) -> codex_agent::CodexConfig {
    let homes = match &config.codex.shared_home {
        Some(shared) => HomePolicy::Shared(shared.clone()),
        None => HomePolicy::PerTask(config.paths.executor_home.join("codex")),
    };
    codex_agent::CodexConfig {
        binary: config.codex.binary.clone(),
        access: match config.access {
            Access::Full => codex_agent::Access::Full,
            Access::Workspace => codex_agent::Access::WorkspaceWrite,
        },
        image: config.image_environment.as_map().clone(),
        rpc_timeout: config.codex.rpc_timeout,
        deadlines: Deadlines {
            ready: HANDSHAKE_LIMIT,
            first_progress: config.codex.turn_startup_timeout,
            silence: config.codex.silence,
            turn: config.codex.turn_timeout,
        },
        idle: config.codex.idle,
        question: config.codex.question,
        approvals: match config.codex.approvals.unwrap_or_default() {
            Approvals::Never => codex_agent::Approvals::Never,
            Approvals::OnRequest => codex_agent::Approvals::OnRequest,
            Approvals::Untrusted => codex_agent::Approvals::Untrusted,
        },
        max_servers: config.codex.max_servers,
        file_edit_hook: config.prepare.file_edit.clone(),
        ..codex_agent::CodexConfig::new(config.identity.name.clone(), homes)
    }
}

fn claude_config(config: &Config) -> claude_code_agent::ClaudeConfig {
    let claude = &config.claude;
    claude_code_agent::ClaudeConfig {
        binary: claude.binary.clone(),
        access: match config.access {
            Access::Full => claude_code_agent::Access::Full,
            Access::Workspace => claude_code_agent::Access::WorkspaceWrite,
        },
        image: config.image_environment.as_map().clone(),
        file_edit_hook: config.prepare.file_edit.clone(),
        key_proxy: claude.key_proxy.then(|| UpstreamConfig {
            proxies: config.proxies.clone(),
            ca_file: None,
        }),
        deadlines: claude_code_agent::Deadlines {
            ready: HANDSHAKE_LIMIT,
            first_output: claude.turn_startup_timeout,
            silence: claude.silence,
            turn: Some(claude.turn_timeout),
            ..claude_code_agent::Deadlines::default()
        },
        idle: claude.idle,
        max_cost_usd: config.limits.cost_usd,
        ..claude_code_agent::ClaudeConfig::new(config.identity.name.clone())
    }
}
