//! The container's own Codex login, for tasks that are to use it instead of a key of theirs.
//!
//! It is where a person's `codex login` puts it: `auth.json` in `$CODEX_HOME` or `~/.codex`, with a `config.toml` beside it.
//! A task's home gets a link to the login, so that a token that Codex renews is renewed for all, and no copy is left behind.
//! A shared home is a login's own home already: Codex reads both files there itself.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use agent_core::{AgentError, ErrorClass};
use serde_json::{Map, Value};

use crate::{
    CodexConfig, HomePolicy, config_toml,
    launch::variable,
    provider::{self, Own},
};

const AUTH: &str = "auth.json";

/// Where the request asks for it.
const FIELD: &str = "model_config.runtime_config.codex.use_user_config";

/// The login's home.
fn home(config: &CodexConfig) -> Option<PathBuf> {
    let given = variable(config, "CODEX_HOME").map(PathBuf::from);
    given.or_else(|| Some(Path::new(variable(config, "HOME")?).join(".codex")))
}

/// What the login's own configuration says for a thread.
///
/// # Errors
/// [`AgentError::Request`] if there is no login, or its configuration can't be read.
pub(crate) fn settings(config: &CodexConfig) -> Result<Map<String, Value>, AgentError> {
    if matches!(config.homes, HomePolicy::Shared(_)) {
        return Ok(Map::new());
    }
    let home = home(config).ok_or_else(|| absent("neither CODEX_HOME nor HOME is set"))?;
    let file = home.join("config.toml");
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| absent(&format!("`{}`: {error}", file.display())))?,
    };
    let mut values = config_toml::read(&text, &file.display().to_string())?;
    let own = provider::of_own_login(&mut values, |name| variable(config, name)?.to_str())?;
    let login = home.join(AUTH);
    if own == Own::OpenAi && !login.is_file() {
        let hint = "`codex login` makes it";
        return Err(absent(&format!("`{}` is missing; {hint}", login.display())));
    }
    Ok(values)
}

fn absent(why: &str) -> AgentError {
    AgentError::Request {
        class: ErrorClass::InvalidRequest,
        message: format!("{FIELD}: this machine has no Codex login: {why}"),
    }
}

/// Whether a task's home has the login.
pub(crate) fn is_linked(task_home: &Path) -> bool {
    fs::symlink_metadata(task_home.join(AUTH)).is_ok()
}

/// Gives a task's home the login, or takes it away again.
///
/// # Errors
/// What the system says.
pub(crate) fn link(config: &CodexConfig, task_home: &Path, wanted: bool) -> io::Result<()> {
    if matches!(config.homes, HomePolicy::Shared(_)) {
        return Ok(());
    }
    let link = task_home.join(AUTH);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match home(config) {
        Some(home) if wanted && home.join(AUTH).is_file() => symlink(home.join(AUTH), link),
        _ => Ok(()),
    }
}
