//! One turn: open the conversation, say the prompt, listen to the end, leave nothing running.

use std::time::Duration;

use agent_core::{
    AgentError, AgentEvent, AgentKind, CancelReason, Completed, FileChanges, Outcome, Phase,
    PromptPart, Resume, SessionId, SessionRef, SessionStore, StopReason, StopStep, Turn, TurnCx,
    Usage, Workspace,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    ClaudeConfig,
    failure::{self, Reported},
    map::{Mapper, notice},
    pool::{Minded, UNASKED_LIMIT, mind},
    process::{Incoming, Lost},
    protocol::{ApiRetry, AssistantError, Control, Message, Prompt, TurnResult},
    session::{Opened, Opener, Session},
    usage,
};

/// The mark that Claude Code puts into the environment of everything a tool starts, and not into that of its MCP servers
/// (2.1.197 and 2.1.329).
const TOOL_MARKS: &[&str] = &["CLAUDE_CODE_CHILD_SESSION"];
/// How long Claude Code may take to end an interrupted turn before everything is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to give up a stalled one.
const STALL_LIMIT: Duration = Duration::from_secs(5);
/// How long a tool's processes have between SIGTERM and SIGKILL.
const SWEEP_GRACE: Duration = Duration::from_millis(300);
/// How long killed processes may take to vanish before they count as survivors.
const KILL_LIMIT: Duration = Duration::from_secs(1);
/// How long the CLI may take to begin the turn that a task's end makes it begin. It takes up to 100 ms.
const FOLLOW_UP_LIMIT: Duration = Duration::from_secs(2);
/// How often a turn is begun again that ended by a fault of the CLI's own.
const RERUNS: u32 = 3;
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

/// Why listening stopped.
enum End {
    /// The turn is over.
    Turn(Box<TurnResult>),
    /// The turn was told to stop.
    Cancel(CancelReason),
    /// It is to be stopped, for this reason.
    Stop(AgentError, Duration),
}

/// What a turn is made of while it is listened to.
#[derive(Default)]
struct Heard {
    mapper: Mapper,
    /// The API's failure, as the last message told it.
    reported: Reported,
    /// The figures of the parts of the turn that are over.
    usage: Option<Usage>,
    /// Whether the conversation's id has been stored.
    remembered: bool,
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
            return driven;
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

    /// Says the prompt and listens; says it again where the CLI itself has stumbled.
    async fn converse(&self, session: &mut Session, heard: &mut Heard) -> Result<End, AgentError> {
        let mut prompt = Prompt::new(content(self.turn));
        for rerun in 0..=RERUNS {
            session.used = true;
            if session.cli.send(&prompt).await.is_err() {
                return Err(session.cli.exit_error().await);
            }
            let end = self.listen(session, heard).await?;
            match end {
                End::Turn(result)
                    if rerun < RERUNS && failure::is_transient_bug(&result, &heard.reported) =>
                {
                    tracing::warn!(
                        rerun,
                        "claude stumbled over an answer, the turn is begun again"
                    );
                    heard.reported = Reported::default();
                    prompt = Prompt::new(json!(RERUN_PROMPT));
                }
                end => return Ok(end),
            }
        }
        unreachable!("the last round returns whatever comes")
    }

    /// Passes on what happens until the turn ends or is told to.
    async fn listen(&self, session: &mut Session, heard: &mut Heard) -> Result<End, AgentError> {
        let began = Instant::now();
        let limits = &self.config.deadlines;
        let mut last_line = began;
        let mut phase = Phase::FirstOutput;
        // The end as it stands, while the CLI is expected to go on by itself.
        let mut standing: Option<(Box<TurnResult>, Instant)> = None;
        loop {
            let silent_until = match (&standing, phase) {
                (Some((_, until)), _) if !session.tasks.agents_work() => Some(*until),
                _ if heard.mapper.tool_runs() => None,
                (_, Phase::FirstOutput) => Some(began + limits.first_output),
                _ => Some(last_line + limits.silence),
            };
            let incoming = tokio::select! {
                biased;
                reason = self.cx.cancel.cancelled() => return Ok(End::Cancel(reason)),
                () = until(silent_until) => {
                    return Ok(match standing.take() {
                        Some((result, _)) => End::Turn(result),
                        None => End::Stop(stalled(phase, began, last_line), STALL_LIMIT),
                    });
                }
                () = until(limits.turn.map(|limit| began + limit)) => {
                    let error = AgentError::Stalled { phase: Phase::Running, idle: began.elapsed() };
                    return Ok(End::Stop(error, STALL_LIMIT));
                }
                incoming = session.cli.next() => incoming,
            };
            last_line = Instant::now();
            let message = match incoming {
                Ok(Incoming::Message(message)) => message,
                Ok(Incoming::TooLong) => {
                    heard.mapper.line_lost();
                    continue;
                }
                Err(Lost) => return Err(session.cli.exit_error().await),
            };
            session.tasks.see(&message);
            match &message {
                Message::Stream(_) | Message::Assistant(_) => phase = Phase::Running,
                Message::ApiRetry(retry) if is_hopeless(retry) => {
                    return Ok(End::Stop(refused_key(retry), INTERRUPT_LIMIT));
                }
                Message::Init(_) => {
                    self.remember(session, heard).await?;
                    // The CLI goes on by itself, as it was expected to.
                    if let Some((_, until)) = &mut standing {
                        *until = Instant::now() + limits.first_output;
                    }
                    session.tasks.told();
                }
                _ => {}
            }
            heard.note(&message);
            let ended = match &message {
                Message::Result(result) => Some(result.clone()),
                _ => None,
            };
            for event in heard.mapper.map(message) {
                self.cx.events.emit(event).await?;
            }
            let Some(result) = ended else { continue };
            heard.bear(Some(session.ledger.turn(&result)));
            if result.is_unasked() && standing.is_none() {
                tracing::info!("a turn that nobody asked for came before ours");
                continue;
            }
            // A sub-agent in the background works, or has ended unheard: the CLI will go on by itself.
            if !result.is_error && session.tasks.agents_matter() {
                standing = Some((result, Instant::now() + FOLLOW_UP_LIMIT));
                continue;
            }
            return Ok(End::Turn(result));
        }
    }

