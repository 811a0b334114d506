use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let home = ("HOME", "/home/ada");
    Config::read(variables.iter().copied().chain([home]).collect())
}

fn good(variables: &[(&str, &str)]) -> Config {
    read(variables).unwrap_or_else(|error| panic!("{variables:?}: {error}"))
}

#[test]
fn an_empty_environment_but_for_a_home_gives_the_documented_defaults() {
    let config = good(&[]);
    assert_eq!(config.mode, Mode::Local);
    assert_eq!(config.access, Access::Workspace);
    assert!(config.at_start.is_none());
    assert!(config.identity.name.starts_with("executor-"));
    assert!(is_folder_name(&config.identity.name));
    assert_eq!(config.identity.namespace, None);
    assert_eq!(config.server, ServerConfig::default());
    assert_eq!(config.server.host, IpAddr::from([0, 0, 0, 0]));
    assert_eq!(config.server.port, 10001);
    assert_eq!(config.server.max_body, 128 << 20);
    assert_eq!(config.delivery, DeliveryConfig::default());
    assert_eq!(config.heartbeat, HeartbeatConfig::default());
    assert_eq!(config.paths.workspace_root, Path::new("/workspace"));
    assert_eq!(
        config.paths.executor_home,
        Path::new("/home/ada/.wegent-executor")
    );
    assert_eq!(config.codex, CodexConfig::default());
    assert_eq!(config.codex.rpc_timeout, Duration::from_secs(300));
    assert_eq!(config.codex.turn_startup_timeout, Duration::from_secs(180));
    assert_eq!(config.codex.idle, Duration::from_secs(600));
    assert_eq!(config.proxies, ProxyConfig::default());
    assert_eq!(config.log.filter, "info");
    assert_eq!(config.warnings, []);
}

/// What Wegent's manager of August 2026 sets, as a running system showed it.
const LAUNCH: &[(&str, &str)] = &[
    ("EXECUTOR_NAME", "wegent-task-admin-bea1c5e8068521b"),
    ("EXECUTOR_MODE", "docker"),
    ("TZ", "Asia/Shanghai"),
    ("LANG", "en_US.UTF-8"),
    ("EXECUTOR_ENV", "{}"),
    ("WEGENT_SKILL_IDENTITY_TOKEN", "skill-token-value"),
    ("WEGENT_SKILL_USER_NAME", "admin"),
    ("TASK_API_DOMAIN", "http://backend:8000"),
    ("GIT_TOKEN_AES_KEY", "32-bytes-long-aes-key-as-a-value"),
    ("GIT_TOKEN_AES_IV", "aes-iv-as--value"),
    ("AUTH_TOKEN", "auth-token-value"),
    ("PORT", "19100"),
    (
        "CALLBACK_URL",
        "http://executor_manager:8001/executor-manager/callback",
    ),
    ("HEARTBEAT_ID", "1"),
    ("HEARTBEAT_TYPE", "task"),
    ("HEARTBEAT_ENABLED", "true"),
    (
        "EXECUTOR_MANAGER_HEARTBEAT_BASE_URL",
        "http://executor_manager:8001/executor-manager",
    ),
];

#[test]
fn the_managers_launch_is_understood_whole() {
    let config = good(LAUNCH);
    assert_eq!((config.mode, config.access), (Mode::Docker, Access::Full));
    assert_eq!(config.identity.name, "wegent-task-admin-bea1c5e8068521b");
    assert_eq!(config.server.port, 19100);
    let heartbeat = &config.heartbeat;
    assert!(heartbeat.enabled);
    assert_eq!(
        heartbeat.base_url.as_ref().unwrap().to_string(),
        "http://executor_manager:8001/executor-manager"
    );
    let id = HeartbeatId::new("1").unwrap();
    let kind = HeartbeatKind::Task;
    assert_eq!(
        heartbeat.binding,
        HeartbeatBinding::Fixed(Bound { id, kind })
    );
    assert_eq!(
        config.delivery.backend_url.unwrap().to_string(),
        "http://backend:8000/"
    );
    assert_eq!(config.warnings, []);
}

#[test]
fn no_value_of_the_environment_shows_in_debug_output() {
    let mut variables = LAUNCH.to_vec();
    variables.push(("OPENAI_API_KEY", "sk-model-key-value"));
    variables.push(("HTTPS_PROXY", "http://ada:proxy-password-value@proxy:3128"));
    variables.push((
        "CALLBACK_URL",
        "http://ada:callback-password-value@m/callback",
    ));
    let printed = format!("{:?}", good(&variables));
    assert!(!printed.contains("-value"), "{printed}");
    assert!(printed.contains("GIT_TOKEN_AES_KEY"), "{printed}");
}

