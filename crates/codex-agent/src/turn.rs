//! One turn on an app-server: its conversation opened (`opening`), started, listened to, and ended (`stopping`).

use std::{pin::pin, time::Duration};

use agent_core::{
    AgentError, AgentEvent, AgentKind, CancelReason, Completed, ErrorClass, Notice, NoticeKind,
    Outcome, Question, Retry, SessionId, SessionRef, SessionStore, StopReason, StopStep, Turn,
    TurnCx, Usage, Workspace,
};
use codex_app_server::{
    Connection, ConnectionLost, RpcError, ThreadEvent, ThreadStream,
    protocol::{
        ErrorNotice, Notification, ServerRequest, ThreadId, TurnEvent, TurnId, TurnStartParams,
        TurnStatus,
    },
};
use tokio::time::{sleep_until, timeout};

use crate::{
    CodexConfig, Deadlines,
    failure::{failed, is_hopeless, retried},
    form,
    input::input,
    launch::{Loaded, Server},
    map::Mapper,
    pausing::Paused,
    questions::Open,
    requests,
    stopping::kill,
    watch::Watchdog,
};

/// From the how manyth error in a row on the person is told that Codex tries again: one soon passes.
const TOLD_FROM_ERROR: u32 = 2;
/// How long a turn that is to be stopped may take to start: only then can it be interrupted.
const START_LIMIT: Duration = Duration::from_millis(700);

/// A turn on its way.
pub(crate) struct Drive<'a> {
    /// What it runs with.
    pub(crate) config: &'a CodexConfig,
    /// What is asked for.
    pub(crate) turn: &'a Turn,
    /// Where it runs.
    pub(crate) workspace: &'a Workspace,
    /// Where events go, and when to stop.
    pub(crate) cx: &'a TurnCx,
}

/// What a turn's end means for the server it ran on.
pub(crate) struct Driven {
    /// How it ended.
    pub(crate) result: Result<Outcome, AgentError>,
    /// Whether the server is fit for another turn.
    pub(crate) reusable: bool,
    /// The turn of Codex's that is still open, and waits for the person.
    pub(crate) paused: Option<Paused>,
}

impl Driven {
    /// A turn that failed, and took its server with it.
    pub(crate) fn failed(error: AgentError) -> Self {
        Self::over(Err(error), false)
    }

    /// A turn that is over, with nothing of Codex's left open.
    pub(crate) fn over(result: Result<Outcome, AgentError>, reusable: bool) -> Self {
        Self {
            result,
            reusable,
            paused: None,
        }
    }
}

/// A turn that Codex works on.
pub(crate) struct Begun {
    pub(crate) connection: Connection,
    pub(crate) loaded: Loaded,
    pub(crate) turn: TurnId,
}

/// What has come of a turn so far, in whichever process.
pub(crate) struct Heard {
    mapper: Mapper,
    watch: Watchdog,
    session_known: bool,
    /// What Codex said last of why it gets nowhere. It goes on trying for ever if the provider can't be reached.
    trouble: Option<AgentError>,
    retry_told: bool,
    /// How often Codex has tried again.
    retries: u32,
}

impl Heard {
    fn new(begun: &Begun, limits: &Deadlines) -> Self {
        let thread = begun.loaded.stream.id().clone();
        Self::with(Mapper::new(thread, begun.turn.clone()), limits)
    }

    /// A turn that goes on after a question. It can't be begun again: what was asked about may be done by then.
    pub(crate) fn taken_up(mapper: Mapper, limits: &Deadlines) -> Self {
        let mut heard = Self::with(mapper, limits);
        heard.watch.tool_called = true;
        heard
    }

    fn with(mapper: Mapper, limits: &Deadlines) -> Self {
        Self {
            mapper,
            watch: Watchdog::new(*limits),
            session_known: false,
            trouble: None,
            retry_told: false,
            retries: 0,
        }
    }

    /// Whether the turn can be begun again in another process without doing or saying anything twice. What was said of an
    /// unfinished message is taken up again, see [`agent_core::void_text`].
    fn can_be_repeated(&self) -> bool {
        !self.watch.repeated && !self.watch.tool_called && self.mapper.final_answer().is_none()
    }