    /// Stores the conversation's id as soon as the CLI has taken the prompt: from now on a later turn goes on from it.
    async fn remember(&self, session: &Session, heard: &mut Heard) -> Result<(), AgentError> {
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

    /// Ends a turn that still runs: the CLI's own interrupt, then what tools started. If the CLI doesn't end the turn in
    /// time, everything of the session is killed.
    async fn stop(
        &self,
        session: &mut Session,
        heard: &mut Heard,
        limit: Duration,
    ) -> (StopStep, u32) {
        let interrupted = async {
            let stop = Control::Interrupt {
                cancel_queued: true,
            };
            session.cli.request(&stop).await?;
            loop {
                let Incoming::Message(message) = session.cli.next().await? else {
                    continue;
                };
                session.tasks.see(&message);
                let ended = match &message {
                    Message::Result(result) => Some(result.clone()),
                    _ => None,
                };
                for event in heard.mapper.map(message) {
                    // What was said before the stop is still shown; a closed sink ends nothing here.
                    let _ = self.cx.events.emit(event).await;
                }
                if let Some(result) = ended {
                    heard.bear(Some(session.ledger.turn(&result)));
                    return Ok::<(), Lost>(());
                }
            }
        };
        let confirmed = matches!(timeout(limit, interrupted).await, Ok(Ok(())));
        if confirmed && self.clean_up(session).await {
            return (StopStep::Protocol, 0);
        }
        tracing::warn!("claude did not stop the turn in time, its session is killed");
        let handle = session.cli.handle();
        handle.kill().await;
        (StopStep::Kill, remaining(handle.session()).await)
    }

    /// Ends what the turn's tools left running, and the turn that the CLI begins because of it. False if the session is
    /// not fit for another turn.
    async fn clean_up(&self, session: &mut Session) -> bool {
        let swept = match session.cli.handle().sweep(TOOL_MARKS, SWEEP_GRACE).await {
            Ok(report) => {
                if report.ended > 0 {
                    tracing::info!(
                        ended = report.ended,
                        "ended what the turn's tools left running"
                    );
                }
                report.survivors.is_empty()
            }
            Err(error) => {
                tracing::warn!(%error, "tools can't be swept");
                false
            }
        };
        swept && (!session.tasks.unasked_turn_due() || settled(session).await)
    }

    async fn completed(
        &self,
        session: &mut Session,
        heard: Heard,
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
            changes: FileChanges::default(),
        }))
    }
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
    fn bear(&mut self, more: Option<Usage>) {
        let Some(more) = more else { return };
        match &mut self.usage {
            Some(usage) => usage::add(usage, &more),
            None => self.usage = Some(more),
        }
    }
}

/// Waits until the CLI has taken note that its background tasks are gone, and has given up the turn that it begins
/// because of it. False if it doesn't in time.
async fn settled(session: &mut Session) -> bool {
    let mut unasked = false;
    let settle = async {
        loop {
            let due = unasked || session.tasks.unasked_turn_due();
            // One more turn may follow; it does at once or not at all.
            let wait = if due {
                FOLLOW_UP_LIMIT
            } else {
                Duration::from_millis(50)
            };
            let incoming = match timeout(wait, session.cli.next()).await {
                Ok(incoming) => incoming?,
                Err(_) => return Ok::<bool, Lost>(!unasked),
            };
            if let Incoming::Message(message) = incoming {
                match mind(session, message).await? {
                    Minded::Began => unasked = true,
                    Minded::Ended => unasked = false,
                    Minded::Nothing => {}
                }
            }
        }
    };
    let settled = matches!(timeout(UNASKED_LIMIT, settle).await, Ok(Ok(true)));
    if !settled {
        tracing::warn!("claude does not come to rest after its background tasks were ended");
    }
    session.tasks.told();
    settled
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

/// The prompt as the Messages API takes it.
fn content(turn: &Turn) -> Value {
    let parts = turn.prompt.0.as_slice();
    if let [PromptPart::Text(text)] = parts {
        return json!(text);
    }
    let blocks = parts.iter().map(|part| match part {
        PromptPart::Text(text) => json!({ "type": "text", "text": text }),
        PromptPart::Image { url } => json!({ "type": "image", "source": image(url) }),
    });
    Value::Array(blocks.collect())
}

fn image(url: &str) -> Value {
    let data = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"));
    match data {
        Some((media_type, data)) => {
            json!({ "type": "base64", "media_type": media_type, "data": data })
        }
        None => json!({ "type": "url", "url": url }),
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

fn stalled(phase: Phase, began: Instant, last_line: Instant) -> AgentError {
    let since = match phase {
        Phase::FirstOutput => began,
        _ => last_line,
    };
    AgentError::Stalled {
        phase,
        idle: since.elapsed(),
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

/// Waits until nothing of a killed session is left, and counts what is.
async fn remaining(session: &supervisor::SessionMark) -> u32 {
    let gone = async {
        while !supervisor::session_processes(session).is_empty() {
            // The kernel tells the guard, not us; all that is left is to look again.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(KILL_LIMIT, gone).await;
    let left = supervisor::session_processes(session).len();
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// Sleeps until then; for ever without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
