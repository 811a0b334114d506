//! Listening to a turn that Codex works on, until it ends, asks, or is told to stop.

use agent_core::{AgentError, AgentEvent, CancelReason, Notice, NoticeKind, Question, Retry};
use codex_app_server::{
    ThreadEvent,
    protocol::{ErrorNotice, Notification, ServerRequest, TurnEvent, TurnStatus},
};
use tokio::time::sleep_until;

use crate::{
    Deadlines,
    failure::{failed, is_hopeless, lost, retried},
    form,
    map::Mapper,
    questions::Open,
    requests,
    turn::{Begun, Drive},
    watch::Watchdog,
};

/// From the how manyth error in a row on the person is told that Codex tries again: one soon passes.
const TOLD_FROM_ERROR: u32 = 2;

/// What has come of a turn so far, in whichever process.
pub(crate) struct Heard {
    /// What of it is shown.
    pub(crate) mapper: Mapper,
    watch: Watchdog,
    session_known: bool,
    /// What Codex said last of why it gets nowhere. It goes on trying for ever if the provider can't be reached.
    trouble: Option<AgentError>,
    retry_told: bool,
    /// How often Codex has tried again.
    retries: u32,
}

impl Heard {
    /// Nothing yet.
    pub(crate) fn new(begun: &Begun, limits: &Deadlines) -> Self {
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
    pub(crate) fn can_be_repeated(&self) -> bool {
        !self.watch.repeated && !self.watch.tool_called && self.mapper.final_answer().is_none()
    }

    /// Goes on with the turn as it is begun again.
    pub(crate) fn begin_again(&mut self, begun: &Begun) {
        let thread = begun.loaded.stream.id().clone();
        self.mapper.begin_again(thread, begun.turn.clone());
        self.watch.go_on();
    }

    fn stalled(&mut self) -> AgentError {
        self.trouble.take().unwrap_or_else(|| self.watch.stalled())
    }
}

/// Why listening stopped.
pub(crate) enum End {
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
    /// Passes on what happens until the turn ends or is told to.
    pub(crate) async fn listen(
        &self,
        begun: &mut Begun,
        heard: &mut Heard,
    ) -> Result<End, AgentError> {
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
}
