//! Kinds of failure, in the names that Wegent's interface understands.

use agent_core::{ErrorClass, Limit};

/// The `error.code` for a kind of failure.
///
/// Wegent's backend passes the code on as the error's type; its interface chooses the error card by it.
/// The names are those of Wegent's own error classifier, but for `executor_restarted`, `limit_reached` and
/// `workspace_unsupported`, which have no counterpart there and are shown as general errors with our message.
///
/// Two choices follow what Wegent's classifier does with the same failure: a key that the provider
/// refuses is `forbidden`, and an overloaded provider is `model_unavailable`.
///
/// ```
/// use agent_core::ErrorClass;
/// assert_eq!(wegent_protocol::ui_code(ErrorClass::RateLimited), "rate_limit");
/// ```
pub fn ui_code(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::InvalidRequest => "invalid_parameter",
        ErrorClass::Unsupported => "llm_unsupported",
        ErrorClass::ModelProtocol => "model_protocol_error",
        ErrorClass::WorkspaceUnsupported => WORKSPACE_UNSUPPORTED,
        ErrorClass::Unauthorized | ErrorClass::Forbidden => "forbidden",
        ErrorClass::RateLimited => "rate_limit",
        ErrorClass::QuotaExceeded => "quota_exceeded",
        ErrorClass::ModelUnavailable | ErrorClass::Overloaded => "model_unavailable",
        ErrorClass::ContextLength => "context_length_exceeded",
        ErrorClass::ContentFilter => "content_filter",
        ErrorClass::Provider => "provider_error",
        ErrorClass::Network => "network_error",
        ErrorClass::Timeout => "timeout_error",
        ErrorClass::Workspace | ErrorClass::Agent => "container_error",
        ErrorClass::Restarted => EXECUTOR_RESTARTED,
        // Each limit has a code of its own, see [`limit_code`].
        ErrorClass::Limit => LIMIT_REACHED,
        ErrorClass::Internal => "generic_error",
    }
}

/// The code of a turn that was found open when the executor started again.
pub const EXECUTOR_RESTARTED: &str = "executor_restarted";

/// The code of a turn that has used as much of something as it may, where nobody says of what.
const LIMIT_REACHED: &str = "limit_reached";

/// The code of a turn that a limit has ended. No names of Wegent's own: those would blame the provider.
pub fn limit_code(limit: Limit) -> &'static str {
    match limit {
        Limit::WallTime => "limit_wall_time",
        Limit::Turns => "limit_turns",
        Limit::Tokens => "limit_tokens",
        Limit::Cost => "limit_cost",
        Limit::IdleTime => "limit_idle_time",
        Limit::Output => "limit_output",
        Limit::Questions => "limit_questions",
    }
}

/// The code of a turn that needs something of the workspace that this executor can't prepare, such as
/// a repository or a required skill. No name of Wegent's own: each of those would blame somebody else.
pub const WORKSPACE_UNSUPPORTED: &str = "workspace_unsupported";

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of Wegent's error classifier.
    const KNOWN: [&str; 19] = [
        "context_length_exceeded",
        "quota_exceeded",
        "rate_limit",
        "model_unavailable",
        "container_oom",
        "container_error",
        "network_error",
        "timeout_error",
        "llm_unsupported",
        "forbidden",
        "payload_too_large",
        "invalid_parameter",
        "content_filter",
        "provider_error",
        "image_too_large",
        "model_protocol_error",
        "invalid_role",
        "permission_denied",
        "generic_error",
    ];

    const CLASSES: [ErrorClass; 20] = [
        ErrorClass::InvalidRequest,
        ErrorClass::Unsupported,
        ErrorClass::ModelProtocol,
        ErrorClass::WorkspaceUnsupported,
        ErrorClass::Unauthorized,
        ErrorClass::Forbidden,
        ErrorClass::RateLimited,
        ErrorClass::QuotaExceeded,
        ErrorClass::ModelUnavailable,
        ErrorClass::ContextLength,
        ErrorClass::ContentFilter,
        ErrorClass::Provider,
        ErrorClass::Overloaded,
        ErrorClass::Network,
        ErrorClass::Timeout,
        ErrorClass::Workspace,
        ErrorClass::Agent,
        ErrorClass::Restarted,
        ErrorClass::Limit,
        ErrorClass::Internal,
    ];

    #[test]
    fn every_code_is_one_that_the_interface_knows_or_one_of_our_own() {
        for class in CLASSES {
            let code = ui_code(class);
            assert!(
                KNOWN.contains(&code)
                    || (class == ErrorClass::Restarted && code == EXECUTOR_RESTARTED)
                    || (class == ErrorClass::Limit && code == LIMIT_REACHED)
                    || (class == ErrorClass::WorkspaceUnsupported && code == WORKSPACE_UNSUPPORTED),
                "{class:?} is sent as `{code}`"
            );
        }
    }
}
