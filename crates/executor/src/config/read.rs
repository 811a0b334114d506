//! What each variable means.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use agent_core::hook::{FileEditHook, PreExecuteHook};
use tracing_subscriber::EnvFilter;
use wegent_protocol::FlatRules;

use super::{
    Access, Approvals, ClaudeConfig, CodexConfig, Config, ConfigError, DeliveryConfig,
    DispatchConfig, DoorToken, HeartbeatBinding, HeartbeatConfig, HttpUrl, IdentityConfig,
    ImageEnvironment, LogConfig, Mode, PathsConfig, PrepareConfig, Problem, ProblemKind,
    ProxyConfig, ServerConfig, TaskAtStart, git::git, names, reader::Reader,
};
use crate::{
    factory::Routing,
    heartbeat::{Bound, HeartbeatId, HeartbeatKind},
    runs::Limits,
};

/// The smallest limit of request bodies that may be set: the manager counts on bodies of this size.
const SMALLEST_BODY_LIMIT_MIB: usize = 64;

/// The largest one: a body is held in memory while it is decoded.
const LARGEST_BODY_LIMIT_MIB: usize = 2048;

/// How long the end of a task at the start is held back unless another time is set.
const TASK_INFO_HOLD: Duration = Duration::from_secs(5);
/// The name of the file with Codex's events.
const CODEX_EVENTS: &str = "codex-events.jsonl";

/// The longest name an executor may have, in bytes: it names a folder too.
const LONGEST_NAME: usize = 200;

impl Config {
    /// Reads the configuration out of an environment.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    ///
    /// ```
    /// use executor::config::{Config, ImageEnvironment, Mode};
    /// let environment = ImageEnvironment::from_iter([("HOME", "/root"), ("EXECUTOR_MODE", "docker")]);
    /// let config = Config::read(environment).unwrap();
    /// assert_eq!((config.mode, config.server.port), (Mode::Docker, 10001));
    /// ```
    pub fn read(environment: ImageEnvironment) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&environment);
        let mut warnings = Vec::new();
        let mode = mode(&mut reader);
        let delivery = delivery(&mut reader);
        let warm_pool = warm_pool(&mut reader);
        let heartbeat = heartbeat(&mut reader, warm_pool, delivery.callback_url.as_ref());
        let config = Self {
            mode,
            access: access(&mut reader, mode),
            at_start: at_start(&mut reader),
            warm_pool,
            identity: identity(&mut reader),
            server: server(&mut reader),
            paths: paths(&mut reader),
            codex: codex(&mut reader),
            codex_events: codex_events(&mut reader),
            claude: claude(&mut reader),
            limits: limits(&mut reader),
            prepare: prepare(&mut reader),
            git: git(&mut reader, &mut warnings),
            proxies: proxies(&mut reader, &mut warnings),
            log: log(&mut reader),
            openai_api_key: reader.text(names::OPENAI_API_KEY).map(Into::into),
            anthropic_api_key: reader.text(names::ANTHROPIC_API_KEY).map(Into::into),
            image_environment: ImageEnvironment::default(),
            warnings: Vec::new(),
            delivery,
            heartbeat,
        };
        let problems = reader.problems;
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        warnings.extend(oddities(&config));
        Ok(Self {
            image_environment: environment,
            warnings,
            ..config
        })
    }
}

fn mode(reader: &mut Reader<'_>) -> Mode {
    let named = reader
        .text(names::EXECUTOR_MODE)
        .is_some_and(|mode| mode.eq_ignore_ascii_case("docker"));
    let launched = reader.is_set(names::TASK_INFO)
        || (reader.is_set(names::EXECUTOR_NAME) && reader.is_set(names::PORT));
    if named || launched {
        Mode::Docker
    } else {
        Mode::Local
    }
}

fn access(reader: &mut Reader<'_>, mode: Mode) -> Access {
    let asked = reader.flag(names::WEGENT_FULL_ACCESS).unwrap_or(false);
    if mode == Mode::Docker || asked {
        Access::Full
    } else {
        Access::Workspace
    }
}

