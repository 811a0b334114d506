//! Scripts in which something goes wrong.

use std::time::Duration;

use serde_json::{Value, json};

use super::talk;
use crate::{
    http::Break,
    model::{
        Script,
        items::words,
        reply::{Played, Refusal, Reply, Stop},
    },
};

/// Long enough for a client to take deltas in one by one before the connection goes.
const BETWEEN: Duration = Duration::from_millis(20);

pub(super) async fn garbage(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply
        .raw("event: response.output_text.delta\ndata: {not json}\n\n")
        .await?;
    reply
        .event("response.something.new", json!({"foo": "bar"}))
        .await?;
    reply.say("still fine", None).await?;
    reply.completed().await
}

pub(super) async fn failed(reply: &mut Reply, code: &str, message: &str) -> Played {
    reply.created().await?;
    let mut response = reply.response("failed");
    response["error"] = json!({"code": code, "message": message});
    reply
        .event("response.failed", json!({"response": response}))
        .await
}

pub(super) async fn incomplete(reply: &mut Reply) -> Played {
    reply.created().await?;
    reply.say("cut short", None).await?;
    let mut response = reply.response("incomplete");
    response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    reply
        .event("response.incomplete", json!({"response": response}))
        .await
}

/// The beginning of a message, then the end of the connection.
async fn cut(reply: &mut Reply, text: &str, how: Break) -> Played {
    reply.created().await?;
    reply.begin_text(words(text), BETWEEN, None).await?;
    Err(Stop::Broken(how))
}

pub(super) async fn disconnect(reply: &mut Reply) -> Played {
    cut(reply, "Hello this will be cut", Break::Close).await
}

pub(super) async fn reset(reply: &mut Reply) -> Played {
    cut(reply, "Hello this will be reset", Break::Reset).await
}

pub(super) async fn disconnect_once(reply: &mut Reply) -> Played {
    if reply.attempt == 1 {
        disconnect(reply).await
    } else {
        talk::text(reply).await
    }
}

pub(super) async fn disconnect_equal_once(reply: &mut Reply) -> Played {
    const TEXT: &str = "The quick brown fox jumps over the lazy dog.";
    if reply.attempt == 1 {
        return cut(reply, &TEXT[..20], Break::Close).await;
    }
    reply.created().await?;
    reply.say(TEXT, None).await?;
    reply.completed().await
}

pub(super) async fn disconnect_differ_once(reply: &mut Reply) -> Played {
    if reply.attempt == 1 {
        return cut(
            reply,
            "The answer is blue, as far as I can see",
            Break::Close,
        )
        .await;
    }
    reply.created().await?;
    reply.say("The answer is red, beyond doubt.", None).await?;
    reply.completed().await
}

pub(super) async fn flaky(reply: &mut Reply) -> Played {
    if reply.attempt <= 2 {
        Err(refusal(Script::Err500))
    } else {
        talk::text(reply).await
    }
}

/// What the scripts that refuse answer. The texts are a provider's.
pub(super) fn refusal(script: Script) -> Stop {
    let error = |kind: &str, code: Value, message: &str| json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    let mut retry_after = None;
    let (status, body) = match script {
        Script::Err401 => {
            let message = "Incorrect API key provided: sk-test-****fake.";
            (
                401,
                error("invalid_request_error", json!("invalid_api_key"), message),
            )
        }
        Script::Err403 => (
            403,
            error(
                "invalid_request_error",
                json!("unsupported_country"),
                "scripted: forbidden",
            ),
        ),
        Script::Err404 => {
            let message = "The model `mock-model` does not exist";
            (
                404,
                error("invalid_request_error", json!("model_not_found"), message),
            )
        }
        Script::Err429 => {
            retry_after = Some(1);
            (
                429,
                error(
                    "requests",
                    json!("rate_limit_exceeded"),
                    "Rate limit reached. Please try again in 1s.",
                ),
            )
        }
        Script::Quota => {
            let kind = "insufficient_quota";
            (
                429,
                error(kind, json!(kind), "You exceeded your current quota."),
            )
        }
        Script::UsageLimit => {
            let body = json!({"error": {
                "type": "usage_limit_reached", "message": "The usage limit has been reached",
                "plan_type": "plus", "resets_at": 1_900_000_000,
            }});
            (429, body)
        }
        Script::Err500 => (
            500,
            error("server_error", Value::Null, "scripted: internal error"),
        ),
        Script::Err503 => (
            503,
            error(
                "server_error",
                json!("server_is_overloaded"),
                "scripted: overloaded",
            ),
        ),
        _ => (
            400,
            error(
                "invalid_request_error",
                json!("invalid_value"),
                "scripted: the request is not valid",
            ),
        ),
    };
    Stop::Refused(Refusal {
        status,
        body,
        retry_after,
    })
}
