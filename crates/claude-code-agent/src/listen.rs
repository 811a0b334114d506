//! Listening to a turn: what happens is passed on until the turn ends, is told to, or is silent for too long.

use std::time::Duration;

use agent_core::{AgentError, AgentEvent, CancelReason, Phase, Question, Usage};
use tokio::time::Instant;

use crate::{
    Deadlines,
    failure::{self, Reported},
    map::Mapper,
    process::{Incoming, Lost},
    protocol::{ApiRetry, AssistantError, Message, TurnResult},
    session::Session,
    stopping::{FOLLOW_UP_LIMIT, INTERRUPT_LIMIT, STALL_LIMIT},
    turn::Drive,
    usage::{self, SoFar},
};

/// Why listening stopped.
pub(crate) enum End {
    /// The turn is over.
    Turn(Box<TurnResult>),
    /// The turn was told to stop.
    Cancel(CancelReason),
    /// It is to be stopped, for this reason.
    Stop(AgentError, Duration),
    /// The CLI has stopped: the person was asked something.
    Asked(Question),
    /// The CLI has stopped, and the turn was told to.
    Left(CancelReason),
    /// The CLI has stopped, and the turn can't go on.
    Failed(AgentError),
}

/// What a turn is made of while it is listened to.
#[derive(Default)]
pub(crate) struct Heard {
    /// What was said, as events.
    pub(crate) mapper: Mapper,
    /// The API's failure, as the last message told it.
    pub(crate) reported: Reported,
    /// The figures of the parts of the turn that are over.
    pub(crate) usage: Option<Usage>,
    /// The figures as they grow.
    so_far: SoFar,
    /// Whether the conversation's id has been stored.
    pub(crate) remembered: bool,
}

/// How long the turn has been silent, and what it waits for.
struct Watch {
    began: Instant,
    last_line: Instant,
    phase: Phase,
    /// The end as it stands, while the CLI is expected to go on by itself until then.
    standing: Option<(Box<TurnResult>, Instant)>,
}

impl Watch {
    fn new() -> Self {
        let began = Instant::now();
        Self {
            began,
            last_line: began,
            phase: Phase::FirstOutput,
            standing: None,
        }
    }

    /// When silence has lasted too long; `None` while it may last.
    fn until(&self, session: &Session, heard: &Heard, limits: &Deadlines) -> Option<Instant> {
        match (&self.standing, self.phase) {
            (Some((_, until)), _) if !session.tasks.agents_work() => Some(*until),
            _ if heard.mapper.tool_runs() => None,
            (_, Phase::FirstOutput) => Some(self.began + limits.first_output),
            _ => Some(self.last_line + limits.silence),
        }
    }

    /// What the silence means.
    fn ran_out(&mut self) -> End {
        if let Some((result, _)) = self.standing.take() {
            return End::Turn(result);
        }
        let since = match self.phase {
            Phase::FirstOutput => self.began,
            _ => self.last_line,
        };
        let error = AgentError::Stalled {
            phase: self.phase,
            idle: since.elapsed(),
        };
        End::Stop(error, STALL_LIMIT)
    }
}