fn identity(reader: &mut Reader<'_>) -> IdentityConfig {
    let expected = "a name that can be a folder's, of at most 200 bytes";
    let name = reader.parsed(names::EXECUTOR_NAME, expected, |name| {
        is_folder_name(name).then(|| name.to_owned())
    });
    IdentityConfig {
        name: name.unwrap_or_else(default_name),
        namespace: reader.text(names::EXECUTOR_NAMESPACE).map(str::to_owned),
    }
}

fn is_folder_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && !matches!(name, "." | "..")
        && !name.contains(|character: char| character == '/' || character.is_control())
}

/// `executor-` and the machine's name, so that two machines that share a disk have two names.
fn default_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .take(LONGEST_NAME / 2)
        .collect();
    let host = if host.is_empty() { "local" } else { &host };
    format!("executor-{host}")
}

fn server(reader: &mut Reader<'_>) -> ServerConfig {
    let default = ServerConfig::default();
    let host = reader.parsed(names::HOST, "an IP address or localhost", parse_host);
    let port = reader.number(names::PORT, "a port number");
    let expected = "a number from 64 to 2048";
    let limit = reader.parsed(names::WEGENT_MAX_BODY_MIB, expected, |text| {
        let mib: usize = text.parse().ok()?;
        (SMALLEST_BODY_LIMIT_MIB..=LARGEST_BODY_LIMIT_MIB)
            .contains(&mib)
            .then_some(mib << 20)
    });
    ServerConfig {
        dispatch: dispatch(reader),
        token: token(reader),
        host: host.unwrap_or(default.host),
        port: port.unwrap_or(default.port),
        max_body: limit.unwrap_or(default.max_body),
        sandbox_routes: reader
            .flag(names::WEGENT_SANDBOX_ROUTES)
            .unwrap_or(default.sandbox_routes),
        max_download: reader
            .parsed(
                names::MAX_WORKSPACE_DOWNLOAD_MB,
                "a number of MiB above 0",
                |text| {
                    let mib: u64 = text.parse().ok()?;
                    mib.checked_mul(1 << 20).filter(|bytes| *bytes > 0)
                },
            )
            .unwrap_or(default.max_download),
        ..default
    }
}

/// The value isn't repeated: it may be nearly right.
fn token(reader: &mut Reader<'_>) -> Option<DoorToken> {
    let variable = names::WEGENT_EXECUTOR_TOKEN;
    let token = DoorToken::new(reader.text(variable)?);
    if token.is_none() {
        let expected = "visible ASCII characters";
        reader.problem(variable, ProblemKind::UnexpectedSecret { expected });
    }
    token
}

fn dispatch(reader: &mut Reader<'_>) -> DispatchConfig {
    let default = FlatRules::default();
    let protocol = reader.parsed(
        names::WEGENT_CALLBACK_PROTOCOL,
        "responses or cumulative",
        |text| text.parse().ok(),
    );
    DispatchConfig {
        rules: FlatRules {
            resume: reader
                .flag(names::CODE_SHELL_RESUME_ENABLED)
                .unwrap_or(default.resume),
        },
        protocol,
        rerun: reader
            .flag(names::WEGENT_RERUN_AFTER_RESTART)
            .unwrap_or(false),
    }
}

fn at_start(reader: &mut Reader<'_>) -> Option<TaskAtStart> {
    let expected = "a number of seconds";
    let hold = reader.parsed(names::WEGENT_TASK_INFO_HOLD_SECONDS, expected, |text| {
        Duration::try_from_secs_f64(text.parse().ok()?).ok()
    });
    let payload = reader.text(names::TASK_INFO)?.into();
    Some(TaskAtStart {
        payload,
        hold: hold.unwrap_or(TASK_INFO_HOLD),
    })
}

/// An address to listen on. Other names than `localhost` would need a resolver for no use.
pub(crate) fn parse_host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

fn delivery(reader: &mut Reader<'_>) -> DeliveryConfig {
    DeliveryConfig {
        callback_url: reader.url(&[names::CALLBACK_URL]),
        backend_url: reader.url(&[names::WEGENT_BACKEND_URL, names::TASK_API_DOMAIN]),
    }
}

