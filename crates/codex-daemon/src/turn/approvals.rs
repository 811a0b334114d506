//! Permissions: asked of whoever is attached, answered by a client, by the deadline, or because nobody is there.

use std::{collections::BTreeMap, time::Duration};

use codex_app_server::{
    RequestId,
    protocol::{
        ApprovalDecision, Ask, CommandApproval, Elicitation, ElicitationAction, ElicitationAnswer,
        FileChangeApproval, GrantScope, PermissionsAnswer, PermissionsApproval, ServerRequest,
        UserInputAnswer,
    },
};
use tokio::time::{Instant, sleep_until};

use crate::{
    config::Config,
    protocol::{ApprovalKind, Decision, Event, SettledBy},
    sessions::{Job, Session, now},
};

/// A request of Codex that waits for its answer.
enum Pending {
    Command(Ask<CommandApproval>),
    Patch(Ask<FileChangeApproval>),
    Mcp(Ask<Elicitation>),
    Permissions(Ask<PermissionsApproval>),
}

/// The permissions that a turn waits for.
pub(super) struct Approvals {
    wait: Duration,
    default: Decision,
    pending: BTreeMap<String, (Instant, Pending)>,
}

impl Approvals {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            wait: config.approval_timeout,
            default: config.approval_default,
            pending: BTreeMap::new(),
        }
    }

    /// Codex asks something.
    pub(super) fn asked(&mut self, session: &Session, job: &Job, request: ServerRequest) {
        let pending = match request {
            ServerRequest::CommandApproval(ask) => Pending::Command(ask),
            ServerRequest::FileChangeApproval(ask) => Pending::Patch(ask),
            ServerRequest::PermissionsApproval(ask) => Pending::Permissions(ask),
            ServerRequest::Elicitation(ask) if ask.params.tool_call().is_some() => {
                Pending::Mcp(ask)
            }
            ServerRequest::Elicitation(ask) => {
                return ask.answer(&ElicitationAnswer::plain(ElicitationAction::Decline));
            }
            ServerRequest::UserInput(ask) => return ask.answer(&UserInputAnswer::default()),
            other => return other.refuse("nobody is here to answer this"),
        };
        let approval = uuid::Uuid::now_v7().to_string();
        let event = pending.event(job, &approval, self.default, self.wait);
        session.await_approval(approval.clone(), event);
        let deadline = Instant::now() + self.wait;
        self.pending.insert(approval.clone(), (deadline, pending));
        if !session.somebody_is_there() {
            self.settle(session, &approval, self.default, SettledBy::NobodyAttached);
        }
    }

    /// A client answered.
    pub(super) fn decided(&mut self, session: &Session, approval: &str, decision: Decision) {
        self.settle(session, approval, decision, SettledBy::Client);
    }

    /// Waits for the next deadline; for ever if there is none.
    pub(super) async fn deadline(&self) {
        match self.pending.values().map(|(deadline, _)| *deadline).min() {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Answers what has waited long enough.
    pub(super) fn expire(&mut self, session: &Session) {
        let now = Instant::now();
        let over: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, (deadline, _))| *deadline <= now)
            .map(|(approval, _)| approval.clone())
            .collect();
        for approval in over {
            self.settle(session, &approval, self.default, SettledBy::Deadline);
        }
    }

    /// Codex no longer waits for this one.
    pub(super) fn resolved(&mut self, session: &Session, request: &RequestId) {
        let found = self
            .pending
            .iter()
            .find(|(_, (_, pending))| pending.request() == request)
            .map(|(approval, _)| approval.clone());
        if let Some(approval) = found {
            self.pending.remove(&approval);
            tell(session, approval, Decision::Cancel, SettledBy::TurnEnded);
        }
    }

    /// Nothing is waited for any more.
    pub(super) fn turn_ended(&mut self, session: &Session) {
        for (approval, (_, pending)) in std::mem::take(&mut self.pending) {
            pending.answer(Decision::Cancel);
            tell(session, approval, Decision::Cancel, SettledBy::TurnEnded);
        }
    }

    fn settle(&mut self, session: &Session, approval: &str, decision: Decision, by: SettledBy) {
        if let Some((_, pending)) = self.pending.remove(approval) {
            pending.answer(decision);
            tell(session, approval.to_owned(), decision, by);
        }
    }
}

fn tell(session: &Session, approval: String, decision: Decision, by: SettledBy) {
    let event = Event::Settled {
        approval: approval.clone(),
        decision,
        by,
    };
    session.settle(&approval, event);
}

impl Pending {
    fn request(&self) -> &RequestId {
        match self {
            Self::Command(ask) => ask.id(),
            Self::Patch(ask) => ask.id(),
            Self::Mcp(ask) => ask.id(),
            Self::Permissions(ask) => ask.id(),
        }
    }

    fn event(&self, job: &Job, approval: &str, default: Decision, wait: Duration) -> Event {
        let (kind, title, cwd, reason) = match self {
            Self::Command(ask) => (
                ApprovalKind::Command,
                ask.params.command.clone().unwrap_or_default(),
                ask.params.cwd.clone(),
                ask.params.reason.clone(),
            ),
            Self::Patch(ask) => (
                ApprovalKind::Patch,
                "change files".to_owned(),
                ask.params.grant_root.clone(),
                ask.params.reason.clone(),
            ),
            Self::Mcp(ask) => {
                let tool = ask.params.tool_call().unwrap_or_default();
                let title = format!("{}.{tool}", ask.params.server_name);
                let message = Some(ask.params.message.clone());
                (ApprovalKind::Mcp, title, None, message)
            }
            Self::Permissions(ask) => (
                ApprovalKind::Permissions,
                ask.params.permissions.get().to_owned(),
                ask.params.cwd.clone(),
                ask.params.reason.clone(),
            ),
        };
        Event::Approval {
            ask: job.ask.clone(),
            approval: approval.to_owned(),
            kind,
            title,
            cwd,
            reason,
            default,
            deadline: now() + wait.as_secs(),
        }
    }

    fn answer(self, decision: Decision) {
        match self {
            Self::Command(ask) => ask.answer(&plain(decision).into()),
            Self::Patch(ask) => ask.answer(&plain(decision).into()),
            Self::Mcp(ask) => ask.answer(&ElicitationAnswer::plain(match decision {
                Decision::Accept | Decision::AcceptForSession => ElicitationAction::Accept,
                Decision::Decline => ElicitationAction::Decline,
                Decision::Cancel => ElicitationAction::Cancel,
            })),
            Self::Permissions(ask) => {
                let scope = match decision {
                    Decision::Accept => GrantScope::Turn,
                    Decision::AcceptForSession => GrantScope::Session,
                    Decision::Decline | Decision::Cancel => {
                        return ask.answer(&PermissionsAnswer::nothing());
                    }
                };
                let permissions = ask.params.permissions.clone();
                ask.answer(&PermissionsAnswer { permissions, scope });
            }
        }
    }
}

fn plain(decision: Decision) -> ApprovalDecision {
    match decision {
        Decision::Accept => ApprovalDecision::Accept,
        Decision::AcceptForSession => ApprovalDecision::AcceptForSession,
        Decision::Decline => ApprovalDecision::Decline,
        Decision::Cancel => ApprovalDecision::Cancel,
    }
}