    fn begin_again(&mut self, begun: &Begun) {
        let thread = begun.loaded.stream.id().clone();
        self.mapper.begin_again(thread, begun.turn.clone());
        self.watch.go_on();
    }

    fn stalled(&mut self) -> AgentError {
        self.trouble.take().unwrap_or_else(|| self.watch.stalled())
    }
}

/// Why listening stopped.
enum End {
    /// Codex said that the turn is over.
    Turn(Box<codex_app_server::protocol::Turn>),
    /// Codex asks something that a person has to answer.
    Question(Box<Open>),
    /// The person sees a form of the platform's own tool.
    Form(Question),
    /// The turn was told to stop.
    Cancel(CancelReason),
    /// Waiting on is of no use: the provider does not take the key, or nothing at all has come for too long.
    Hopeless(AgentError),
}

impl Drive<'_> {
    /// Runs the turn on `server`.
    pub(crate) async fn run(&self, server: &mut Server) -> Driven {
        if let Some(driven) = self.take_up(server).await {
            return driven;
        }
        let mut begun = self.begin(server).await;
        // A warm process can have died unnoticed. Nothing of the turn has been seen, so the next process can have it.
        if matches!(begun, Err(Err(AgentError::Exited { .. }))) {
            tracing::warn!("codex was lost before the turn began; it is begun once more");
            begun = self.begin(server).await;
        }
        match begun {
            Ok(begun) => {
                let heard = Heard::new(&begun, &self.config.deadlines);
                self.drive(server, begun, heard).await
            }
            Err(result) => Driven::over(result, false),
        }
    }

    /// Opens the conversation and starts the turn in it. The error is what becomes of a turn that didn't begin.
    async fn begin(&self, server: &mut Server) -> Result<Begun, Result<Outcome, AgentError>> {
        let (connection, loaded) = tokio::select! {
            opened = self.open(server) => opened.map_err(Err)?,
            // A call may be under way whose answer nobody would read: the server is not used again.
            reason = self.cx.cancel.cancelled() => return Err(Ok(cancelled(reason, StopStep::NotStarted, 0, None))),
        };
        let turn = self.start(&connection, loaded.stream.id()).await?;
        Ok(Begun {
            connection,
            loaded,
            turn,
        })
    }

    /// Follows the turn to its end, or to a question; once more in another process if the first is lost before it has done
    /// anything. The conversation stays loaded in a server that is fit for more.
    pub(crate) async fn drive(
        &self,
        server: &mut Server,
        mut begun: Begun,
        mut heard: Heard,
    ) -> Driven {
        let mut end = self.listen(&mut begun, &mut heard).await;
        if let Err(error @ (AgentError::Exited { .. } | AgentError::Protocol { .. })) = &end
            && heard.can_be_repeated()
        {
            tracing::warn!(error = %error.chain(), "codex was lost before it had done anything; the turn is begun again");
            begun = match self.begin(server).await {
                Ok(begun) => begun,
                Err(result) => return Driven::over(result, false),
            };
            heard.begin_again(&begun);
            end = self.listen(&mut begun, &mut heard).await;
        }
        let mut driven = self.finish(&mut begun, heard, end).await;
        if driven.reusable {
            server.loaded = Some(begun.loaded);
        }
        server.paused = driven.paused.take();
        driven
    }

    /// Leaves nothing of the turn running, but where it waits for the person, and says how it ended.
    async fn finish(
        &self,
        begun: &mut Begun,
        heard: Heard,
        end: Result<End, AgentError>,
    ) -> Driven {
        let (connection, stream, turn) = (&begun.connection, &mut begun.loaded.stream, &begun.turn);
        let (thread, mut mapper) = (stream.id().clone(), heard.mapper);
        match end {
            Ok(End::Turn(ended)) => {
                // Sub-agents outlive a turn that failed; after any other they are done.
                let quiet = self.quiet(connection, stream, &mut mapper).await;
                let swept = self.sweep(connection, &thread, &mapper).await;
                Driven::over(self.completed(*ended, mapper, &thread), quiet && swept)
            }
            Ok(End::Question(open)) => self.ask(&thread, turn.clone(), *open, mapper).await,
            Ok(End::Form(question)) => {
                self.leave_to_person(connection, stream, turn, question, mapper)
                    .await
            }
            Ok(End::Cancel(reason)) => {
                let (step, survivors) = self.stop(connection, stream, turn, &mut mapper).await;
                let outcome = cancelled(reason, step, survivors, mapper.usage());
                Driven::over(Ok(outcome), step == StopStep::Protocol)
            }
            Ok(End::Hopeless(error)) => {
                let (step, _) = self.stop(connection, stream, turn, &mut mapper).await;
                Driven::over(Err(error), step == StopStep::Protocol)
            }
            Err(error) => {
                self.sweep(connection, &thread, &mapper).await;
                Driven::failed(error)
            }
        }
    }

    /// Ends what sub-agents still do. True when they do nothing any more.
    async fn quiet(
        &self,
        connection: &Connection,
        stream: &mut ThreadStream,
        mapper: &mut Mapper,
    ) -> bool {
        if mapper.running_subagents().is_empty() {
            return true;
        }
        let (quiet, events) = self.interrupt(connection, stream, None, mapper).await;
        for event in events {
            let _ = self.cx.events.emit(event).await;
        }
        quiet
    }

    /// Starts the turn. A cancel meanwhile waits for Codex's word a little: without the turn's id nothing can be
    /// interrupted, so without it everything of the session is killed.
    async fn start(
        &self,
        connection: &Connection,
        thread: &ThreadId,
    ) -> Result<TurnId, Result<Outcome, AgentError>> {
        let mut params = TurnStartParams::new(thread.clone(), input(self.turn));
        params.model = self.turn.model.model_id.clone();
        let mut starting = pin!(connection.client().turn_start(params));
        let started = tokio::select! {
            started = &mut starting => Ok(started),
            reason = self.cx.cancel.cancelled() => timeout(START_LIMIT, starting).await.map_err(|_| reason),
        };
        match started {
            Ok(started) => started.map_err(|error| Err(open_error(error))),
            Err(reason) => {
                tracing::warn!(
                    "codex did not start the turn in time to be interrupted; its session is killed"
                );
                let survivors = kill(connection).await;
                Err(Ok(cancelled(reason, StopStep::Kill, survivors, None)))
            }
        }
    }

    /// Passes on what happens until the turn ends or is told to.
    async fn listen(&self, begun: &mut Begun, heard: &mut Heard) -> Result<End, AgentError> {
        let (stream, turn) = (&mut begun.loaded.stream, &begun.turn);
        // The end of the turn itself. While a sub-agent works for it, it isn't over.
        let mut ended = None;
        loop {
            if let Some(ended) = ended.take_if(|_| heard.mapper.running_subagents().is_empty()) {
                return Ok(End::Turn(ended));
            }
            let event = tokio::select! {
                biased;
                reason = self.cx.cancel.cancelled() => return Ok(End::Cancel(reason)),
                () = sleep_until(heard.watch.until()) => return Ok(End::Hopeless(heard.stalled())),
                event = stream.next() => event,
            };
            heard.watch.alive();
            let notification = match event {
                ThreadEvent::Notification(notification) => notification,
                ThreadEvent::Request(request) => match self.requested(request).await {
                    Some(end) => return Ok(end),
                    None => continue,
                },
                ThreadEvent::Lost { why } => return Err(lost(&why)),
            };
            match &notification {
                Notification::TurnCompleted(TurnEvent { turn: over, .. }) if over.id == *turn => {
                    let over = Box::new(over.clone());
                    if over.status != TurnStatus::Completed {
                        return Ok(End::Turn(over));
                    }
                    ended = Some(over);
                }
                Notification::Error(notice) if notice.turn_id == *turn => {
                    if let Some(end) = self.trouble(notice, heard).await? {
                        return Ok(end);
                    }
                }
                // The user's message is in the rollout now: from here on the conversation can be resumed.
                Notification::ItemCompleted(_) | Notification::ItemStarted(_)
                    if !heard.session_known =>
                {
                    heard.session_known = true;
                    self.remember(stream.id()).await?;
                }
                _ => {}
            }
            let session = stream.id().to_string();
            if let Err(error) = self.around_edit(&notification, &session).await {
                return Ok(End::Hopeless(error));
            }
            if let Some(question) = form::shown(&notification) {
                heard.mapper.forget(&question.call);
                return Ok(End::Form(question));
            }
            for event in heard.mapper.map(notification) {
                heard.watch.saw(&event);
                self.cx.events.emit(event).await?;
            }
        }
    }

    /// Codex reports an error: it gives up, tries again, or is not let try again where that mends nothing.
    async fn trouble(
        &self,
        notice: &ErrorNotice,
        heard: &mut Heard,
    ) -> Result<Option<End>, AgentError> {
        tracing::warn!(
            error = notice.error.message,
            will_retry = notice.will_retry,
            "codex reports an error"
        );
        if notice.will_retry && is_hopeless(&notice.error) {
            return Ok(Some(End::Hopeless(failed(&notice.error))));
        }
        heard.trouble = Some(failed(&notice.error));
        let in_a_row = heard.watch.trouble();
        if notice.will_retry {
            heard.retries += 1;
            let retry = AgentEvent::Retry(Retry {
                count: heard.retries,
                limit: None,
                error: failed(&notice.error).to_string(),
            });
            self.cx.events.emit(retry).await?;
        }
        if notice.will_retry
            && in_a_row >= TOLD_FROM_ERROR
            && !heard.retry_told
            && let Some(text) = retried(&notice.error)
        {
            heard.retry_told = true;
            let kind = NoticeKind::Warning;
            let notice = AgentEvent::Notice(Notice { kind, text });
            self.cx.events.emit(notice).await?;
        }
        Ok(None)
    }

    /// Answers what Codex asks, unless that is for the person to do or the turn is to stop.
    async fn requested(&self, request: ServerRequest) -> Option<End> {
        let request = match request {
            ServerRequest::Elicitation(ask) if form::is_asked(&ask.params) => {
                return self.let_be_called(ask).await.err().map(End::Cancel);
            }
            request => request,
        };
        let (access, approvals) = (self.config.access, self.config.approvals);
        let open = requests::take(request, access, approvals)?;
        Some(End::Question(Box::new(open)))
    }

    pub(crate) async fn remember(&self, thread: &ThreadId) -> Result<(), AgentError> {
        let Some(session) = session(thread) else {
            return Ok(());
        };
        SessionStore::new(&self.workspace.state)
            .save(self.turn.bot().id.as_deref(), &session)
            .map_err(state_error)?;
        self.cx.events.emit(AgentEvent::Session(session)).await?;
        Ok(())
    }

    fn completed(
        &self,
        ended: codex_app_server::protocol::Turn,
        mapper: Mapper,
        thread: &ThreadId,
    ) -> Result<Outcome, AgentError> {
        match ended.status {
            TurnStatus::Completed => Ok(Outcome::Completed(Completed {
                text: mapper.final_answer().unwrap_or_default().to_owned(),
                stop: StopReason::EndTurn,
                usage: mapper.usage(),
                session: session(thread),
            })),
            TurnStatus::Failed => Err(failed(&ended.error.unwrap_or_default())),
            TurnStatus::Interrupted => Err(AgentError::Provider {
                class: ErrorClass::Agent,
                message: "codex interrupted the turn by itself".to_owned(),
            }),
            status @ (TurnStatus::InProgress | TurnStatus::Unknown(_)) => {
                Err(AgentError::Protocol {
                    message: format!("a completed turn has status `{}`", status.as_str()),
                })
            }
        }
    }
}

/// The conversation, for a later turn.
pub(crate) fn session(thread: &ThreadId) -> Option<SessionRef> {
    let id = SessionId::new(thread.as_str()).ok()?;
    Some(SessionRef {
        agent: AgentKind::Codex,
        id,
    })
}

pub(crate) fn cancelled(
    reason: CancelReason,
    stopped_by: StopStep,
    survivors: u32,
    usage: Option<Usage>,
) -> Outcome {
    Outcome::Cancelled {
        reason,
        stopped_by,
        survivors,
        usage,
    }
}

pub(crate) fn state_error(error: agent_core::SessionStoreError) -> AgentError {
    let source =
        std::error::Error::source(&error).map(|source| std::io::Error::other(source.to_string()));
    AgentError::Workspace {
        message: error.to_string(),
        source,
    }
}

fn lost(why: &ConnectionLost) -> AgentError {
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