/// Both are read, so that both are checked.
fn warm_pool(reader: &mut Reader<'_>) -> bool {
    [names::WARM_POOL_MODE, names::EXECUTOR_WARMPOOL_MODE]
        .map(|name| reader.flag(name).unwrap_or(false))
        .contains(&true)
}

fn heartbeat(
    reader: &mut Reader<'_>,
    warm_pool: bool,
    callback_url: Option<&HttpUrl>,
) -> HeartbeatConfig {
    let default = HeartbeatConfig::default();
    let kind = reader
        .parsed(
            names::HEARTBEAT_TYPE,
            "task or sandbox",
            HeartbeatKind::parse,
        )
        .unwrap_or(HeartbeatKind::Sandbox);
    let id = reader.first(&[names::HEARTBEAT_ID, names::SANDBOX_ID]);
    let binding = match id.and_then(|(_, id)| HeartbeatId::new(id)) {
        Some(id) => HeartbeatBinding::Fixed(Bound { id, kind }),
        None if warm_pool => HeartbeatBinding::FirstTask,
        None => HeartbeatBinding::None,
    };
    let base_url = reader
        .url(&[names::HEARTBEAT_BASE_URL])
        .or_else(|| callback_url?.without_ending("/callback"));
    HeartbeatConfig {
        enabled: reader.flag(names::HEARTBEAT_ENABLED).unwrap_or(warm_pool),
        interval: reader
            .seconds(names::HEARTBEAT_INTERVAL)
            .unwrap_or(default.interval),
        base_url,
        binding,
        ..default
    }
}

fn paths(reader: &mut Reader<'_>) -> PathsConfig {
    let user_home = reader.path(&[names::HOME]);
    let workspace_root = reader.path(&[names::WORKSPACE_ROOT, names::WEGENT_WORKSPACE_ROOT]);
    let executor_home = reader.path(&[names::WEGENT_EXECUTOR_HOME]);
    let known = reader.is_set(names::WEGENT_EXECUTOR_HOME) || reader.is_set(names::HOME);
    if !known {
        let without = "without HOME there is no default for it";
        reader.problem(
            names::WEGENT_EXECUTOR_HOME,
            ProblemKind::Missing { without },
        );
    }
    let default_home = user_home.as_ref().map(|home| home.join(".wegent-executor"));
    PathsConfig {
        workspace_root: workspace_root.unwrap_or_else(|| PathBuf::from("/workspace")),
        // Empty only after a problem, and then no configuration comes out.
        executor_home: executor_home.or(default_home).unwrap_or_default(),
        user_home,
    }
}

fn codex(reader: &mut Reader<'_>) -> CodexConfig {
    let default = CodexConfig::default();
    CodexConfig {
        enabled: reader
            .flag(names::CODEX_SHELL_ENABLED)
            .unwrap_or(default.enabled),
        shared_home: reader.path(&[names::WEGENT_CODEX_HOME]),
        binary: reader.path(&[names::CODEX_BINARY_PATH, names::CODEX_BIN]),
        rpc_timeout: reader
            .seconds(names::WEGENT_CODEX_RPC_TIMEOUT_SECONDS)
            .unwrap_or(default.rpc_timeout),
        turn_startup_timeout: reader
            .seconds(names::WEGENT_CODEX_TURN_STARTUP_TIMEOUT_SECONDS)
            .unwrap_or(default.turn_startup_timeout),
        silence: reader
            .seconds(names::WEGENT_CODEX_SILENCE_SECONDS)
            .unwrap_or(default.silence),
        turn_timeout: reader
            .seconds(names::WEGENT_CODEX_TURN_TIMEOUT_SECONDS)
            .unwrap_or(default.turn_timeout),
        idle: reader
            .seconds(names::WEGENT_CODEX_IDLE_SECONDS)
            .unwrap_or(default.idle),
        question: reader
            .seconds(names::WEGENT_CODEX_QUESTION_SECONDS)
            .unwrap_or(default.question),
        approvals: approvals(reader),
        max_servers: reader
            .parsed(
                names::WEGENT_CODEX_MAX_SERVERS,
                "a number from 1 to 1024",
                |text| text.parse().ok().filter(|count| (1..=1024).contains(count)),
            )
            .unwrap_or(default.max_servers),
        routing: match reader.flag(names::WEGENT_ROUTE_RESPONSES_MODELS_TO_CODEX) {
            Some(true) => Routing::ResponsesToCodex,
            Some(false) => Routing::ByShell,
            None => default.routing,
        },
    }
}

