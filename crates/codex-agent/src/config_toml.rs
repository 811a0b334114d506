//! Codex's own configuration format as a part of a turn: what `CODEX_CONFIG_TOML` of a model's configuration says, and,
//! where a task uses the container's own login, that login's `config.toml`.
//!
//! Such a text may say anything about the model, its provider and how the agent works. It may not touch what the executor
//! answers for: what the agent may do on this machine, what tools see of the environment, where Codex keeps things and
//! whom it calls on its own. Such keys ([`RESERVED`]) are left out, and the log names them: texts that people copy from
//! their own machines often hold them, and refusing those would help nobody.

use agent_core::{AgentError, ErrorClass};
use serde_json::{Map, Value};

/// The variable of a model's configuration that holds such a text.
pub(crate) const VARIABLE: &str = "CODEX_CONFIG_TOML";

/// What is the executor's to decide (codex 0.169).
const RESERVED: &[&str] = &[
    // What the agent may do.
    "approval_policy",
    "approvals_reviewer",
    "bypass_hook_trust",
    "default_permissions",
    "hooks",
    "notify",
    "permissions",
    "projects",
    "sandbox_mode",
    "sandbox_workspace_write",
    // What tools see.
    "allow_login_shell",
    "shell_environment_policy",
    // Where things are kept: keys, history, logs.
    "cli_auth_credentials_store",
    "history",
    "log_dir",
    "mcp_oauth_credentials_store",
    "sqlite_home",
    "thread_unload_delay_secs",
    // Whom Codex calls on its own.
    "analytics",
    "apps",
    "chatgpt_base_url",
    "check_for_update_on_startup",
    "feedback",
    "forced_login_method",
    "marketplaces",
    "openai_base_url",
    "otel",
    "plugins",
    // Chooses among settings that are not there.
    "profile",
    "profiles",
];

/// Reads a text; what the executor decides itself is left out. `source` names it in errors.
///
/// # Errors
/// [`AgentError::Request`] with the line that is wrong. The text is not quoted: it may hold a key.
pub(crate) fn read(text: &str, source: &str) -> Result<Map<String, Value>, AgentError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let end = error.span().map_or(0, |span| span.start);
        let line = text
            .get(..end)
            .map_or(1, |before| before.matches('\n').count() + 1);
        invalid(format!("{source}: line {line}: {}", error.message()))
    })?;
    let mut values = match serde_json::to_value(table) {
        Ok(Value::Object(values)) => values,
        Ok(_) | Err(_) => return Err(invalid(format!("{source}: not a table"))),
    };
    for key in RESERVED {
        if values.remove(*key).is_some() {
            tracing::warn!(
                key,
                source,
                "a setting is left out: the executor decides it itself"
            );
        }
    }
    Ok(values)
}

/// Lays `over` on top of `base`: tables are joined, anything else is replaced.
pub(crate) fn merge(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// A request that can't be run because of what such a text says.
pub(crate) fn invalid(message: String) -> AgentError {
    AgentError::Request {
        class: ErrorClass::InvalidRequest,
        message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_executor_decides_is_left_out_and_the_rest_stays() {
        let text = "model_verbosity = \"low\"\nsandbox_mode = \"danger-full-access\"\n\
                    [shell_environment_policy]\ninherit = \"all\"\n[features]\ngoals = false\n";
        let values = read(text, VARIABLE).unwrap();
        let expected = json!({"model_verbosity": "low", "features": {"goals": false}});
        assert_eq!(Value::Object(values), expected);
    }

    #[test]
    fn a_bad_text_is_an_error_with_its_line_and_without_its_values() {
        let text = "model_verbosity = \"low\"\n\nkey = \"sk-secret-key\" x\n";
        let error = read(text, VARIABLE).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest);
        let message = error.to_string();
        assert!(
            message.starts_with("CODEX_CONFIG_TOML: line 3: "),
            "{message}"
        );
        assert!(!message.contains("sk-secret"), "{message}");
    }

    #[test]
    fn tables_are_joined_and_values_replaced() {
        let mut base = json!({"a": {"b": 1, "c": 2}, "d": [1], "e": 1});
        let over = json!({"a": {"c": 3, "f": 4}, "d": [2]});
        merge(
            base.as_object_mut().unwrap(),
            over.as_object().unwrap().clone(),
        );
        assert_eq!(
            base,
            json!({"a": {"b": 1, "c": 3, "f": 4}, "d": [2], "e": 1})
        );
    }
}
