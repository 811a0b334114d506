//! A turn that waits for the person.
//!
//! Codex's own turn stays open in the warm app-server, with its request unanswered. The next turn of the task either
//! brings the answer, and then goes on with Codex's turn where it stands, or it doesn't: then nobody will answer any
//! more, Codex's turn is interrupted, and the next one begins as ever. The question lapses with its process, too (when
//! that is given back because the question's time is up, dies, or the executor is restarted); an answer that comes later
//! goes to the model as text.
//!
//! A turn that is gone on with keeps what its conversation was loaded with: model, keys, MCP servers and the task's tokens
//! are those of the turn that asked. So a question lapses with the first of these tokens, too (`tokens`).

use std::time::{Duration, SystemTime};

use agent_core::{AgentError, AgentEvent, Outcome, ToolCallId, Usage};
use codex_app_server::{
    Connection,
    protocol::{ThreadId, TurnId},
};

use crate::{
    launch::{Loaded, Server},
    listen::Heard,
    map::Mapper,
    questions::Open,
    requests::settle,
    stopping::kill,
    tokens,
    turn::{Begun, Drive, Driven, session},
};

/// A turn of Codex's that waits for the person.
pub(crate) struct Paused {
    /// The call under which the person was asked.
    call: ToolCallId,
    /// The request to answer.
    open: Open,
    /// Codex's turn.
    turn: TurnId,
    /// What it has said so far.
    mapper: Mapper,
    /// When the first of its tokens expires, if one does.
    tokens_until: Option<SystemTime>,
}

impl Paused {
    /// Whether what the turn goes on with is still worth something.
    fn can_go_on(&self, now: SystemTime) -> bool {
        self.tokens_until.is_none_or(|until| now < until)
    }

    /// How long the question can be answered from `now` on: for as long as Codex has said, else for `usual`, and not for
    /// longer than what the turn goes on with is worth something.
    pub(crate) fn limit(&self, usual: Duration, now: SystemTime) -> Duration {
        let limit = self.open.limit().unwrap_or(usual);
        match self.tokens_until {
            Some(until) => limit.min(until.duration_since(now).unwrap_or_default()),
            None => limit,
        }
    }
}

impl Drive<'_> {
    /// Asks the person. The turn ends with that, Codex's doesn't.
    pub(crate) async fn ask(
        &self,
        thread: &ThreadId,
        turn: TurnId,
        open: Open,
        mut mapper: Mapper,
    ) -> Driven {
        let Some(question) = open.question(|patch| mapper.files_of(patch)) else {
            settle(open, self.config.access);
            return Driven::failed(AgentError::Protocol {
                message: "codex asks without an id".to_owned(),
            });
        };
        let call = question.call.clone();
        let usage = mapper.usage();
        let events = mapper.pause().into_iter();
        for event in events.chain([AgentEvent::Question(question)]) {
            if let Err(closed) = self.cx.events.emit(event).await {
                return Driven::failed(closed.into());
            }
        }
        Driven {
            result: Ok(self.waiting(&call, thread, usage)),
            reusable: true,
            paused: Some(Paused {
                call,
                open,
                turn,
                mapper,
                tokens_until: tokens::valid_until(&self.turn.identity),
            }),
        }
    }

    pub(crate) fn waiting(
        &self,
        call: &ToolCallId,
        thread: &ThreadId,
        usage: Option<Usage>,
    ) -> Outcome {
        Outcome::WaitingForUser {
            call: call.clone(),
            usage,
            session: session(thread),
        }
    }

    /// Goes on with the turn that waits in the server, if this turn has the answer. `None` if it has to be begun.
    pub(crate) async fn take_up(&self, server: &mut Server) -> Option<Driven> {
        let paused = server.paused.take()?;
        let connection = tokio::select! {
            ready = server.instance.ready(self.config.deadlines.ready) => ready.ok()?,
            // The turn won't begin, and its server goes with all that is open in it.
            _ = self.cx.cancel.cancelled() => return None,
        };
        let mut loaded = server
            .loaded
            .take()
            .filter(|loaded| loaded.generation == connection.generation())?;
        let answer = self.turn.answer.as_ref();
        let answer = answer.filter(|answer| answer.call == paused.call);
        let Some(answer) = answer.filter(|_| paused.can_go_on(SystemTime::now())) else {
            if self.give_up(&connection, &mut loaded, paused).await {
                server.loaded = Some(loaded);
            }
            return None;
        };
        let Paused {
            open,
            turn,
            mut mapper,
            ..
        } = paused;
        for event in mapper.go_on() {
            if let Err(closed) = self.cx.events.emit(event).await {
                return Some(Driven::failed(closed.into()));
            }
        }
        open.answer(answer);
        let heard = Heard::taken_up(mapper, &self.config.deadlines);
        let begun = Begun {
            connection,
            loaded,
            turn,
        };
        Some(self.drive(server, begun, heard).await)
    }

    /// Ends a turn whose question won't be answered, before anything else happens in its conversation. False if its
    /// process had to go for it.
    async fn give_up(&self, connection: &Connection, loaded: &mut Loaded, paused: Paused) -> bool {
        tracing::info!(call = %paused.call, "a question is left unanswered; its turn is ended");
        let Paused {
            open,
            turn,
            mut mapper,
            ..
        } = paused;
        let (ended, _) = self
            .interrupt(connection, &mut loaded.stream, Some(&turn), &mut mapper)
            .await;
        let swept = ended && self.sweep(connection, loaded.stream.id(), &mapper).await;
        // Only now: a refusal would let the turn go on for a moment.
        drop(open);
        if !swept {
            kill(connection).await;
        }
        swept
    }
}
