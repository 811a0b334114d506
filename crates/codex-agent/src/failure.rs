//! Why a Codex turn failed, in the terms every agent shares.

use agent_core::{AgentError, ErrorClass, SessionStoreError};
use codex_app_server::{
    ConnectionLost, RpcError,
    protocol::{CodexErrorKind, TurnError},
};
use serde::Deserialize;

/// The class of a turn's error. Codex names the kind for most; for the rest the provider's HTTP status tells, and
/// where there is none, the words.
pub(crate) fn class(error: &TurnError) -> ErrorClass {
    use CodexErrorKind as Kind;
    let by_status = || {
        error
            .http_status()
            .map_or_else(|| class_of_words(&error.message), class_of_status)
    };
    match error.kind() {
        Some(Kind::ContextWindowExceeded) => ErrorClass::ContextLength,
        Some(Kind::SessionBudgetExceeded | Kind::UsageLimitExceeded) => ErrorClass::QuotaExceeded,
        Some(Kind::RateLimitExceeded) => ErrorClass::RateLimited,
        Some(Kind::ServerOverloaded | Kind::FlexUnavailable | Kind::PolicyCapacityUnavailable) => {
            ErrorClass::Overloaded
        }
        Some(Kind::ModelNotFound) => ErrorClass::ModelUnavailable,
        Some(Kind::CyberPolicy | Kind::MisalignmentPolicyViolation) => ErrorClass::ContentFilter,
        Some(Kind::InternalServerError) => ErrorClass::Provider,
        Some(Kind::Unauthorized) => ErrorClass::Unauthorized,
        Some(Kind::BadRequest) => ErrorClass::InvalidRequest,
        Some(
            Kind::SandboxError
            | Kind::ThreadRollbackFailed
            | Kind::TooManyDenials
            | Kind::InferenceHookDenied,
        ) => ErrorClass::Agent,
        Some(Kind::ResponseStreamConnectionFailed | Kind::ResponseStreamDisconnected) => error
            .http_status()
            .map_or(ErrorClass::Network, class_of_status),
        Some(
            Kind::HttpConnectionFailed
            | Kind::ResponseTooManyFailedAttempts
            | Kind::ActiveTurnNotSteerable
            | Kind::Unspecified
            | Kind::Unknown(_),
        )
        | None => by_status(),
    }
}

/// What codex 0.169 puts before the reason when it gives up on a stream. The kind of that error is `other`.
const GAVE_UP: &str = "stream disconnected before completion: ";

/// How codex 0.169 words a connection that broke. Any other reason is the provider's own, sent while the connection held.
const BROKE: [&str; 3] = ["Transport error", "stream closed", "idle timeout"];

/// The class of an error that has neither kind nor status. What its words don't tell is put down to the provider.
fn class_of_words(message: &str) -> ErrorClass {
    /// A request that the provider refused: its answer's body is the whole message.
    #[derive(Deserialize)]
    struct Refused {
        error: Reason,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(rename = "type")]
        kind: String,
    }
    if let Some(reason) = message.strip_prefix(GAVE_UP) {
        return match broke(reason) {
            true => ErrorClass::Network,
            false => ErrorClass::Provider,
        };
    }
    match serde_json::from_str(message) {
        Ok(Refused {
            error: Reason { kind },
        }) if kind == "invalid_request_error" => ErrorClass::InvalidRequest,
        _ => ErrorClass::Provider,
    }
}

/// The class of a provider's HTTP status.
pub(crate) fn class_of_status(status: u16) -> ErrorClass {
    match status {
        400 | 404 | 413 | 422 => ErrorClass::InvalidRequest,
        401 => ErrorClass::Unauthorized,
        403 => ErrorClass::Forbidden,
        408 | 504 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimited,
        503 | 529 => ErrorClass::Overloaded,
        _ => ErrorClass::Provider,
    }
}

/// How codex 0.169 begins what it says when it tries again. It speaks of itself; the details say what is wrong.
const TRIES_AGAIN: &str = "Reconnecting...";

/// The turn's failure as an agent error. Codex's message can hold a URL and a body; the redactor sees it before anyone.
pub(crate) fn failed(error: &TurnError) -> AgentError {
    let message = error.message.trim();
    let details = error.additional_details.as_deref().unwrap_or_default();
    let message = match (message, details) {
        ("", "") => "the turn failed".to_owned(),
        (message, details) if details.is_empty() || message.contains(details) => message.to_owned(),
        (message, details) if message.is_empty() || message.starts_with(TRIES_AGAIN) => {
            details.to_owned()
        }
        (message, details) => format!("{message}: {details}"),
    };
    AgentError::Provider {
        class: class(error),
        message,
    }
}

/// Whether a failure that Codex would retry is one that no retry mends: the provider does not accept the key.
/// Codex retries 401 and 403 for almost seven seconds.
pub(crate) fn is_hopeless(error: &TurnError) -> bool {
    matches!(
        class(error),
        ErrorClass::Unauthorized | ErrorClass::Forbidden
    )
}

