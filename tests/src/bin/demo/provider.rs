//! Who answers: the scripted model or, if `OPENAI_API_KEY` is set, OpenAI or what `OPENAI_BASE_URL` names.

use std::{fmt, time::Duration};

use serde_json::json;
use testkit::model::{Options, Script};
use wegent_executor_tests::{PATIENCE, Settings, TurnBody};

use crate::task;

const OPENAI: &str = "https://api.openai.com/v1";
/// The first choice in the catalogue of the pinned CLI.
const DEFAULT_MODEL: &str = "gpt-6.1-sol";
/// A name from that catalogue for which Codex offers its plain tools, `apply_patch` among them.
const SCRIPTED_MODEL: &str = "gpt-5.5";

/// What Codex and the executor need to reach the provider from behind a proxy.
const NETWORK: [&str; 11] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CODEX_CA_CERTIFICATE",
];

/// Who answers.
pub(crate) enum Provider {
    /// The test kit's scripted model.
    Scripted,
    /// A real provider. Its `Display` form is without the key.
    Real {
        /// The model's id.
        model: String,
        /// The base URL of its Responses API.
        base_url: String,
        /// Its key.
        key: String,
    },
}

impl Provider {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        match variable("OPENAI_API_KEY") {
            None => Self::Scripted,
            Some(key) => Self::Real {
                model: variable("OPENAI_MODEL").unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
                base_url: variable("OPENAI_BASE_URL").unwrap_or_else(|| OPENAI.to_owned()),
                key,
            },
        }
    }

    /// What the scripted model does, should it be asked: the edit that the task wants.
    pub(crate) fn scripted_model(&self) -> Options {
        Options {
            script: Script::Edit,
            command: Some(task::scripted_edit()),
            // Slow enough that a person sees it stream.
            delta_delay: Duration::from_millis(40),
            ..Options::default()
        }
    }

    /// Gives the executor what it needs to reach the provider.
    pub(crate) fn prepare(&self, settings: &mut Settings) {
        if let Self::Real { .. } = self {
            for name in NETWORK {
                if let Some(value) = variable(name) {
                    settings.set(name, value);
                }
            }
        }
    }

    /// The task as Wegent would send it.
    pub(crate) fn request(
        &self,
        task: i64,
        subtask: i64,
        prompt: &str,
        scripted: &str,
    ) -> TurnBody {
        let (model, base_url, key) = match self {
            Self::Scripted => (SCRIPTED_MODEL, scripted, None),
            Self::Real {
                model,
                base_url,
                key,
            } => (model.as_str(), base_url.as_str(), Some(key)),
        };
        let mut body = TurnBody::new(task, subtask, prompt, base_url);
        let system = "You are a careful programmer. Your answers are read in a chat.";
        body.0["instructions"] = json!(system);
        body.0["metadata"]["bot"][0]["system_prompt"] = json!(system);
        body.0["model"] = json!(model);
        body.0["model_config"]["model_id"] = json!(model);
        if let Some(key) = key {
            body.0["model_config"]["api_key"] = json!(key);
        }
        body
    }

    /// How long the turn may take.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Scripted => PATIENCE,
            Self::Real { .. } => Duration::from_secs(600),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scripted => f.write_str("the scripted model"),
            Self::Real {
                model, base_url, ..
            } => write!(f, "{model} at {base_url}"),
        }
    }
}

/// Whether the person does without colours: <https://no-color.org>.
pub(crate) fn colours_wanted() -> bool {
    variable("NO_COLOR").is_none()
}

/// A variable of the demo's own environment; a blank one counts as not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo is a program of its own, and this is where it reads its environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}
