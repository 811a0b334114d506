//! Refusals in Anthropic's form. The texts are the provider's.

use serde_json::{Value, json};

use crate::model::{
    Script,
    reply::{Stop, Whole},
};

/// What a script that refuses answers.
pub(in crate::model) fn refusal(script: Script) -> Stop {
    let (status, kind, message) = match script {
        Script::ContextFull => (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
        ),
        Script::Quota => (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
        ),
        Script::Err401 => (401, "authentication_error", "invalid x-api-key"),
        Script::Err403 => (
            403,
            "permission_error",
            "Your API key does not have permission to use the specified resource.",
        ),
        Script::Err404 => (404, "not_found_error", "model: mock-model"),
        Script::Err413 => (413, "request_too_large", "Request exceeds the maximum size"),
        Script::Err429 | Script::UsageLimit => (
            429,
            "rate_limit_error",
            "This request would exceed your account's rate limit. Please try again later.",
        ),
        Script::Err500 => (500, "api_error", "Internal server error"),
        Script::Err503 => (503, "api_error", "Service unavailable"),
        Script::Err529 => (529, "overloaded_error", "Overloaded"),
        _ => (
            400,
            "invalid_request_error",
            "messages: scripted bad request",
        ),
    };
    Stop::Refused(Whole {
        status,
        body: body(kind, message),
        retry_after: (script == Script::Err429).then_some(1),
    })
}

/// The provider's envelope of an error.
pub(in crate::model) fn body(kind: &str, message: &str) -> Value {
    json!({
        "type": "error", "error": {"type": kind, "message": message}, "request_id": "req_model",
    })
}
