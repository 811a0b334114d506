//! What tools see of the executor's environment: the image's own variables, minus secrets.
//!
//! A base image's `JAVA_HOME`, `PATH` or `npm_config_*` must work for the agent's tools, but the keys
//! that an operator gave to the executor must not reach them. A variable is left out if its name says
//! that it is a secret, or if its value contains one.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use secrecy::{ExposeSecret, SecretString};

use crate::{Identity, Turn, TurnKey};

/// Environment variables by name.
pub type Environment = BTreeMap<OsString, OsString>;

/// ToolVariables that are told to tools; the values may be secret.
pub type ToolVariables = BTreeMap<String, SecretString>;

/// What every program of ours gets of the image's environment, if it is there: what it needs to run, to reach a server,
/// and to trust it.
const NEEDED: &[&str] = &[
    "PATH",
    "HOME",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// The variables of `image` that a program may have which gets nothing else of it: those that every program needs, and
/// `more`.
///
/// ```
/// # use agent_core::environment::{Environment, allowed};
/// let image = Environment::from([("PATH".into(), "/bin".into()), ("DB_URL".into(), "db://x".into())]);
/// let names: Vec<_> = allowed(&image, &["LANG"]).map(|(name, _)| name).collect();
/// assert_eq!(names, ["PATH"]);
/// ```
pub fn allowed<'a>(
    image: &'a Environment,
    more: &'static [&'static str],
) -> impl Iterator<Item = (&'static str, &'a OsStr)> {
    let names = NEEDED.iter().chain(more);
    names.filter_map(|name| Some((*name, image.get(OsStr::new(name))?.as_os_str())))
}

/// Words that make a variable's name a secret's, as a part between underscores.
const SECRET_WORDS: &[&str] = &[
    "KEY",
    "KEYS",
    "APIKEY",
    "TOKEN",
    "TOKENS",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "COOKIE",
];

/// ToolVariables of the executor's own wiring that mean nothing to tools.
const OWN: &[&str] = &[
    "TASK_INFO",
    "EXECUTOR_ENV",
    "GIT_TOKEN_AES_KEY",
    "GIT_TOKEN_AES_IV",
    "CALLBACK_URL",
    "CALLBACK_HOST",
    "EXECUTOR_MANAGER_HEARTBEAT_BASE_URL",
    "HEARTBEAT_ID",
    "HEARTBEAT_TYPE",
    "HEARTBEAT_ENABLED",
    "HEARTBEAT_INTERVAL",
    "REPO_PROXY_CONFIG",
];

/// Whether a variable of this name is taken for a secret.
///
/// ```
/// # use agent_core::environment::is_secret_name;
/// assert!(is_secret_name("OPENAI_API_KEY"));
/// assert!(is_secret_name("githubToken"));
/// assert!(!is_secret_name("KEYBOARD_LAYOUT"));
/// assert!(!is_secret_name("JAVA_HOME"));
/// ```
pub fn is_secret_name(name: &str) -> bool {
    words(name)
        .iter()
        .any(|word| SECRET_WORDS.contains(&word.as_str()))
        || ["APIKEY", "_PAT", "TOKEN", "SECRET", "PASSWORD"]
            .iter()
            .any(|ending| name.to_ascii_uppercase().ends_with(ending))
}

/// The words of a name, cut at everything that isn't a letter or digit and where camel case rises.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_lower = false;
    for character in name.chars() {
        if !character.is_ascii_alphanumeric() || (character.is_ascii_uppercase() && previous_lower)
        {
            words.push(String::new());
        }
        if character.is_ascii_alphanumeric() {
            words
                .last_mut()
                .expect("never empty")
                .push(character.to_ascii_uppercase());
        }
        previous_lower = character.is_ascii_lowercase();
    }
    words
}

/// The image's environment as tools may see it.
///
/// `known` are the secrets of the turn: a variable whose value contains one is left out whatever its name.
pub fn without_secrets<'a>(
    image: &Environment,
    known: impl Iterator<Item = &'a SecretString> + Clone,
) -> Environment {
    image
        .iter()
        .filter(|(name, value)| {
            let readable = name.to_string_lossy();
            !is_secret_name(&readable)
                && !OWN.contains(&readable.as_ref())
                && !contains_any(value, known.clone())
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The variables whose names say that their values are secrets, for redaction.
pub fn secret_variables(image: &Environment) -> impl Iterator<Item = (Cow<'_, str>, SecretString)> {
    image
        .iter()
        .map(|(name, value)| (name.to_string_lossy(), value))
        .filter(|(name, _)| is_secret_name(name))
        .filter_map(|(name, value)| Some((name, SecretString::from(value.to_str()?))))
}

fn contains_any<'a>(value: &OsStr, mut known: impl Iterator<Item = &'a SecretString>) -> bool {
    let value = value.to_string_lossy();
    known.any(|secret| {
        let secret = secret.expose_secret();
        secret.len() >= redact::MIN_LENGTH && value.contains(secret)
    })
}

/// The variables that the platform promises to tools, with the identity tokens among them.
pub fn contract_variables(turn: &Turn) -> ToolVariables {
    let TurnKey { task, .. } = turn.key;
    let Identity {
        user_name,
        auth_token,
        skill_identity_token,
        ..
    } = &turn.identity;
    let user_name = user_name.as_deref().map(SecretString::from);
    let all = [
        ("WEGENT_TASK_ID", Some(task.to_string().into())),
        ("AUTH_TOKEN", auth_token.clone()),
        ("WEGENT_SKILL_IDENTITY_TOKEN", skill_identity_token.clone()),
        ("WEGENT_SKILL_USER_NAME", user_name),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_by_name_and_by_value_and_the_rest_stays() {
        let image: Environment = [
            ("JAVA_HOME", "/opt/java"),
            ("PATH", "/usr/bin"),
            ("OPENAI_API_KEY", "sk-1"),
            ("GIT_TOKEN_AES_IV", "1234"),
            ("CALLBACK_URL", "http://manager/callback"),
            ("HEARTBEAT_ID", "7"),
            ("INNOCENT", "prefix sk-secret-value suffix"),
            ("MONKEY", "banana"),
            ("npm_config_cache", "/x"),
            ("NPM_TOKEN", "n"),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
        let known = [
            SecretString::from("sk-secret-value"),
            SecretString::from(""),
        ];
        let left = without_secrets(&image, known.iter());
        let names: Vec<_> = left.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["JAVA_HOME", "MONKEY", "PATH", "npm_config_cache"]);
    }
}
