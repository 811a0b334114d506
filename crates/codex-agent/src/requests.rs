//! What Codex asks us while a turn runs.
//!
//! Turns run with approval policy `never`, so nothing should be asked. A request that comes all the same must be answered
//! at once, or the turn would hang for ever: in full access it is granted, else declined. Questions to the person have
//! nobody to answer them here; the model is told so and goes on.

use codex_app_server::protocol::{
    ApprovalDecision, ElicitationAction, ElicitationAnswer, GrantScope, PermissionsAnswer,
    ServerRequest,
};

use crate::thread_config::Access;

/// Answers a request of Codex's.
pub(crate) fn answer(request: ServerRequest, access: Access) {
    tracing::info!(method = request.method(), ?access, "codex asks");
    let full = access == Access::Full;
    let decision = if full {
        ApprovalDecision::Accept
    } else {
        ApprovalDecision::Decline
    };
    match request {
        ServerRequest::CommandApproval(ask) => ask.answer(&decision.into()),
        ServerRequest::FileChangeApproval(ask) => ask.answer(&decision.into()),
        ServerRequest::PermissionsApproval(ask) => {
            let granted = if full {
                PermissionsAnswer {
                    permissions: ask.params.permissions.clone(),
                    scope: GrantScope::Turn,
                }
            } else {
                PermissionsAnswer::nothing()
            };
            ask.answer(&granted);
        }
        ServerRequest::Elicitation(ask) => {
            // A tool call may be granted; a form has nobody to fill it in.
            let granted = full && ask.params.tool_call().is_some();
            let action = if granted {
                ElicitationAction::Accept
            } else {
                ElicitationAction::Decline
            };
            ask.answer(&ElicitationAnswer::plain(action));
        }
        request @ (ServerRequest::UserInput(_)
        | ServerRequest::ToolCall(_)
        | ServerRequest::CurrentTime(_)) => {
            request.refuse("nobody is there to answer this");
        }
    }
}
