//! What README.md tells an operator about the environment is what the executor reads.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::git::GitSettings;
use executor::config::{Config, ImageEnvironment, names};

const README: &str = include_str!("../../../../README.md");
const NAMES: &str = include_str!("../../src/config/names.rs");

/// The rows of the table: the variables of each, and their default.
fn rows() -> Vec<(Vec<&'static str>, &'static str)> {
    let mut lines = README.lines();
    lines.find(|line| line.starts_with("| Variable | Default |"));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        let (variables, default) = (cells.next().unwrap(), cells.next().unwrap());
        (quoted(variables, '`').collect(), default.trim())
    })
    .collect()
}

/// What stands between pairs of `mark` in a line.
fn quoted(line: &str, mark: char) -> impl Iterator<Item = &str> {
    line.split(mark).skip(1).step_by(2)
}

#[test]
fn the_readme_names_every_variable_that_is_read_and_no_other() {
    let code = NAMES
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let read: BTreeSet<&str> = code.flat_map(|line| quoted(line, '"')).collect();
    let told: BTreeSet<&str> = rows()
        .into_iter()
        .flat_map(|(variables, _)| variables)
        .collect();
    assert_eq!(told, read);
}

#[test]
fn the_readme_gives_the_defaults_that_the_code_has() {
    let config = Config::read(ImageEnvironment::from_iter([("HOME", "/home/ada")])).unwrap();
    let path = |path: &std::path::Path| path.display().to_string().replace("/home/ada", "~");
    let seconds = |duration: std::time::Duration| duration.as_secs().to_string();
    let git = GitSettings::new(Default::default(), String::new(), Default::default());
    let branches: Vec<&str> = git.protected_branches.iter().map(|b| b.as_str()).collect();
    let told: BTreeMap<&str, &str> = rows()
        .into_iter()
        .map(|(variables, default)| (variables[0], default))
        .collect();
    for (variable, default) in [
        (names::HOST, config.server.host.to_string()),
        (names::PORT, config.server.port.to_string()),
        (
            names::HEARTBEAT_INTERVAL,
            seconds(config.heartbeat.interval),
        ),
        (names::WORKSPACE_ROOT, path(&config.paths.workspace_root)),
        (
            names::WEGENT_EXECUTOR_HOME,
            path(&config.paths.executor_home),
        ),
        (
            names::WEGENT_CODEX_RPC_TIMEOUT_SECONDS,
            seconds(config.codex.rpc_timeout),
        ),
        (
            names::WEGENT_CODEX_TURN_STARTUP_TIMEOUT_SECONDS,
            seconds(config.codex.turn_startup_timeout),
        ),
        (
            names::WEGENT_CODEX_SILENCE_SECONDS,
            seconds(config.codex.silence),
        ),
        (
            names::WEGENT_CODEX_TURN_TIMEOUT_SECONDS,
            seconds(config.codex.turn_timeout),
        ),
        (names::WEGENT_CODEX_IDLE_SECONDS, seconds(config.codex.idle)),
        (
            names::WEGENT_CODEX_MAX_SERVERS,
            config.codex.max_servers.to_string(),
        ),
        (
            names::WEGENT_CLAUDE_CODE_PROCESS_TIMEOUT_SECONDS,
            seconds(config.claude.turn_timeout),
        ),
        (
            names::WEGENT_CLAUDE_CODE_TURN_STARTUP_TIMEOUT_SECONDS,
            seconds(config.claude.turn_startup_timeout),
        ),
        (
            names::WEGENT_CLAUDE_CODE_SILENCE_SECONDS,
            seconds(config.claude.silence),
        ),
        (
            names::WEGENT_CLAUDE_CODE_IDLE_SECONDS,
            seconds(config.claude.idle),
        ),
        (names::WEGENT_LOG, config.log.filter),
        (
            names::WEGENT_GIT_CLONE_TIMEOUT_SECONDS,
            seconds(git.clone_limit),
        ),
        (names::WEGENT_PROTECTED_BRANCHES, branches.join(",")),
        (
            names::WEGENT_MAX_BODY_MIB,
            (config.server.max_body >> 20).to_string(),
        ),
        (
            names::MAX_WORKSPACE_DOWNLOAD_MB,
            (config.server.max_download >> 20).to_string(),
        ),
    ] {
        assert_eq!(told[variable], format!("`{default}`"), "{variable}");
    }
}
