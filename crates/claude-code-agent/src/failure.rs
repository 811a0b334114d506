//! Why a turn failed, in the terms every agent shares. By types and numbers, never by the words of a message.

use agent_core::{AgentError, ErrorClass, Limit};

use crate::protocol::{AssistantError, TerminalReason, TurnResult};

/// What the last `assistant` line said about the API's failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Its kind.
    pub(crate) error: Option<AssistantError>,
    /// The failure of the connection.
    pub(crate) connection: bool,
}

/// The class of a failed turn.
pub(crate) fn class(result: &TurnResult, reported: &Reported) -> ErrorClass {
    if limit(result).is_some() {
        return ErrorClass::Limit;
    }
    if result.terminal_reason == Some(TerminalReason::PromptTooLong) {
        return ErrorClass::ContextLength;
    }
    if result.stop_reason.as_deref() == Some("refusal") {
        return ErrorClass::ContentFilter;
    }
    if result.api_error.is_some() || reported.connection {
        return ErrorClass::Network;
    }
    match (reported.error, result.api_error_status) {
        (Some(AssistantError::BillingError), _) => ErrorClass::QuotaExceeded,
        (Some(AssistantError::ModelNotFound), _) => ErrorClass::ModelUnavailable,
        (Some(AssistantError::MaxOutputTokens), _) => ErrorClass::InvalidRequest,
        (_, Some(status)) => class_of_status(status),
        (Some(AssistantError::AuthenticationFailed), None) => ErrorClass::Unauthorized,
        (Some(AssistantError::RateLimit), None) => ErrorClass::RateLimited,
        (Some(AssistantError::Overloaded), None) => ErrorClass::Overloaded,
        (Some(AssistantError::InvalidRequest), None) => ErrorClass::InvalidRequest,
        // No status: nothing answered. 2.1.197 says no more about a broken connection.
        (Some(AssistantError::ServerError), None) => ErrorClass::Network,
        (Some(AssistantError::Unknown) | None, None) => ErrorClass::Provider,
    }
}

fn class_of_status(status: u16) -> ErrorClass {
    match status {
        400 | 404 | 413 | 422 => ErrorClass::InvalidRequest,
        401 => ErrorClass::Unauthorized,
        402 => ErrorClass::QuotaExceeded,
        403 => ErrorClass::Forbidden,
        408 | 504 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimited,
        // A gateway that can't reach what is behind it; our own proxy says so of the API.
        502 => ErrorClass::Network,
        503 | 529 => ErrorClass::Overloaded,
        _ => ErrorClass::Provider,
    }
}

/// The turn's failure as an agent error.
pub(crate) fn failed(result: &TurnResult, reported: &Reported) -> AgentError {
    let prose = result
        .result
        .clone()
        .filter(|text| !text.trim().is_empty())
        .or_else(|| (!result.errors.is_empty()).then(|| result.errors.join("; ")))
        .unwrap_or_else(|| format!("the turn failed ({})", result.subtype));
    match limit(result) {
        Some(limit) => AgentError::Limit {
            limit,
            message: prose,
        },
        None => AgentError::Provider {
            class: class(result, reported),
            message: prose,
        },
    }
}

/// The limit at which the CLI itself has ended the turn. Older CLIs say so in the subtype only.
fn limit(result: &TurnResult) -> Option<Limit> {
    match (result.terminal_reason, result.subtype.as_str()) {
        (Some(TerminalReason::MaxTurns), _) | (_, "error_max_turns") => Some(Limit::Turns),
        (Some(TerminalReason::BudgetExhausted), _) | (_, "error_max_budget_usd") => {
            Some(Limit::Cost)
        }
        _ => None,
    }
}

/// Whether the CLI itself stumbled over an answer: a failure of no known kind, without any HTTP status. Such a turn is
/// worth another try in the same conversation.
pub(crate) fn is_transient_bug(result: &TurnResult, reported: &Reported) -> bool {
    result.is_error
        && !result.is_aborted()
        && result.stop_reason.as_deref() != Some("refusal")
        && reported.error == Some(AssistantError::Unknown)
        && !reported.connection
        && result.api_error.is_none()
        && result.api_error_status.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_failure_is_its_class() {
        use AssistantError as Error;
        for (error, status, expected) in [
            (
                Some(Error::AuthenticationFailed),
                Some(401),
                ErrorClass::Unauthorized,
            ),
            (
                Some(Error::AuthenticationFailed),
                Some(403),
                ErrorClass::Forbidden,
            ),
            (
                Some(Error::AuthenticationFailed),
                None,
                ErrorClass::Unauthorized,
            ),
            (Some(Error::RateLimit), Some(429), ErrorClass::RateLimited),
            (Some(Error::ServerError), Some(529), ErrorClass::Overloaded),
            (Some(Error::ServerError), Some(500), ErrorClass::Provider),
            (Some(Error::ServerError), Some(502), ErrorClass::Network),
            (Some(Error::ServerError), None, ErrorClass::Network),
            (
                Some(Error::ModelNotFound),
                Some(404),
                ErrorClass::ModelUnavailable,
            ),
            (
                Some(Error::InvalidRequest),
                Some(413),
                ErrorClass::InvalidRequest,
            ),
            (Some(Error::Unknown), Some(400), ErrorClass::InvalidRequest),
            (None, None, ErrorClass::Provider),
        ] {
            let result = TurnResult {
                api_error_status: status,
                ..TurnResult::default()
            };
            let reported = Reported {
                error,
                connection: false,
            };
            assert_eq!(class(&result, &reported), expected, "{error:?} {status:?}");
        }
    }

    #[test]
    fn a_refusal_is_the_contents_fault() {
        let result = TurnResult {
            stop_reason: Some("refusal".into()),
            ..TurnResult::default()
        };
        let reported = Reported {
            error: Some(AssistantError::InvalidRequest),
            connection: false,
        };
        assert_eq!(class(&result, &reported), ErrorClass::ContentFilter);
        assert!(!is_transient_bug(&result, &reported));
    }
}