/// What a person reads while Codex tries again. `None` for an answer that broke off: what is shown anew then says so itself.
pub(crate) fn retried(error: &TurnError) -> Option<String> {
    let details = error.additional_details.as_deref();
    let reason = details.unwrap_or(&error.message);
    let what = match (error.http_status(), reason.strip_prefix(GAVE_UP)) {
        (Some(status), _) => format!("answers with HTTP {status}"),
        (None, Some(reason)) if broke(reason) => return None,
        (None, Some(_)) => "reports a failure".to_owned(),
        // Codex 0.169 puts words of its own in the place of what a provider says with HTTP 5xx.
        (None, None) => "fails or can't be reached".to_owned(),
    };
    Some(format!(
        "The model's provider {what}; the request is tried again."
    ))
}

/// Whether a reason is that the connection broke.
fn broke(reason: &str) -> bool {
    BROKE.iter().any(|start| reason.starts_with(start))
}

/// The task's stored sessions can't be used.
pub(crate) fn state_error(error: SessionStoreError) -> AgentError {
    let source =
        std::error::Error::source(&error).map(|source| std::io::Error::other(source.to_string()));
    AgentError::Workspace {
        message: error.to_string(),
        source,
    }
}

/// The process, or the way to it, was lost.
pub(crate) fn lost(why: &ConnectionLost) -> AgentError {
    match why {
        ConnectionLost::Exited {
            status,
            stderr_tail,
        } => AgentError::Exited {
            status: status.to_string(),
            stderr_tail: stderr_tail.clone(),
        },
        other => AgentError::Protocol {
            message: other.to_string(),
        },
    }
}

/// Why a thread could not be opened or a turn not be started.
pub(crate) fn open_error(error: RpcError) -> AgentError {
    match error {
        RpcError::Closed { why, .. } => lost(&why),
        RpcError::Deadline { .. } => AgentError::Provider {
            class: ErrorClass::Timeout,
            message: error.to_string(),
        },
        RpcError::Overloaded { .. } => AgentError::Provider {
            class: ErrorClass::Overloaded,
            message: error.to_string(),
        },
        RpcError::Remote { error, .. } if error.is_about_settings() => AgentError::Request {
            class: ErrorClass::InvalidRequest,
            message: format!(
                "Codex does not take the model's settings: {}",
                error.message
            ),
        },
        error => AgentError::Protocol {
            message: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_codex_calls_other_is_told_by_its_words() {
        for (message, expected) in [
            (
                "stream disconnected before completion: Transport error: network error: x",
                ErrorClass::Network,
            ),
            (
                "stream disconnected before completion: stream closed before response.completed",
                ErrorClass::Network,
            ),
            (
                "stream disconnected before completion: the model failed",
                ErrorClass::Provider,
            ),
            (
                r#"{"error": {"message": "m", "type": "invalid_request_error", "code": null}}"#,
                ErrorClass::InvalidRequest,
            ),
            (
                r#"{"error": {"message": "m", "type": "server_error"}}"#,
                ErrorClass::Provider,
            ),
            ("Transport error", ErrorClass::Provider),
            ("", ErrorClass::Provider),
        ] {
            let error = json!({"message": message, "codexErrorInfo": "other"});
            assert_eq!(
                class(&serde_json::from_value(error).unwrap()),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn the_message_says_what_is_wrong_and_not_that_codex_tries_again() {
        for (message, details, expected) in [
            (
                "Reconnecting... 1/5",
                Some("401 Unauthorized"),
                "401 Unauthorized",
            ),
            ("Reconnecting... 1/5", None, "Reconnecting... 1/5"),
            ("refused", Some("by a filter"), "refused: by a filter"),
            (
                "refused by a filter",
                Some("by a filter"),
                "refused by a filter",
            ),
            ("", Some("by a filter"), "by a filter"),
            ("", None, "the turn failed"),
        ] {
            let error = json!({"message": message, "additionalDetails": details});
            let error = failed(&serde_json::from_value(error).unwrap());
            assert!(
                matches!(&error, AgentError::Provider { message, .. } if message == expected),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_retry_is_told_unless_the_answer_broke_off() {
        let status = json!({"responseStreamDisconnected": {"httpStatusCode": 429}});
        let none = json!({"responseStreamDisconnected": {"httpStatusCode": null}});
        for (info, details, told) in [
            (
                &status,
                "exceeded retry limit",
                Some("answers with HTTP 429"),
            ),
            (
                &none,
                "We’re currently experiencing high demand",
                Some("fails or can't be reached"),
            ),
            (
                &none,
                "stream disconnected before completion: the model failed",
                Some("reports a failure"),
            ),
            (
                &none,
                "stream disconnected before completion: Transport error: x",
                None,
            ),
        ] {
            let error = json!({
                "message": "Reconnecting... 2/5", "codexErrorInfo": info, "additionalDetails": details,
            });
            let text = retried(&serde_json::from_value(error).unwrap());
            match told {
                Some(told) => assert!(text.is_some_and(|text| text.contains(told)), "{details}"),
                None => assert_eq!(text, None, "{details}"),
            }
        }
    }

    #[test]
    fn a_status_goes_before_the_words() {
        let info = json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}});
        let error = json!({"message": "stream disconnected before completion: Transport error", "codexErrorInfo": info});
        assert_eq!(
            class(&serde_json::from_value(error).unwrap()),
            ErrorClass::RateLimited
        );
    }
}
