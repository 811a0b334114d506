//! A question on the app-server: from the thread's opening to the turn's end.

mod approvals;
mod items;

use std::{path::PathBuf, time::Duration};

use codex_app_server::{
    Client, ThreadEvent, ThreadStream,
    protocol::{
        ApprovalPolicy, Notification, ReasoningSummary, SandboxMode, ThreadItem, ThreadOpened,
        ThreadResumeParams, ThreadStartParams, Turn, TurnId, TurnStartParams, TurnStatus,
        UserInput,
    },
};
use host::error_chain;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    config::{Access, Config},
    protocol::{Decision, Event, LossReason, Outcome, Settings, Usage},
    sessions::{Job, Session},
};
use approvals::Approvals;

/// How long Codex may take to end a turn that it was told to end. It takes 10 ms.
const INTERRUPT: Duration = Duration::from_secs(5);

/// The variable by which Codex tells its tools which conversation they belong to.
const TOOL_OF: &str = "CODEX_THREAD_ID";

/// How a question ended, and what it took.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Option<Usage>,
    pub(crate) codex_ms: Option<u64>,
    /// Codex was told to end the turn and didn't: it may still be at it.
    pub(crate) disobeyed: bool,
}

impl End {
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            usage: None,
            codex_ms: None,
            disobeyed: false,
        }
    }

    pub(crate) fn failed(error: impl Into<String>) -> Self {
        Self::of(Outcome::Failed {
            error: error.into(),
        })
    }

    fn lost(error: impl Into<String>) -> Self {
        Self::of(Outcome::Lost {
            what: LossReason::AppServer,
            error: error.into(),
        })
    }
}

/// A thread that Codex has loaded and that we listen to.
pub(crate) struct Loaded {
    pub(crate) stream: ThreadStream,
    /// The process it is loaded in, by its generation.
    pub(crate) generation: u64,
}

/// How a session's thread is opened.
fn sandbox(access: Access) -> (SandboxMode, ApprovalPolicy) {
    match access {
        Access::ReadOnly => (SandboxMode::ReadOnly, ApprovalPolicy::OnRequest),
        Access::WorkspaceWrite => (SandboxMode::WorkspaceWrite, ApprovalPolicy::OnRequest),
        Access::Full => (SandboxMode::DangerFullAccess, ApprovalPolicy::Never),
    }
}

/// Opens the session's conversation: the stored one, or a new one if there is none (any more).
pub(crate) async fn open(
    client: &Client,
    session: &Session,
    access: Access,
    job: &Job,
) -> Result<ThreadStream, String> {
    let record = session.record();
    let (sandbox, policy) = sandbox(access);
    if let Some(thread) = record.thread {
        let resume = ThreadResumeParams {
            exclude_turns: true,
            cwd: Some(record.cwd.clone()),
            sandbox: Some(sandbox),
            approval_policy: Some(policy.clone()),
            ..ThreadResumeParams::new(thread)
        };
        match client.thread_resume(resume).await {
            Ok((_, stream)) => return Ok(stream),
            Err(error) if error.is_thread_unknown() => session.ring.push(Event::Notice {
                ask: Some(job.ask.clone()),
                text: "the earlier conversation is no longer there; a new one begins".to_owned(),
            }),
            Err(error) => return Err(error_chain(&error)),
        }
    }
    let start = ThreadStartParams {
        cwd: Some(record.cwd),
        model: record.settings.model,
        sandbox: Some(sandbox),
        approval_policy: Some(policy),
        ..ThreadStartParams::default()
    };
    let (opened, stream) = client
        .thread_start(start)
        .await
        .map_err(|error| error_chain(&error))?;
    remember(session, &opened);
    Ok(stream)
}

fn remember(session: &Session, opened: &ThreadOpened) {
    session.change(|record| {
        record.thread = Some(opened.thread.id.clone());
        record.rollout.clone_from(&opened.thread.path);
    });
}

