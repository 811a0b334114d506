//! The model provider of a thread: where it is, which key and headers it gets.
//!
//! All of it goes over the pipe. Codex could take keys and headers from its environment too (`env_key`,
//! `env_http_headers`), but what is in there can be read by tools: such names are resolved here.

use std::collections::BTreeMap;

use agent_core::{AgentError, ApiFormat, ErrorClass, ModelConfig};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::config_toml::{VARIABLE, invalid};

/// The provider's name within a thread's configuration.
pub(crate) const PROVIDER: &str = "wegent";

/// The API that is asked when nothing names another.
const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// Headers that OpenAI's own clients make of variables.
const HEADER_VARIABLES: [(&str, &str); 4] = [
    ("OPENAI_ORGANIZATION", "OpenAI-Organization"),
    ("OPENAI_ORG_ID", "OpenAI-Organization"),
    ("OPENAI_PROJECT", "OpenAI-Project"),
    ("OPENAI_PROJECT_ID", "OpenAI-Project"),
];

/// The provider that the turn's model is asked at; what `settings` says about it is taken out of them.
///
/// # Errors
/// [`AgentError::Request`] if the model doesn't speak the Responses API, or `settings` say what can't be served.
pub(crate) fn of_request(
    model: &ModelConfig,
    settings: &mut Map<String, Value>,
) -> Result<Value, AgentError> {
    match &model.api_format {
        None | Some(ApiFormat::Responses) => {}
        Some(ApiFormat::ChatCompletions) => return Err(unsupported("chat/completions")),
        Some(ApiFormat::Other(name)) => return Err(unsupported(name)),
    }
    let mut provider = chosen(settings);
    // Where the redactor doesn't know of it, or a program would have to be run for it, a key is in the wrong place.
    for field in ["auth", "experimental_bearer_token"] {
        if provider.contains_key(field) {
            return Err(invalid(format!(
                "{VARIABLE}: model_providers: `{field}` is not taken from here, the model's key belongs into `api_key`"
            )));
        }
    }
    let key = resolve(&mut provider, |name| {
        model.variables.get(name).map(ExposeSecret::expose_secret)
    })?;
    let fields = [
        ("name", json!(PROVIDER)),
        (
            "base_url",
            json!(model.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL)),
        ),
        ("wire_api", json!("responses")),
    ];
    for (field, value) in fields {
        provider.entry(field).or_insert(value);
    }
    add_headers(&mut provider, &model.headers, &model.variables);
    let own = model.api_key.as_ref().map(ExposeSecret::expose_secret);
    // A key of asterisks is what the platform shows people instead of one.
    let own = own.filter(|key| !key.chars().all(|character| character == '*'));
    if let Some(key) = key.as_deref().or(own) {
        provider.insert("experimental_bearer_token".to_owned(), json!(key));
    }
    Ok(Value::Object(provider))
}

/// Readies the provider of the container's own configuration, where the login is the container's too.
///
/// A conversation remembers its provider by name and can only be resumed where there is one of that name, so the task's
/// provider is always called [`PROVIDER`]. Where the configuration describes none, OpenAI itself is asked.
///
/// # Errors
/// As [`of_request`].
pub(crate) fn of_own_login<'a>(
    settings: &mut Map<String, Value>,
    variable: impl Fn(&str) -> Option<&'a str>,
) -> Result<Own, AgentError> {
    let mut provider = chosen(settings);
    let own = match provider.is_empty() {
        true => Own::OpenAi,
        false => Own::Described,
    };
    if let Some(key) = resolve(&mut provider, variable)? {
        provider.insert("experimental_bearer_token".to_owned(), json!(key));
    }
    if own == Own::OpenAi {
        let fields = [
            ("name", json!("OpenAI")),
            ("wire_api", json!("responses")),
            ("requires_openai_auth", json!(true)),
        ];
        provider.extend(fields.map(|(field, value)| (field.to_owned(), value)));
    }
    settings.insert("model_provider".to_owned(), json!(PROVIDER));
    settings.insert("model_providers".to_owned(), json!({ PROVIDER: provider }));
    Ok(own)
}

/// Whom the container's own login is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// OpenAI: there has to be a login.
    OpenAi,
    /// A provider that its configuration describes, which may need none.
    Described,
}

/// The provider that `settings` choose, if they describe it; taken out of them with all others.
fn chosen(settings: &mut Map<String, Value>) -> Map<String, Value> {
    let name = settings.remove("model_provider");
    let providers = settings.remove("model_providers");
    let (Some(Value::String(name)), Some(Value::Object(mut providers))) = (name, providers) else {
        return Map::new();
    };
    match providers.remove(&name) {
        Some(Value::Object(provider)) => provider,
        _ => Map::new(),
    }
}

/// Puts the values of variables in the places of their names. Gives the key, if one is named and known.
fn resolve<'a>(
    provider: &mut Map<String, Value>,
    variable: impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<String>, AgentError> {
    if let Some(api) = provider.get("wire_api").and_then(Value::as_str)
        && api != "responses"
    {
        return Err(unsupported(api));
    }
    let named = provider.remove("env_http_headers");
    let named = named.as_ref().and_then(Value::as_object);
    let resolved = named
        .into_iter()
        .flatten()
        .filter_map(|(header, name)| Some((header.clone(), json!(variable(name.as_str()?)?))));
    let resolved: Vec<(String, Value)> = resolved.collect();
    headers(provider).extend(resolved);
    let key = provider.remove("env_key");
    provider.remove("env_key_instructions");
    let key = key.as_ref().and_then(Value::as_str).and_then(variable);
    Ok(key.map(str::to_owned))
}

fn headers(provider: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let headers = provider
        .entry("http_headers")
        .or_insert_with(|| Value::Object(Map::new()));
    if !headers.is_object() {
        *headers = Value::Object(Map::new());
    }
    headers.as_object_mut().expect("made an object above")
}

/// Of equal headers what the request gives as such goes before what a variable says.
fn add_headers(
    provider: &mut Map<String, Value>,
    given: &BTreeMap<String, SecretString>,
    variables: &BTreeMap<String, SecretString>,
) {
    let headers = headers(provider);
    for (variable, header) in HEADER_VARIABLES {
        if let Some(value) = variables.get(variable) {
            headers.insert(header.to_owned(), json!(value.expose_secret()));
        }
    }
    for (name, value) in given {
        headers.retain(|header, _| !header.eq_ignore_ascii_case(name));
        headers.insert(name.clone(), json!(value.expose_secret()));
    }
}

fn unsupported(format: &str) -> AgentError {
    AgentError::Request {
        class: ErrorClass::ModelProtocol,
        message: format!(
            "model_config.api_format: Codex speaks the Responses API only, and this model is set up for `{format}`. \
             It needs a provider that offers `/v1/responses`, with the model's API format set to `responses`."
        ),
    }
}
