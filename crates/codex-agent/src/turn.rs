//! One turn on an app-server: its conversation opened (`opening`), started, listened to (`listen`), and ended (`stopping`).

use std::{path::Path, pin::pin, time::Duration};

use agent_core::{
    AgentError, AgentEvent, AgentKind, CancelReason, Completed, ErrorClass, Outcome, SessionId,
    SessionRef, SessionStore, StopReason, StopStep, Turn, TurnCx, Usage, Workspace,
};
use codex_app_server::{
    Connection, ThreadStream,
    protocol::{Raw, ThreadId, TurnId, TurnStartParams, TurnStatus},
};
use tokio::time::timeout;

use crate::{
    CodexConfig,
    failure::{failed, open_error, state_error},
    input::input,
    launch::{Loaded, Server},
    listen::{End, Heard},
    map::Mapper,
    pausing::Paused,
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
        let turn = self
            .start(&connection, loaded.stream.id(), &server.home)
            .await?;
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
        home: &Path,
    ) -> Result<TurnId, Result<Outcome, AgentError>> {
        let input = input(self.turn, home).map_err(Err)?;
        let mut params = TurnStartParams::new(thread.clone(), input);
        params.model = self.turn.model.model_id.clone();
        params.output_schema = self.turn.options.output_schema.clone().map(Raw::from);
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