fn start_params(stream: &ThreadStream, settings: &Settings, job: &Job) -> TurnStartParams {
    let summary = if settings.reasoning {
        ReasoningSummary::Auto
    } else {
        ReasoningSummary::None
    };
    TurnStartParams {
        model: settings.model.clone(),
        effort: settings.effort.clone(),
        summary: Some(summary),
        ..TurnStartParams::new(stream.id().clone(), vec![UserInput::text(&job.question)])
    }
}

/// One turn as it goes on.
pub(crate) struct Drive<'a> {
    pub(crate) config: &'a Config,
    pub(crate) session: &'a Session,
    pub(crate) client: &'a Client,
    pub(crate) job: &'a Job,
    pub(crate) decisions: &'a mut mpsc::Receiver<(String, Decision)>,
}

/// What has been heard of a turn.
struct Heard {
    settings: Settings,
    approvals: Approvals,
    /// The message being written: void if another begins before it is whole.
    open: Option<String>,
    /// The last message that was completed.
    answer: String,
    usage: Option<Usage>,
}

impl Drive<'_> {
    /// Runs the question to its end.
    pub(crate) async fn run(mut self, stream: &mut ThreadStream) -> End {
        let settings = self.session.settings();
        let params = start_params(stream, &settings, self.job);
        let turn = match self.client.turn_start(params).await {
            Ok(turn) => turn,
            Err(error @ codex_app_server::RpcError::Closed { .. }) => {
                return End::lost(error_chain(&error));
            }
            Err(error) => return End::failed(error_chain(&error)),
        };
        let mut heard = Heard {
            settings,
            approvals: Approvals::new(self.config),
            open: None,
            answer: String::new(),
            usage: None,
        };
        let end = self.listen(stream, &turn, &mut heard).await;
        heard.approvals.turn_ended(self.session);
        End {
            usage: heard.usage,
            ..end
        }
    }

    async fn listen(&mut self, stream: &mut ThreadStream, turn: &TurnId, heard: &mut Heard) -> End {
        loop {
            tokio::select! {
                event = stream.next() => {
                    if let Some(end) = self.hear(event, turn, heard) {
                        return end;
                    }
                }
                Some((approval, decision)) = self.decisions.recv() => {
                    heard.approvals.decided(self.session, &approval, decision);
                }
                () = heard.approvals.deadline() => heard.approvals.expire(self.session),
                () = self.job.cancel.cancelled() => return self.interrupt(stream, turn, heard).await,
            }
        }
    }

    /// Takes one event; the end if it was that.
    fn hear(&self, event: ThreadEvent, turn: &TurnId, heard: &mut Heard) -> Option<End> {
        match event {
            ThreadEvent::Lost { why } => Some(End::lost(error_chain(&*why))),
            ThreadEvent::Request(request) => {
                heard.approvals.asked(self.session, self.job, request);
                None
            }
            ThreadEvent::Notification(Notification::TurnCompleted(over)) => {
                (over.turn.id == *turn).then(|| ended(&over.turn, heard))
            }
            ThreadEvent::Notification(notification) => {
                self.notified(notification, heard);
                None
            }
        }
    }

    fn say(&self, event: Event) {
        self.session.ring.push(event);
    }

    fn notified(&self, notification: Notification, heard: &mut Heard) {
        let ask = self.job.ask.clone();
        match notification {
            Notification::AgentMessageDelta(delta) if !heard.settings.final_only => {
                self.say(Event::Delta {
                    ask,
                    message: delta.item_id.to_string(),
                    text: delta.delta,
                });
            }
            Notification::ReasoningSummaryDelta(delta) if heard.settings.reasoning => {
                self.say(Event::Reasoning {
                    ask,
                    text: delta.delta,
                });
            }
            Notification::ReasoningSummaryPart(part)
                if heard.settings.reasoning && part.summary_index > 0 =>
            {
                self.say(Event::Reasoning {
                    ask,
                    text: "\n\n".to_owned(),
                });
            }
            Notification::ItemStarted(event) => self.item(&event.item, heard, false),
            Notification::ItemCompleted(event) => self.item(&event.item, heard, true),
            Notification::TokenUsageUpdated(update) => {
                let total = heard.usage.get_or_insert_default();
                total.input += update.token_usage.last.input_tokens;
                total.cached += update.token_usage.last.cached_input_tokens;
                total.output += update.token_usage.last.output_tokens;
            }
            Notification::Error(error) if error.will_retry => self.say(Event::Notice {
                ask: Some(ask),
                text: error.error.message,
            }),
            Notification::RequestResolved(resolved) => {
                heard.approvals.resolved(self.session, &resolved.request_id);
            }
            other => tracing::trace!(method = other.method(), "not shown"),
        }
    }

    fn item(&self, item: &ThreadItem, heard: &mut Heard, completed: bool) {
        if let ThreadItem::AgentMessage(message) = item {
            let id = message.id.to_string();
            if completed {
                heard.open = None;
                heard.answer.clone_from(&message.text);
            } else if let Some(void) = heard.open.replace(id)
                && !heard.settings.final_only
            {
                let ask = self.job.ask.clone();
                self.say(Event::Void { ask, message: void });
            }
            return;
        }
        if heard.settings.final_only {
            return;
        }
        if let Some(event) = items::tool(&self.job.ask, item, completed) {
            self.say(event);
        }
    }

    /// Ends the turn, and the commands it left running.
    async fn interrupt(&self, stream: &mut ThreadStream, turn: &TurnId, heard: &mut Heard) -> End {
        heard.approvals.turn_ended(self.session);
        let over = async {
            self.client.turn_interrupt(stream.id(), turn).await.ok()?;
            loop {
                if let Some(end) = self.hear(stream.next().await, turn, heard) {
                    return Some(end);
                }
            }
        };
        let over = timeout(INTERRUPT, over).await;
        let thread = stream.id().clone();
        if let Err(error) = self.client.background_terminals_clean(&thread).await {
            tracing::debug!(%error, "background terminals were not ended");
        }
        // A command that was just being started when the interrupt came is in no list of Codex's, and would go on.
        let left = supervisor::end_with_variable(TOOL_OF, thread.as_str()).await;
        if left.ended > 0 {
            tracing::debug!(ended = left.ended, "ended what codex had left running");
        }
        match over {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => End {
                disobeyed: true,
                ..End::of(Outcome::Interrupted)
            },
        }
    }
}

