//! What Codex asks us while a turn runs.
//!
//! Every request has to be answered, or its turn would hang for ever. With [`Approvals::Never`] nothing should be asked;
//! a request for a permission that comes all the same is answered at once: in full access it is granted, else declined.
//! What only a person can know is asked of the person in any case.

use codex_app_server::protocol::{
    ApprovalDecision, ApprovalPolicy, ElicitationAction, ElicitationAnswer, GrantScope,
    GranularApproval, PermissionsAnswer, ServerRequest,
};

use crate::{questions::Open, thread_config::Access};

/// When the person is asked whether the agent may do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approvals {
    /// Never: what the sandbox forbids fails.
    #[default]
    Never,
    /// When the model wants more than the sandbox allows, and before MCP tools that may change something.
    OnRequest,
    /// Before everything but what is known to be harmless.
    Untrusted,
}

impl Approvals {
    /// The policy in Codex's words. An MCP server can ask the person in any case.
    pub(crate) fn policy(self, has_servers: bool) -> ApprovalPolicy {
        match self {
            Self::Never if has_servers => ApprovalPolicy::Granular(GranularApproval {
                mcp_elicitations: true,
                ..GranularApproval::default()
            }),
            Self::Never => ApprovalPolicy::Never,
            Self::OnRequest => ApprovalPolicy::OnRequest,
            Self::Untrusted => ApprovalPolicy::Untrusted,
        }
    }

    /// Whether anybody is asked anything.
    pub(crate) fn asks(self) -> bool {
        self != Self::Never
    }
}

/// Answers a request of Codex's, unless it is to be asked of the person.
pub(crate) fn take(request: ServerRequest, access: Access, approvals: Approvals) -> Option<Open> {
    tracing::info!(method = request.method(), ?access, ?approvals, "codex asks");
    match Open::new(request) {
        Ok(open @ (Open::UserInput(_) | Open::Elicitation(_))) => Some(open),
        Ok(open) if approvals.asks() => Some(open),
        Ok(open) => {
            settle(open, access);
            None
        }
        Err(request) => {
            request.refuse("nobody is there to answer this");
            None
        }
    }
}

/// Answers what nobody will be asked any more: a permission as the access has it, anything else with a no.
pub(crate) fn settle(open: Open, access: Access) {
    let full = access == Access::Full;
    let decision = if full {
        ApprovalDecision::Accept
    } else {
        ApprovalDecision::Decline
    };
    match open {
        Open::Command(ask) => ask.answer(&decision.into()),
        Open::FileChange(ask) => ask.answer(&decision.into()),
        Open::Permissions(ask) => {
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
        Open::McpTool(ask) => ask.answer(&ElicitationAnswer::plain(if full {
            ElicitationAction::Accept
        } else {
            ElicitationAction::Decline
        })),
        Open::Elicitation(ask) => {
            ask.answer(&ElicitationAnswer::plain(ElicitationAction::Decline));
        }
        Open::UserInput(ask) => ask.refuse("nobody is there to answer this"),
    }
}
