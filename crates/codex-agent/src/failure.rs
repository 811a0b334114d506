//! Why a Codex turn failed, in the terms every agent shares.

use agent_core::{AgentError, ErrorClass};
use codex_app_server::protocol::{CodexErrorKind, TurnError};

/// The class of a turn's error. Codex names the kind for most; for the rest the provider's HTTP status tells.
pub(crate) fn class(error: &TurnError) -> ErrorClass {
    use CodexErrorKind as Kind;
    let by_status = || {
        error
            .http_status()
            .map_or(ErrorClass::Provider, class_of_status)
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

/// The turn's failure as an agent error. Codex's message can hold a URL and a body; the redactor sees it before anyone.
pub(crate) fn failed(error: &TurnError) -> AgentError {
    let mut message = if error.message.trim().is_empty() {
        "the turn failed".to_owned()
    } else {
        error.message.clone()
    };
    if let Some(details) = error
        .additional_details
        .as_deref()
        .filter(|details| !message.contains(details))
    {
        message.push_str(": ");
        message.push_str(details);
    }
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
