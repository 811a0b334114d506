//! One turn: open the conversation, say the prompt, listen to the end, leave nothing running.

use agent_core::{
    AgentError, AgentEvent, AgentKind, CancelReason, Completed, NoticeKind, Outcome, Question,
    Resume, SessionId, SessionRef, SessionStore, StopReason, StopStep, ToolCallId, Turn, TurnCx,
    Usage, Workspace,
};
use serde_json::json;

use crate::{
    ClaudeConfig,
    failure::{self, Reported},
    form::{CORRECTION, Shown},
    listen::{End, Heard},
    map::notice,
    opening::{Opened, Opener},
    prompt::content,
    protocol::{DeferredTool, Prompt, TurnResult, tool_result},
    session::Session,
    stopping::INTERRUPT_LIMIT,
};

/// How often a turn is begun again that ended by a fault of the CLI's own.
const RERUNS: u32 = 3;
/// How often the model may correct a form.
const CORRECTIONS: u32 = 2;
/// What is said to begin it again.
const RERUN_PROMPT: &str = "Retry to proceed";

/// A turn on its way.
pub(crate) struct Drive<'a> {
    /// What it runs with.
    pub(crate) config: &'a ClaudeConfig,
    /// Opens conversations.
    pub(crate) opener: &'a Opener,
    /// What is asked for.
    pub(crate) turn: &'a Turn,
    /// Where it runs.
    pub(crate) workspace: &'a Workspace,
    /// Where events go, and when to stop.
    pub(crate) cx: &'a TurnCx,
}

/// How a turn ended, and what is left of its session.
pub(crate) struct Driven {
    /// How it ended.
    pub(crate) result: Result<Outcome, AgentError>,
    /// The session, if it is fit for another turn.
    pub(crate) session: Option<Session>,
}

impl Driven {
    /// The same without a session for another turn.
    async fn alone(self) -> Self {
        if let Some(session) = self.session {
            session.end().await;
        }
        Self {
            session: None,
            ..self
        }
    }
}

