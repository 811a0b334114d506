//! Where the model is, what opens it, and what of that the CLI may know.

use std::{collections::BTreeMap, ffi::OsStr};

use agent_core::{
    AgentError, ErrorClass, Turn,
    environment::{Environment, is_secret_name},
};
use secrecy::{ExposeSecret, SecretString};

use crate::key_proxy::{Target, TargetError};

/// The API that is asked when nothing names one.
const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";
/// Headers that tell the platform's gateways who calls, unless the request sets them itself.
const OWN_HEADERS: [(&str, &str); 3] = [
    ("wecode-action", "wegent"),
    ("wecode-source", "wegent-local"),
    ("wecode-executor", "claudecode"),
];
/// Variables that this module decides about itself.
const DECIDED_HERE: [&str; 4] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
];

/// The model's API, as the request describes it.
pub(crate) struct Endpoint {
    /// Its base URL.
    pub(crate) base_url: String,
    /// What opens it, as a header: `x-api-key` or `authorization`.
    key: Option<(&'static str, SecretString)>,
    /// More headers by name.
    headers: BTreeMap<String, SecretString>,
    /// A provider that signs requests itself (Bedrock, Vertex): no proxy can add its key.
    pub(crate) signs_itself: bool,
    /// The CLI's own login is used.
    pub(crate) own_login: bool,
}

impl Endpoint {
    /// What the turn's model configuration amounts to, with the image's variables as defaults.
    pub(crate) fn of(turn: &Turn, image: &Environment) -> Self {
        let model = &turn.model;
        let given = |name: &str| {
            let value = model.variables.get(name).map(ExposeSecret::expose_secret);
            value.filter(|value| !value.trim().is_empty())
        };
        let from_image = |name: &str| image.get(OsStr::new(name)).and_then(|value| value.to_str());
        let api_key = given("ANTHROPIC_API_KEY")
            .map(SecretString::from)
            .or_else(|| model.api_key.clone());
        // With both, the CLI sends the key only.
        let key = match (api_key, given("ANTHROPIC_AUTH_TOKEN")) {
            (Some(key), _) => Some(("x-api-key", key)),
            (None, Some(token)) => Some(("authorization", format!("Bearer {token}").into())),
            (None, None) => None,
        };
        let mut headers: BTreeMap<String, SecretString> = OWN_HEADERS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect();
        headers.extend(
            model
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone())),
        );
        let custom =
            given("ANTHROPIC_CUSTOM_HEADERS").or_else(|| from_image("ANTHROPIC_CUSTOM_HEADERS"));
        headers.extend(custom.map(header_lines).unwrap_or_default());
        Self {
            base_url: given("ANTHROPIC_BASE_URL")
                .or(model.base_url.as_deref())
                .or_else(|| from_image("ANTHROPIC_BASE_URL"))
                .unwrap_or(DEFAULT_BASE_URL)
                .to_owned(),
            key,
            headers,
            signs_itself: [
                "CLAUDE_CODE_USE_BEDROCK",
                "CLAUDE_CODE_USE_VERTEX",
                "CLAUDE_CODE_USE_FOUNDRY",
            ]
            .iter()
            .any(|name| given(name).or_else(|| from_image(name)).is_some_and(is_on)),
            own_login: model.use_own_login,
        }
    }

    /// The API as the key proxy is to reach it.
    ///
    /// # Errors
    /// [`AgentError::Request`] naming what can't be sent.
    pub(crate) fn target(&self) -> Result<Target, AgentError> {
        let key = self
            .key
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        Target::new(&self.base_url, headers.chain(key)).map_err(|error: TargetError| {
            AgentError::Request {
                class: ErrorClass::InvalidRequest,
                message: format!("model_config: {error}"),
            }
        })
    }

    /// The variables that tell the CLI all of it, where no proxy stands between.
    pub(crate) fn plain_variables(&self) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        if !self.own_login && !self.signs_itself {
            variables.insert("ANTHROPIC_BASE_URL".to_owned(), self.base_url.clone());
        }
        match &self.key {
            Some(("x-api-key", key)) => {
                variables.insert(
                    "ANTHROPIC_API_KEY".to_owned(),
                    key.expose_secret().to_owned(),
                );
            }
            Some((_, bearer)) => {
                let token = bearer.expose_secret().trim_start_matches("Bearer ");
                variables.insert("ANTHROPIC_AUTH_TOKEN".to_owned(), token.to_owned());
            }
            None => {}
        }
        let lines: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.expose_secret()))
            .collect();
        variables.insert("ANTHROPIC_CUSTOM_HEADERS".to_owned(), lines.join("\n"));
        variables
    }

    /// Whether the key proxy can stand between.
    pub(crate) fn can_be_proxied(&self) -> bool {
        !self.own_login && !self.signs_itself
    }
}

/// The model configuration's own variables that go to the CLI, and so to its tools. Secret ones only where there is no
/// other way to the model, or where nothing is hidden anyway (`hide` is false).
pub(crate) fn model_variables(turn: &Turn, hide: bool) -> BTreeMap<String, String> {
    let variables = turn.model.variables.iter();
    variables
        .filter(|(name, value)| {
            if DECIDED_HERE.contains(&name.as_str()) {
                return false;
            }
            let hidden = hide && is_secret_name(name) && !is_number(value.expose_secret());
            if hidden {
                tracing::warn!(
                    name,
                    "a secret variable of the model's configuration is kept from tools"
                );
            }
            !hidden
        })
        .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
        .collect()
}

/// `CLAUDE_CODE_MAX_OUTPUT_TOKENS` and its like sound like secrets and are none.
fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_on(value: &str) -> bool {
    !matches!(value.trim(), "" | "0" | "false")
}

fn header_lines(lines: &str) -> BTreeMap<String, SecretString> {
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_lowercase(), SecretString::from(value.trim())))
    };
    lines.lines().filter_map(line).collect()
}