impl Drive<'_> {
    /// Passes on what happens until the turn ends or is told to.
    pub(crate) async fn listen(
        &self,
        session: &mut Session,
        heard: &mut Heard,
    ) -> Result<End, AgentError> {
        let limits = &self.config.deadlines;
        let mut watch = Watch::new();
        let last = limits.turn.map(|limit| watch.began + limit);
        loop {
            let incoming = tokio::select! {
                biased;
                reason = self.cx.cancel.cancelled() => return Ok(End::Cancel(reason)),
                () = until(watch.until(session, heard, limits)) => return Ok(watch.ran_out()),
                () = until(last) => {
                    let idle = watch.began.elapsed();
                    let error = AgentError::Stalled { phase: Phase::Running, idle };
                    return Ok(End::Stop(error, STALL_LIMIT));
                }
                incoming = session.cli.next() => incoming,
            };
            watch.last_line = Instant::now();
            let message = match incoming {
                Ok(Incoming::Message(message)) => message,
                Ok(Incoming::TooLong) => {
                    heard.mapper.line_lost();
                    continue;
                }
                Err(Lost) => return Err(session.cli.exit_error().await),
            };
            if let Some(end) = self.hear(session, heard, &mut watch, message).await? {
                return Ok(end);
            }
        }
    }

    /// Takes note of a message and passes it on. It may be the turn's end.
    async fn hear(
        &self,
        session: &mut Session,
        heard: &mut Heard,
        watch: &mut Watch,
        message: Message,
    ) -> Result<Option<End>, AgentError> {
        session.tasks.see(&message);
        match &message {
            Message::Stream(_) | Message::Assistant(_) => watch.phase = Phase::Running,
            Message::ApiRetry(retry) if is_hopeless(retry) => {
                return Ok(Some(End::Stop(refused_key(retry), INTERRUPT_LIMIT)));
            }
            Message::Init(_) => {
                self.remember(session, heard).await?;
                // The CLI goes on by itself, as it was expected to.
                if let Some((_, until)) = &mut watch.standing {
                    *until = Instant::now() + self.config.deadlines.first_output;
                }
                session.tasks.told();
            }
            _ => {}
        }
        heard.note(&message);
        if let Some(usage) = heard.so_far.note(&message) {
            self.cx.events.emit(AgentEvent::Usage(usage)).await?;
        }
        let ended = match &message {
            Message::Result(result) => Some(result.clone()),
            _ => None,
        };
        for event in heard.mapper.map(message) {
            self.cx.events.emit(event).await?;
        }
        Ok(ended.and_then(|result| over(session, heard, watch, result)))
    }
}

/// The turn's end, if it is this one.
fn over(
    session: &mut Session,
    heard: &mut Heard,
    watch: &mut Watch,
    result: Box<TurnResult>,
) -> Option<End> {
    if result.is_deferral_lost() && std::mem::take(&mut session.resumed) {
        // Said before the process had its servers, of what was asked before it was resumed.
        return None;
    }
    heard.bear(Some(session.ledger.turn(&result)));
    if result.is_unasked() && watch.standing.is_none() {
        tracing::info!("a turn that nobody asked for came before ours");
        return None;
    }
    // A sub-agent in the background works, or has ended unheard: the CLI will go on by itself.
    if !result.is_error && session.tasks.agents_matter() {
        watch.standing = Some((result, Instant::now() + FOLLOW_UP_LIMIT));
        return None;
    }
    Some(End::Turn(result))
}

impl Heard {
    fn note(&mut self, message: &Message) {
        if let Message::Assistant(line) = message
            && line.parent_tool_use_id.is_none()
        {
            self.reported = Reported {
                error: line.error,
                connection: line.api_error.is_some(),
            };
        }
    }

    /// Adds figures to the turn's.
    pub(crate) fn bear(&mut self, more: Option<Usage>) {
        let Some(more) = more else { return };
        match &mut self.usage {
            Some(usage) => usage::add(usage, &more),
            None => self.usage = Some(more),
        }
    }
}

/// Whether a failure that the CLI would retry is one that no retry mends: the provider does not accept the key.
fn is_hopeless(retry: &ApiRetry) -> bool {
    matches!(retry.error_status, Some(401 | 403))
        || retry.error == Some(AssistantError::AuthenticationFailed)
}

fn refused_key(retry: &ApiRetry) -> AgentError {
    let result = TurnResult {
        api_error_status: retry.error_status.or(Some(401)),
        ..TurnResult::default()
    };
    let status = result.api_error_status.unwrap_or_default();
    AgentError::Provider {
        class: failure::class(&result, &Reported::default()),
        message: format!("the model's API does not accept the key (HTTP {status})"),
    }
}

/// Sleeps until then; for ever without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
