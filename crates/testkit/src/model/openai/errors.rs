//! Refusals in OpenAI's form. The texts are the provider's.

use serde_json::{Value, json};

use crate::model::{
    Script,
    reply::{Stop, Whole},
};

/// What a script that refuses answers.
pub(in crate::model) fn refusal(script: Script) -> Stop {
    let mut retry_after = None;
    let (status, body) = match script {
        Script::Err401 => {
            let message = "Incorrect API key provided: sk-test-****fake.";
            let kind = "invalid_request_error";
            (401, error(kind, json!("invalid_api_key"), message))
        }
        Script::Err403 => {
            let code = json!("unsupported_country");
            let error = error("invalid_request_error", code, "scripted: forbidden");
            (403, error)
        }
        Script::Err404 => {
            let message = "The model `mock-model` does not exist";
            let kind = "invalid_request_error";
            (404, error(kind, json!("model_not_found"), message))
        }
        Script::Err413 => {
            let message = "scripted: the request is too large";
            let kind = "invalid_request_error";
            (413, error(kind, json!("request_too_large"), message))
        }
        Script::Err429 => {
            retry_after = Some(1);
            let message = "Rate limit reached. Please try again in 1s.";
            (
                429,
                error("requests", json!("rate_limit_exceeded"), message),
            )
        }
        Script::Quota => {
            let kind = "insufficient_quota";
            let message = "You exceeded your current quota.";
            (429, error(kind, json!(kind), message))
        }
        Script::UsageLimit => {
            let body = json!({"error": {
                "type": "usage_limit_reached", "message": "The usage limit has been reached",
                "plan_type": "plus", "resets_at": 1_900_000_000,
            }});
            (429, body)
        }
        Script::Err500 => {
            let message = "scripted: internal error";
            (500, error("server_error", Value::Null, message))
        }
        Script::Err503 | Script::Err529 => {
            let code = json!("server_is_overloaded");
            let status = if script == Script::Err503 { 503 } else { 529 };
            (status, error("server_error", code, "scripted: overloaded"))
        }
        _ => {
            let message = "scripted: the request is not valid";
            (
                400,
                error("invalid_request_error", json!("invalid_value"), message),
            )
        }
    };
    Stop::Refused(Whole {
        status,
        body,
        retry_after,
    })
}

fn error(kind: &str, code: Value, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
