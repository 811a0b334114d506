//! Who works, and who answers: the scripted model or, if `OPENAI_API_KEY` (for Claude Code `ANTHROPIC_API_KEY`) is set, the
//! real provider, or what `OPENAI_BASE_URL` (`ANTHROPIC_BASE_URL`) names.

use std::{fmt, time::Duration};

use serde_json::json;
use testkit::model::{Options, Script};
use wegent_executor_tests::{PATIENCE, Settings, TurnBody, World};

use crate::task;

/// A name from the catalogue of the pinned Codex for which it offers its plain tools, `apply_patch` among them.
const SCRIPTED_MODEL: &str = "gpt-5.5";

/// An agent of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// Codex.
    Codex,
    /// Claude Code.
    ClaudeCode,
}

impl Agent {
    /// Both, in the order in which they work.
    pub(crate) const ALL: [Self; 2] = [Self::Codex, Self::ClaudeCode];

    /// The variables that name its provider: key, base URL and model, the last two with their defaults.
    fn variables(self) -> (&'static str, [(&'static str, &'static str); 2]) {
        match self {
            Self::Codex => (
                "OPENAI_API_KEY",
                [
                    ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
                    // The first choice in the catalogue of the pinned CLI.
                    ("OPENAI_MODEL", "gpt-6.1-sol"),
                ],
            ),
            Self::ClaudeCode => (
                "ANTHROPIC_API_KEY",
                [
                    ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
                    // A name that the CLI itself resolves.
                    ("ANTHROPIC_MODEL", "sonnet"),
                ],
            ),
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Codex => "Codex",
            Self::ClaudeCode => "Claude Code",
        })
    }
}

/// What the agents and the executor need to reach the provider from behind a proxy.
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

/// Lets the agents do whatever the person may.
const FULL_ACCESS: &str = "WEGENT_FULL_ACCESS";

/// Who answers.
pub(crate) enum Provider {
    /// The test kit's scripted model.
    Scripted,
    /// A real provider. Its `Display` form is without the key.
    Real {
        /// The model's id.
        model: String,
        /// The base URL of its API.
        base_url: String,
        /// Its key.
        key: String,
    },
}

impl Provider {
    /// The agent's, as the environment says.
    pub(crate) fn of_environment(agent: Agent) -> Self {
        let (key, others) = agent.variables();
        let [base_url, model] =
            others.map(|(name, default)| variable(name).unwrap_or_else(|| default.to_owned()));
        match variable(key) {
            None => Self::Scripted,
            Some(key) => Self::Real {
                model,
                base_url,
                key,
            },
        }
    }

    /// What the scripted model does, should it be asked: the edit that the task wants.
    pub(crate) fn scripted_model() -> Options {
        Options {
            script: Script::Edit,
            command: Some(task::scripted_edit()),
            // Slow enough that a person sees it stream.
            delta_delay: Duration::from_millis(40),
            ..Options::default()
        }
    }

    /// Gives the executor what it needs to reach the provider. The script is ours; what a real model does nobody knows,
    /// so it gets no more than `WEGENT_FULL_ACCESS` gives it.
    pub(crate) fn prepare(&self, settings: &mut Settings) {
        if let Self::Real { .. } = self {
            for name in NETWORK.into_iter().chain([FULL_ACCESS]) {
                if let Some(value) = variable(name) {
                    settings.set(name, value);
                }
            }
            settings.outside_of_a_container();
        }
    }

    /// The task as Wegent would send it.
    pub(crate) fn request(
        &self,
        world: &World,
        agent: Agent,
        (task, subtask): (i64, i64),
        prompt: &str,
    ) -> TurnBody {
        let turn = match agent {
            Agent::Codex => world.turn(task, subtask, prompt),
            Agent::ClaudeCode => world.claude_turn(task, subtask, prompt),
        };
        let system = "You are a careful programmer. Your answers are read in a chat.";
        let mut turn = turn.with_bot("system_prompt", json!(system));
        turn.0["instructions"] = json!(system);
        match self {
            Self::Scripted if agent == Agent::Codex => turn.with_model(SCRIPTED_MODEL),
            Self::Scripted => turn,
            Self::Real {
                model,
                base_url,
                key,
            } => {
                turn.0["model_config"]["base_url"] = json!(base_url);
                turn.0["model_config"]["api_key"] = json!(key);
                turn.with_model(model)
            }
        }
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