fn ended(turn: &Turn, heard: &Heard) -> End {
    let outcome = match turn.status {
        TurnStatus::Completed => Outcome::Completed {
            text: heard.answer.clone(),
        },
        TurnStatus::Interrupted => Outcome::Interrupted,
        TurnStatus::Failed | TurnStatus::InProgress | TurnStatus::Unknown(_) => Outcome::Failed {
            error: turn.error.as_ref().map_or_else(
                || "codex does not say why".to_owned(),
                |error| error.message.clone(),
            ),
        },
    };
    End {
        codex_ms: turn.duration_ms,
        ..End::of(outcome)
    }
}

/// Starts a session's conversation as a copy of another's. Answers Codex's name for it and its file.
pub(crate) async fn fork(
    client: &Client,
    thread: &codex_app_server::protocol::ThreadId,
) -> Result<(codex_app_server::protocol::ThreadId, Option<PathBuf>), codex_app_server::RpcError> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Fork<'a> {
        thread_id: &'a codex_app_server::protocol::ThreadId,
        exclude_turns: bool,
    }
    let params = Fork {
        thread_id: thread,
        exclude_turns: true,
    };
    let opened: ThreadOpened = client
        .call("thread/fork", &params, Duration::from_secs(60))
        .await?;
    Ok((opened.thread.id, opened.thread.path))
}