fn codex_events(reader: &mut Reader<'_>) -> Option<String> {
    let expected = "a file's name of at most 200 bytes, without a folder";
    let name = reader.parsed(names::CODEX_EVENT_STREAM_FILENAME, expected, |name| {
        is_folder_name(name).then(|| name.to_owned())
    });
    let name = name.unwrap_or_else(|| CODEX_EVENTS.to_owned());
    (reader.flag(names::CODEX_PERSIST_EVENT_STREAM) == Some(true)).then_some(name)
}

fn approvals(reader: &mut Reader<'_>) -> Option<Approvals> {
    let expected = "`never`, `on-request` or `untrusted`";
    reader.parsed(names::WEGENT_CODEX_APPROVALS, expected, |word| match word {
        "never" => Some(Approvals::Never),
        "on-request" => Some(Approvals::OnRequest),
        "untrusted" => Some(Approvals::Untrusted),
        _ => None,
    })
}

fn claude(reader: &mut Reader<'_>) -> ClaudeConfig {
    let default = ClaudeConfig::default();
    ClaudeConfig {
        binary: reader.path(&[names::CLAUDE_BINARY_PATH, names::CLAUDE_BIN]),
        turn_timeout: reader
            .seconds(names::WEGENT_CLAUDE_CODE_PROCESS_TIMEOUT_SECONDS)
            .unwrap_or(default.turn_timeout),
        turn_startup_timeout: reader
            .seconds(names::WEGENT_CLAUDE_CODE_TURN_STARTUP_TIMEOUT_SECONDS)
            .unwrap_or(default.turn_startup_timeout),
        silence: reader
            .seconds(names::WEGENT_CLAUDE_CODE_SILENCE_SECONDS)
            .unwrap_or(default.silence),
        idle: reader
            .seconds(names::WEGENT_CLAUDE_CODE_IDLE_SECONDS)
            .unwrap_or(default.idle),
        key_proxy: reader
            .flag(names::WEGENT_CLAUDE_CODE_KEY_PROXY)
            .unwrap_or(default.key_proxy),
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let count = "a whole number above 0";
    let turns = reader.parsed(names::WEGENT_LIMIT_TURNS, count, |text| {
        text.parse().ok().filter(|turns| *turns > 0)
    });
    let mut above_zero = |name| {
        reader.parsed(name, count, |text| {
            text.parse().ok().filter(|number| *number > 0)
        })
    };
    let tokens = above_zero(names::WEGENT_LIMIT_TOKENS);
    let output = above_zero(names::WEGENT_LIMIT_OUTPUT_BYTES);
    let cost = "a number of US dollars above 0";
    Limits {
        wall_time: reader.seconds(names::WEGENT_LIMIT_SECONDS),
        turns,
        tokens,
        cost_usd: reader.parsed(names::WEGENT_LIMIT_COST_USD, cost, |text| {
            let cost: f64 = text.parse().ok()?;
            (cost.is_finite() && cost > 0.0).then_some(cost)
        }),
        idle_time: reader.seconds(names::WEGENT_LIMIT_IDLE_SECONDS),
        output,
        questions: reader.number(names::WEGENT_LIMIT_QUESTIONS, "a whole number"),
    }
}

fn prepare(reader: &mut Reader<'_>) -> PrepareConfig {
    let files = reader
        .text(names::CUSTOM_INSTRUCTION_FILES)
        .unwrap_or(".cursorrules,.windsurfrules");
    let names = files.split(',').map(str::trim);
    let rule_files = names.filter(|name| !name.is_empty()).map(str::to_owned);
    let time_limit = reader.seconds(names::WEGENT_HOOK_PRE_EXECUTE_TIMEOUT);
    let required = reader.flag(names::WEGENT_HOOK_PRE_EXECUTE_REQUIRED);
    let script = reader.path(&[names::WEGENT_HOOK_PRE_EXECUTE]);
    let command = reader.text(names::WEGENT_FILE_EDIT_HOOK_COMMAND);
    let command = command.map(str::to_owned);
    let edit_limit = reader.seconds(names::WEGENT_FILE_EDIT_HOOK_TIMEOUT);
    let edit_required = reader.flag(names::WEGENT_FILE_EDIT_HOOK_REQUIRED);
    let concurrency = names::WEGENT_SKILL_DOWNLOAD_CONCURRENCY;
    let downloads = reader.parsed(concurrency, "a number from 1 to 64", |text| {
        text.parse().ok().filter(|count| (1..=64).contains(count))
    });
    PrepareConfig {
        rule_files: rule_files.collect(),
        pre_execute: script.map(|script| PreExecuteHook {
            script,
            time_limit: time_limit.unwrap_or(Duration::from_secs(30)),
            required: required.unwrap_or(false),
        }),
        file_edit: command.map(|command| FileEditHook {
            command,
            time_limit: edit_limit.unwrap_or(Duration::from_secs(30)),
            required: edit_required.unwrap_or(false),
        }),
        skill_downloads: downloads.unwrap_or(3),
    }
}

/// A proxy that we can't use is no reason not to start: the variables are meant for all programs.
fn proxies(reader: &mut Reader<'_>, warnings: &mut Vec<Problem>) -> ProxyConfig {
    let mut proxy = |names: [&'static str; 2]| {
        let (variable, text) = reader.first(&names)?;
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = HttpUrl::parse(&with_scheme);
        if url.is_err() {
            let expected = "an http or https URL; going without this proxy";
            let kind = ProblemKind::UnexpectedSecret { expected };
            warnings.push(Problem { variable, kind });
        }
        url.ok()
    };
    let (http, https) = (proxy(names::HTTP_PROXY), proxy(names::HTTPS_PROXY));
    let all = proxy(names::ALL_PROXY);
    ProxyConfig {
        http: http.or_else(|| all.clone()),
        https: https.or(all),
        exempt: reader
            .first(&names::NO_PROXY)
            .map(|(_, list)| list.to_owned()),
    }
}

fn log(reader: &mut Reader<'_>) -> LogConfig {
    let default = || LogConfig {
        filter: "info".to_owned(),
    };
    let Some((name, filter)) = reader.first(&[names::WEGENT_LOG, names::RUST_LOG]) else {
        return default();
    };
    if EnvFilter::try_new(filter).is_err() {
        let expected = "log directives such as `info,executor=debug`";
        let got = filter.to_owned();
        reader.problem(name, ProblemKind::Unexpected { expected, got });
        return default();
    }
    LogConfig {
        filter: filter.to_owned(),
    }
}

/// What works, but hardly as it was meant.
fn oddities(config: &Config) -> Vec<Problem> {
    let mut oddities = Vec::new();
    let mut missing = |variable, without| {
        let kind = ProblemKind::Missing { without };
        oddities.push(Problem { variable, kind });
    };
    if config.mode == Mode::Docker && config.delivery.callback_url.is_none() {
        missing(names::CALLBACK_URL, "without it callbacks are dropped");
    }
    if config.heartbeat.enabled && config.heartbeat.base_url.is_none() {
        missing(
            names::HEARTBEAT_BASE_URL,
            "without it, or a CALLBACK_URL ending in /callback, no heartbeat is sent",
        );
    }
    if config.heartbeat.enabled && config.heartbeat.binding == HeartbeatBinding::None {
        missing(names::HEARTBEAT_ID, "without it no heartbeat is sent");
    }
    oddities
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
