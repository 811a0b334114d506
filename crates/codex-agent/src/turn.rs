//! One turn on an app-server: its conversation opened (`opening`), started, listened to, and ended (`stopping`).

use std::{pin::pin, time::Duration};

use agent_core::{
    AgentError, AgentEvent, AgentKind, CancelReason, Completed, ErrorClass, FileChanges, Outcome,
    Phase, PromptPart, SessionId, SessionRef, SessionStore, StopReason, StopStep, Turn, TurnCx,
    Usage, Workspace,
};
use codex_app_server::{
    Connection, ConnectionLost, RpcError, ThreadEvent, ThreadStream,
    protocol::{Notification, ThreadId, TurnEvent, TurnId, TurnStartParams, TurnStatus, UserInput},
};
use tokio::time::{Instant, timeout};

use crate::{
    CodexConfig,
    failure::{failed, is_hopeless},
    map::Mapper,
    pausing::Paused,
    questions::Open,
    requests,
    servers::{Loaded, Server},
    stopping::kill,
};

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

    fn over(result: Result<Outcome, AgentError>, reusable: bool) -> Self {
        Self {
            result,
            reusable,
            paused: None,
        }
    }
}

/// Why listening stopped.
enum End {
    /// Codex said that the turn is over.
    Turn(Box<codex_app_server::protocol::Turn>),
    /// Codex asks something that a person has to answer.
    Question(Box<Open>),
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
            Ok((connection, loaded, turn)) => {
                let mapper = Mapper::new(loaded.stream.id().clone(), turn.clone());
                self.drive(server, &connection, loaded, turn, mapper).await
            }
            Err(result) => Driven::over(result, false),
        }
    }

    /// Opens the conversation and starts the turn in it. The error is what becomes of a turn that didn't begin.
    async fn begin(
        &self,
        server: &mut Server,
    ) -> Result<(Connection, Loaded, TurnId), Result<Outcome, AgentError>> {
        let (connection, loaded) = tokio::select! {
            opened = self.open(server) => opened.map_err(Err)?,
            // A call may be under way whose answer nobody would read: the server is not used again.
            reason = self.cx.cancel.cancelled() => return Err(Ok(cancelled(reason, StopStep::NotStarted, 0, None))),
        };
        let turn = self.start(&connection, loaded.stream.id()).await?;
        Ok((connection, loaded, turn))
    }

    /// Follows the turn to its end, or to a question. The conversation stays loaded in a server that is fit for more.
    pub(crate) async fn drive(
        &self,
        server: &mut Server,
        connection: &Connection,
        mut loaded: Loaded,
        turn: TurnId,
        mapper: Mapper,
    ) -> Driven {
        let mut driven = self
            .follow(connection, &mut loaded.stream, turn, mapper)
            .await;
        if driven.reusable {
            server.loaded = Some(loaded);
        }
        server.paused = driven.paused.take();
        driven
    }

    async fn follow(
        &self,
        connection: &Connection,
        stream: &mut ThreadStream,
        turn: TurnId,
        mut mapper: Mapper,
    ) -> Driven {
        let thread = stream.id().clone();
        match self.listen(stream, &turn, &mut mapper).await {
            Ok(End::Turn(ended)) => {
                // Sub-agents outlive a turn that failed; after any other they are done.
                let quiet = self.quiet(connection, stream, &mut mapper).await;
                let swept = self.sweep(connection, &thread, &mapper).await;
                Driven::over(self.completed(*ended, mapper, &thread), quiet && swept)
            }
            Ok(End::Question(open)) => self.ask(&thread, turn, *open, mapper).await,
            Ok(End::Cancel(reason)) => {
                let (step, survivors) = self.stop(connection, stream, &turn, &mut mapper).await;
                let outcome = cancelled(reason, step, survivors, mapper.usage());
                Driven::over(Ok(outcome), step == StopStep::Protocol)
            }
            Ok(End::Hopeless(error)) => {
                let (step, _) = self.stop(connection, stream, &turn, &mut mapper).await;
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
        let mut params = TurnStartParams::new(thread.clone(), self.input());
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

    /// The prompt as Codex takes it; or an answer whose question has lapsed meanwhile.
    fn input(&self) -> Vec<UserInput> {
        if let Some(answer) = &self.turn.answer {
            let text = format!(
                "This is the answer to what you asked before. The request itself has lapsed in the meantime, so ask \
                 again or repeat the step if it still matters.\n\n{}",
                answer.to_text()
            );
            return vec![UserInput::text(text)];
        }
        let parts = self.turn.prompt.0.iter();
        parts
            .map(|part| match part {
                PromptPart::Text(text) => UserInput::text(text.clone()),
                PromptPart::Image { url } => UserInput::Image {
                    url: url.clone(),
                    detail: None,
                },
                PromptPart::LocalImage { path } => UserInput::LocalImage {
                    path: path.clone(),
                    detail: None,
                },
            })
            .collect()
    }

    /// Passes on what happens until the turn ends or is told to.
    async fn listen(
        &self,
        stream: &mut ThreadStream,
        turn: &TurnId,
        mapper: &mut Mapper,
    ) -> Result<End, AgentError> {
        let mut deadline = Some(Instant::now() + self.config.deadlines.first_progress);
        let mut session_known = false;
        // What Codex said last of why it gets nowhere. It goes on trying for ever if the provider can't be reached.
        let mut trouble = None;
        // The end of the turn itself. While a sub-agent works for it, it isn't over.
        let mut ended = None;
        loop {
            if let Some(ended) = ended.take_if(|_| mapper.running_subagents().is_empty()) {
                return Ok(End::Turn(ended));
            }
            let event = tokio::select! {
                biased;
                reason = self.cx.cancel.cancelled() => return Ok(End::Cancel(reason)),
                () = until(deadline) => {
                    let silence = self.config.deadlines.first_progress;
                    let stalled = AgentError::Stalled { phase: Phase::FirstOutput, idle: silence };
                    return Ok(End::Hopeless(trouble.unwrap_or(stalled)));
                }
                event = stream.next() => event,
            };
            let notification = match event {
                ThreadEvent::Notification(notification) => notification,
                ThreadEvent::Request(request) => {
                    let (access, approvals) = (self.config.access, self.config.approvals);
                    match requests::take(request, access, approvals) {
                        Some(open) => return Ok(End::Question(Box::new(open))),
                        None => continue,
                    }
                }
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
                    tracing::warn!(
                        error = notice.error.message,
                        will_retry = notice.will_retry,
                        "codex reports an error"
                    );
                    if notice.will_retry && is_hopeless(&notice.error) {
                        return Ok(End::Hopeless(failed(&notice.error)));
                    }
                    trouble = Some(failed(&notice.error));
                    // Whatever came before: from here on there has to be progress again.
                    let limit = Instant::now() + self.config.deadlines.first_progress;
                    deadline = deadline.or(Some(limit));
                }
                // The user's message is in the rollout now: from here on the conversation can be resumed.
                Notification::ItemCompleted(_) | Notification::ItemStarted(_) if !session_known => {
                    session_known = true;
                    self.remember(stream.id()).await?;
                }
                _ => {}
            }
            for event in mapper.map(notification) {
                deadline = None;
                self.cx.events.emit(event).await?;
            }
        }
    }

    async fn remember(&self, thread: &ThreadId) -> Result<(), AgentError> {
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
                changes: FileChanges::default(),
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

fn cancelled(
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

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
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
        error => AgentError::Protocol {
            message: error.to_string(),
        },
    }
}