#[test]
fn docker_mode_is_what_the_launch_says() {
    type Case = (&'static [(&'static str, &'static str)], Mode);
    let cases: &[Case] = &[
        (&[], Mode::Local),
        (&[("EXECUTOR_MODE", "docker")], Mode::Docker),
        (&[("EXECUTOR_MODE", " Docker ")], Mode::Docker),
        (&[("EXECUTOR_MODE", "local")], Mode::Local),
        (&[("EXECUTOR_NAME", "a")], Mode::Local),
        (&[("PORT", "1")], Mode::Local),
        (&[("EXECUTOR_NAME", "a"), ("PORT", "1")], Mode::Docker),
        (&[("EXECUTOR_NAME", ""), ("PORT", "1")], Mode::Local),
        (&[("TASK_INFO", "{}")], Mode::Docker),
        (&[("TASK_INFO", " ")], Mode::Local),
    ];
    for (variables, mode) in cases {
        let config = good(variables);
        assert_eq!(config.mode, *mode, "{variables:?}");
        assert_eq!(
            config.access == Access::Full,
            *mode == Mode::Docker,
            "{variables:?}"
        );
    }
    assert_eq!(good(&[("WEGENT_FULL_ACCESS", "1")]).access, Access::Full);
    assert!(good(&[("TASK_INFO", "{}")]).at_start.is_some());
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_by_name() {
    let environment = [
        ("HOST", "manager"),
        ("PORT", "70000"),
        ("EXECUTOR_NAME", "../other"),
        ("CALLBACK_URL", "manager:8001?token=hunter2"),
        ("TASK_API_DOMAIN", "ftp://backend"),
        ("HEARTBEAT_TYPE", "pod"),
        ("HEARTBEAT_ENABLED", "maybe"),
        ("HEARTBEAT_INTERVAL", "0"),
        ("EXECUTOR_MANAGER_HEARTBEAT_BASE_URL", "/relative"),
        ("WARM_POOL_MODE", "2"),
        ("WORKSPACE_ROOT", "workspace"),
        ("WEGENT_CODEX_HOME", "~/codex"),
        ("CODEX_BIN", "codex"),
        ("WEGENT_CODEX_RPC_TIMEOUT_SECONDS", "soon"),
        ("WEGENT_CODEX_TURN_STARTUP_TIMEOUT_SECONDS", "-1"),
        ("WEGENT_CODEX_IDLE_SECONDS", "inf"),
        ("WEGENT_CODEX_QUESTION_SECONDS", "0s"),
        ("WEGENT_CODEX_APPROVALS", "sometimes"),
        ("WEGENT_FULL_ACCESS", "please"),
        ("WEGENT_MAX_BODY_MIB", "63"),
        ("RUST_LOG", "executor=loud"),
    ];
    let error = Config::read(environment.into_iter().collect()).unwrap_err();
    let mut named: Vec<_> = error.problems.iter().map(|p| p.variable).collect();
    let mut expected: Vec<_> = environment.iter().map(|(name, _)| *name).collect();
    expected.push("WEGENT_EXECUTOR_HOME");
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected);
    let printed = error.to_string();
    assert!(
        printed.contains("\n  PORT: expected a port number, got \"70000\""),
        "{printed}"
    );
    assert!(
        printed.contains("\n  CALLBACK_URL: expected an http or https URL\n"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"));
}

#[test]
fn a_value_that_is_not_text_is_named() {
    let broken = OsString::from_vec(vec![b'7', 0xff]);
    let variables = [
        ("PORT".into(), broken),
        ("HOME".into(), OsString::from("/")),
    ];
    let error = Config::read(ImageEnvironment::from_iter::<[(OsString, OsString); 2]>(
        variables,
    ));
    assert_eq!(
        error.unwrap_err().problems[0].to_string(),
        "PORT: not valid UTF-8"
    );
}

#[test]
fn a_blank_value_counts_as_not_set() {
    let config = good(&[("PORT", ""), ("CALLBACK_URL", " "), ("WORKSPACE_ROOT", "")]);
    assert_eq!(config.server.port, 10001);
    assert_eq!(config.delivery.callback_url, None);
    assert_eq!(config.paths.workspace_root, Path::new("/workspace"));
}

#[test]
fn the_first_of_two_spellings_wins() {
    let config = good(&[
        ("WEGENT_WORKSPACE_ROOT", "/b"),
        ("WORKSPACE_ROOT", "/a"),
        ("CODEX_BIN", "/b/codex"),
        ("CODEX_BINARY_PATH", "/a/codex"),
        ("TASK_API_DOMAIN", "http://b"),
        ("WEGENT_BACKEND_URL", "http://a"),
        ("RUST_LOG", "warn"),
        ("WEGENT_LOG", "debug"),
        ("SANDBOX_ID", "b"),
        ("HEARTBEAT_ID", "a"),
    ]);
    assert_eq!(config.paths.workspace_root, Path::new("/a"));
    assert_eq!(config.codex.binary, Some(PathBuf::from("/a/codex")));
    assert_eq!(
        config.delivery.backend_url.unwrap().to_string(),
        "http://a/"
    );
    assert_eq!(config.log.filter, "debug");
    let HeartbeatBinding::Fixed(bound) = config.heartbeat.binding else {
        panic!("not bound");
    };
    assert_eq!(
        (bound.id.as_str(), bound.kind),
        ("a", HeartbeatKind::Sandbox)
    );
}

#[test]
fn heartbeats_are_bound_by_id_or_by_the_first_task() {
    let base = ("CALLBACK_URL", "http://m:8001/executor-manager/callback");
    let derived = good(&[base]).heartbeat.base_url.unwrap();
    assert_eq!(derived.to_string(), "http://m:8001/executor-manager");
    let odd = good(&[("CALLBACK_URL", "http://m/hook")]);
    assert_eq!(odd.heartbeat.base_url, None);

    for name in ["WARM_POOL_MODE", "EXECUTOR_WARMPOOL_MODE"] {
        let warm = good(&[base, (name, "true")]).heartbeat;
        assert_eq!(
            (warm.enabled, &warm.binding),
            (true, &HeartbeatBinding::FirstTask)
        );
    }
    let off = good(&[
        base,
        ("WARM_POOL_MODE", "true"),
        ("HEARTBEAT_ENABLED", "false"),
    ]);
    assert!(!off.heartbeat.enabled);
    let sandbox = good(&[base, ("WARM_POOL_MODE", "true"), ("SANDBOX_ID", "s")]);
    assert!(matches!(
        sandbox.heartbeat.binding,
        HeartbeatBinding::Fixed(_)
    ));
}

#[test]
fn what_is_odd_is_warned_of() {
    let config = good(&[("EXECUTOR_MODE", "docker"), ("HEARTBEAT_ENABLED", "true")]);
    let named: Vec<_> = config.warnings.iter().map(|w| w.variable).collect();
    assert_eq!(
        named,
        [
            "CALLBACK_URL",
            "EXECUTOR_MANAGER_HEARTBEAT_BASE_URL",
            "HEARTBEAT_ID"
        ]
    );
}

#[test]
fn proxies_are_read_as_other_programs_read_them() {
    let config = good(&[
        ("http_proxy", "proxy:3128"),
        ("HTTP_PROXY", "http://never"),
        ("ALL_PROXY", "https://all"),
        ("NO_PROXY", "manager, .local"),
    ]);
    let shown = |url: &Option<HttpUrl>| url.as_ref().map(ToString::to_string);
    assert_eq!(
        shown(&config.proxies.http).as_deref(),
        Some("http://proxy:3128/")
    );
    assert_eq!(
        shown(&config.proxies.https).as_deref(),
        Some("https://all/")
    );
    assert_eq!(config.proxies.exempt.as_deref(), Some("manager, .local"));

    let socks = good(&[("all_proxy", "socks5://proxy:1080")]);
    assert_eq!(socks.proxies, ProxyConfig::default());
    assert_eq!(socks.warnings[0].variable, "all_proxy");
}

#[test]
fn hosts_are_addresses_or_localhost() {
    for (text, expected) in [
        ("localhost", Some("127.0.0.1")),
        ("::", Some("::")),
        ("[::1]", Some("::1")),
        ("10.0.0.7", Some("10.0.0.7")),
        ("manager", None),
        ("[::1", None),
    ] {
        let expected: Option<IpAddr> = expected.map(|text| text.parse().unwrap());
        assert_eq!(parse_host(text), expected, "{text}");
    }
}

#[test]
fn git_is_configured_and_its_mistakes_are_told() {
    let config = good(&[
        (
            "PROTECTED_GIT_CREDENTIAL_DOMAINS",
            "Git.example, other:8443,",
        ),
        ("WEGENT_PROTECTED_BRANCHES", "trunk, v*"),
        ("WEGENT_GIT_DEPTH", "1"),
        ("WEGENT_GIT_FILTER", "blob:none"),
        ("WEGENT_GIT_CLONE_TIMEOUT_SECONDS", "9"),
    ]);
    let git = &config.git;
    assert_eq!(git.protected_domains, ["git.example", "other:8443"]);
    let branches = git.protected_branches.as_ref().unwrap();
    let names: Vec<&str> = branches.iter().map(|branch| branch.as_str()).collect();
    assert_eq!(names, ["trunk", "v*"]);
    assert_eq!(git.depth.unwrap().get(), 1);
    assert_eq!(git.clone_limit, Some(Duration::from_secs(9)));
    let none = good(&[("WEGENT_PROTECTED_BRANCHES", "none")]);
    assert_eq!(none.git.protected_branches, Some(Vec::new()));

    // The platform's own variables are no reason not to start.
    let odd = good(&[
        ("GIT_TOKEN_AES_IV", "short-value"),
        ("REPO_PROXY_CONFIG", "no json-value"),
    ]);
    let told: Vec<String> = odd.warnings.iter().map(ToString::to_string).collect();
    assert!(
        told[0].starts_with("GIT_TOKEN_AES_IV: expected 16 bytes"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("REPO_PROXY_CONFIG: expected a JSON object"),
        "{told:?}"
    );
    assert!(!told.concat().contains("-value"), "{told:?}");
}

#[test]
fn codex_events_are_kept_only_where_it_is_asked_for_and_never_elsewhere() {
    assert_eq!(good(&[]).codex_events, None);
    let named = ("CODEX_EVENT_STREAM_FILENAME", "what.jsonl");
    assert_eq!(good(&[named]).codex_events, None);
    let on = ("CODEX_PERSIST_EVENT_STREAM", "yes");
    let name = |variables: &[(&str, &str)]| good(variables).codex_events;
    assert_eq!(name(&[on]).as_deref(), Some("codex-events.jsonl"));
    assert_eq!(name(&[on, named]).as_deref(), Some("what.jsonl"));
    for name in ["../x", "/etc/passwd", ".."] {
        let error = read(&[on, ("CODEX_EVENT_STREAM_FILENAME", name)]).unwrap_err();
        assert!(error.to_string().contains("CODEX_EVENT_STREAM_FILENAME"));
    }
}

#[test]
fn the_token_of_the_door_can_stand_in_a_header_and_is_not_repeated() {
    let config = good(&[("WEGENT_EXECUTOR_TOKEN", " open-sesame ")]);
    let token = config.server.token.as_ref().unwrap();
    assert!(token.opens(b"open-sesame") && !token.opens(b"open-sesam"));
    assert!(!format!("{config:?}").contains("open-sesame"));
    assert!(agent_core::environment::is_secret_name(
        "WEGENT_EXECUTOR_TOKEN"
    ));
    for wrong in ["open sesame", "öffne-dich"] {
        let error = read(&[("WEGENT_EXECUTOR_TOKEN", wrong)]).unwrap_err();
        let expected = "WEGENT_EXECUTOR_TOKEN: expected visible ASCII characters";
        assert_eq!(error.problems[0].to_string(), expected);
    }
}

#[test]
fn limits_are_read_and_nonsense_is_named() {
    assert_eq!(good(&[]).limits, Limits::default());
    let config = good(&[
        ("WEGENT_LIMIT_SECONDS", "1.5"),
        ("WEGENT_LIMIT_TURNS", "7"),
        ("WEGENT_LIMIT_TOKENS", "1000"),
        ("WEGENT_LIMIT_COST_USD", "0.25"),
        ("WEGENT_LIMIT_IDLE_SECONDS", "60"),
        ("WEGENT_LIMIT_OUTPUT_BYTES", "4096"),
        ("WEGENT_LIMIT_QUESTIONS", "0"),
    ]);
    let expected = Limits {
        wall_time: Some(Duration::from_millis(1500)),
        turns: Some(7),
        tokens: Some(1000),
        cost_usd: Some(0.25),
        idle_time: Some(Duration::from_secs(60)),
        output: Some(4096),
        questions: Some(0),
    };
    assert_eq!(config.limits, expected);
    for (name, value) in [
        ("WEGENT_LIMIT_SECONDS", "0"),
        ("WEGENT_LIMIT_TURNS", "0"),
        ("WEGENT_LIMIT_TOKENS", "many"),
        ("WEGENT_LIMIT_COST_USD", "-1"),
        ("WEGENT_LIMIT_COST_USD", "inf"),
        ("WEGENT_LIMIT_OUTPUT_BYTES", "1.5"),
        ("WEGENT_LIMIT_QUESTIONS", "-1"),
    ] {
        let error = read(&[(name, value)]).unwrap_err();
        assert_eq!(error.problems[0].variable, name, "{value}");
    }
}