impl Drive<'_> {
    /// Runs the turn, in `warm` if that has its conversation. A warm process that turns out to be dead before it took
    /// the prompt costs nothing but the time to start another.
    pub(crate) async fn run(&self, mut warm: Option<Session>) -> Driven {
        loop {
            let opened = tokio::select! {
                opened = self.open(warm.take()) => opened,
                // What is half open is dropped, and its processes end with it.
                reason = self.cx.cancel.cancelled() => {
                    let outcome = cancelled(reason, StopStep::NotStarted, 0, None);
                    return Driven { result: Ok(outcome), session: None };
                }
            };
            let (mut session, was_warm) = match opened {
                Ok(opened) => opened,
                Err(error) => return lost(error),
            };
            let mut heard = Heard::default();
            let pass = session.allow();
            let end = self.converse(&mut session, &mut heard).await;
            if was_warm && !heard.remembered && matches!(end, Err(AgentError::Exited { .. })) {
                tracing::warn!("the warm process was dead, a new one is started");
                session.end().await;
                continue;
            }
            let driven = self.finish(session, heard, end).await;
            drop(pass);
            return match self.config.max_cost_usd {
                Some(_) => driven.alone().await,
                None => driven,
            };
        }
    }

    /// Leaves nothing of the turn running, and says how it ended.
    async fn finish(
        &self,
        mut session: Session,
        mut heard: Heard,
        end: Result<End, AgentError>,
    ) -> Driven {
        match end {
            Ok(End::Turn(result)) => {
                let clean = self.clean_up(&mut session).await;
                heard.bear(session.ledger.owed());
                let outcome = self.completed(&mut session, heard, *result).await;
                leave(session, clean, outcome).await
            }
            Ok(End::Cancel(reason)) => {
                let (step, survivors) = self.stop(&mut session, &mut heard, INTERRUPT_LIMIT).await;
                heard.bear(session.ledger.owed());
                let outcome = cancelled(reason, step, survivors, heard.usage.take());
                leave(session, step == StopStep::Protocol, Ok(outcome)).await
            }
            Ok(End::Asked(question)) => {
                let clean = self.clean_up(&mut session).await;
                heard.bear(session.ledger.owed());
                let outcome = self.waiting(&session, heard, question).await;
                leave(session, clean, outcome).await
            }
            Ok(End::Left(reason)) => {
                let clean = self.clean_up(&mut session).await;
                heard.bear(session.ledger.owed());
                let outcome = cancelled(reason, StopStep::Protocol, 0, heard.usage.take());
                leave(session, clean, Ok(outcome)).await
            }
            Ok(End::Failed(error)) => {
                let clean = self.clean_up(&mut session).await;
                leave(session, clean, Err(error)).await
            }
            Ok(End::Stop(error, limit)) => {
                let (step, _) = self.stop(&mut session, &mut heard, limit).await;
                leave(session, step == StopStep::Protocol, Err(error)).await
            }
            Err(error) => leave(session, false, Err(error)).await,
        }
    }

    /// The conversation, and whether its process has run before.
    async fn open(&self, warm: Option<Session>) -> Result<(Session, bool), AgentError> {
        let store = SessionStore::new(&self.workspace.state);
        let resume: Option<Resume> = store.resume_for(self.turn).map_err(state_error)?;
        let Opened {
            session,
            warm,
            notices,
        } = self
            .opener
            .open(self.turn, self.workspace, resume, warm)
            .await?;
        for (kind, text) in notices {
            self.cx.events.emit(notice(kind, text)).await?;
        }
        Ok((session, warm))
    }

    /// Says the prompt and listens; says more where the CLI itself has stumbled, or the model asked for a wrong form.
    async fn converse(&self, session: &mut Session, heard: &mut Heard) -> Result<End, AgentError> {
        let mut prompt = Prompt::new(content(self.turn));
        let (mut reruns, mut corrections) = (0, 0);
        loop {
            session.used = true;
            if session.cli.send(&prompt).await.is_err() {
                return Err(session.cli.exit_error().await);
            }
            let result = match self.listen(session, heard).await? {
                End::Turn(result) => result,
                end => return Ok(end),
            };
            if let Some(question) = session.cli.host.take_asked() {
                return Ok(End::Asked(question));
            }
            if reruns < RERUNS && failure::is_transient_bug(&result, &heard.reported) {
                tracing::warn!(
                    reruns,
                    "claude stumbled over an answer, the turn is begun again"
                );
                reruns += 1;
                let error = result.result.unwrap_or_default();
                let event = heard.mapper.tried_again(Some(RERUNS), error);
                self.cx.events.emit(event).await?;
                self.tell_of_rerun(reruns).await?;
                heard.reported = Reported::default();
                prompt = Prompt::new(json!(RERUN_PROMPT));
                continue;
            }
            let Some(form) = result.deferred() else {
                return Ok(End::Turn(result));
            };
            let shown = tokio::select! {
                shown = self.show(form) => shown,
                reason = self.cx.cancel.cancelled() => return Ok(End::Left(reason)),
            };
            match shown {
                Ok(Shown::Yes(question)) => return Ok(End::Asked(question)),
                Ok(Shown::Wrong(_)) if corrections == CORRECTIONS => {
                    return Ok(End::Failed(self.give_up(form).await));
                }
                Ok(Shown::Wrong(said)) => {
                    corrections += 1;
                    prompt = self.correct(form, &said, heard).await?;
                }
                Err(error) => return Ok(End::Failed(error)),
            }
        }
    }

    async fn tell_of_rerun(&self, rerun: u32) -> Result<(), AgentError> {
        let text = format!(
            "Claude Code stumbled over an answer; it is asked to go on ({rerun} of {RERUNS})."
        );
        Ok(self
            .cx
            .events
            .emit(notice(NoticeKind::ApiRetry, text))
            .await?)
    }

    /// What makes the model ask again.
    async fn correct(
        &self,
        form: &DeferredTool,
        said: &str,
        heard: &mut Heard,
    ) -> Result<Prompt, AgentError> {
        let call = ToolCallId::new(form.id.clone()).expect("a form that was shown has an id");
        heard.mapper.forget(&call);
        self.unshown(call.clone(), said).await?;
        Ok(Prompt::new(tool_result(&call, CORRECTION.to_owned(), true)))
    }

    /// Stores the conversation's id as soon as the CLI has taken the prompt: from now on a later turn goes on from it.
    pub(crate) async fn remember(
        &self,
        session: &Session,
        heard: &mut Heard,
    ) -> Result<(), AgentError> {
        if std::mem::replace(&mut heard.remembered, true) {
            return Ok(());
        }
        self.store(&session.id).await
    }

    async fn store(&self, id: &SessionId) -> Result<(), AgentError> {
        let session = SessionRef {
            agent: AgentKind::ClaudeCode,
            id: id.clone(),
        };
        SessionStore::new(&self.workspace.state)
            .save(self.turn.bot().id.as_deref(), &session)
            .map_err(state_error)?;
        self.cx.events.emit(AgentEvent::Session(session)).await?;
        Ok(())
    }

    async fn waiting(
        &self,
        session: &Session,
        heard: Heard,
        question: Question,
    ) -> Result<Outcome, AgentError> {
        let call = question.call.clone();
        self.cx.events.emit(AgentEvent::Question(question)).await?;
        Ok(Outcome::WaitingForUser {
            call,
            usage: heard.usage,
            session: Some(SessionRef {
                agent: AgentKind::ClaudeCode,
                id: session.id.clone(),
            }),
        })
    }

    async fn completed(
        &self,
        session: &mut Session,
        mut heard: Heard,
        result: TurnResult,
    ) -> Result<Outcome, AgentError> {
        // `/clear` goes on under another id.
        if let Ok(id) = SessionId::new(result.session_id.clone())
            && id != session.id
        {
            session.id = id;
            self.store(&session.id).await?;
        }
        if result.is_error {
            // An answer that began with 200 and broke off is told with that status.
            let refused = result.api_error_status.is_some_and(|status| status >= 400);
            heard.reported.connection |= !refused && session.broke_off();
            if let Some(usage) = heard.usage {
                self.cx.events.emit(AgentEvent::Usage(usage)).await?;
            }
            return Err(failure::failed(&result, &heard.reported));
        }
        let said = result.result.filter(|text| !text.trim().is_empty());
        let text = said
            .or_else(|| heard.mapper.final_answer().map(str::to_owned))
            .unwrap_or_default();
        Ok(Outcome::Completed(Completed {
            text,
            stop: match result.stop_reason.as_deref() {
                Some("max_tokens") => StopReason::MaxTokens,
                _ => StopReason::EndTurn,
            },
            usage: heard.usage,
            session: Some(SessionRef {
                agent: AgentKind::ClaudeCode,
                id: session.id.clone(),
            }),
        }))
    }
}

/// Keeps a session that is fit, ends another.
async fn leave(session: Session, fit: bool, result: Result<Outcome, AgentError>) -> Driven {
    if fit {
        return Driven {
            result,
            session: Some(session),
        };
    }
    session.end().await;
    Driven {
        result,
        session: None,
    }
}

fn lost(error: AgentError) -> Driven {
    Driven {
        result: Err(error),
        session: None,
    }
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

fn state_error(error: agent_core::SessionStoreError) -> AgentError {
    let source =
        std::error::Error::source(&error).map(|source| std::io::Error::other(source.to_string()));
    AgentError::Workspace {
        message: error.to_string(),
        source,
    }
}
