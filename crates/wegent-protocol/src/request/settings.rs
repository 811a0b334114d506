//! What a model's configuration sets for the agent beside the fields that everybody knows.
//!
//! Wegent's operators write a model's configuration as variables: whatever has an `UPPER_CASE` name there is
//! meant for the environment of the agent's CLI (`ANTHROPIC_DEFAULT_HAIKU_MODEL`, `API_TIMEOUT_MS`, …).

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

/// The variables of a request. Of equal names the later place wins: the bots' `agent_config.env`, then
/// `model_config`, then `model_config.env`. Only strings count.
pub(super) fn model_variables(request: &Value) -> BTreeMap<String, SecretString> {
    let model = &request["model_config"];
    let places = bots(request)
        .iter()
        .map(|bot| &bot["agent_config"]["env"])
        .chain([model, &model["env"]]);
    places
        .filter_map(Value::as_object)
        .flatten()
        .filter(|(name, _)| is_variable(name))
        .filter_map(|(name, value)| Some((name.clone(), SecretString::from(value.as_str()?))))
        .collect()
}

/// The model of a bot's own, by its `agent_config.env.model_id`.
pub(super) fn own_model(request: &Value, bot: usize) -> Option<String> {
    let id = bots(request).get(bot)?["agent_config"]["env"]["model_id"].as_str()?;
    (!id.trim().is_empty()).then(|| id.to_owned())
}

/// The bots as they came; a single one may stand there without an array. A flat payload has them at its top.
pub(super) fn bots(request: &Value) -> &[Value] {
    let bots = match &request["metadata"]["bot"] {
        Value::Null => &request["bot"],
        nested => nested,
    };
    match bots {
        Value::Array(bots) => bots,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_upper_case_strings_are_variables_and_the_model_goes_before_the_bots() {
        let request = json!({
            "metadata": { "bot": [{ "agent_config": { "env": {
                "ANTHROPIC_SMALL_MODEL": "bot", "API_TIMEOUT_MS": "1", "model_id": "m", "NUMBER": 5, "X-Y": "no"
            } } }] },
            "model_config": { "API_TIMEOUT_MS": "2", "api_key": "k", "env": { "EXTRA_1": "3" } }
        });
        let variables = model_variables(&request);
        let shown: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
            .collect();
        assert_eq!(
            shown,
            [
                ("ANTHROPIC_SMALL_MODEL", "bot"),
                ("API_TIMEOUT_MS", "2"),
                ("EXTRA_1", "3")
            ]
        );
        assert_eq!(own_model(&request, 0).as_deref(), Some("m"));
        assert_eq!(own_model(&request, 1), None);
        let one = json!({ "metadata": { "bot": { "agent_config": { "env": { "A": "b" } } } } });
        assert_eq!(model_variables(&one).len(), 1);
    }
}
