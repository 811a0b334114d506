//! The callbacks of Wegent's Responses protocol.

use std::collections::VecDeque;

use agent_core::{AgentKind, SessionRef, StopReason};
use bytes::Bytes;
use serde_json::Value;

use super::{
    Encoder, Message, Recorded, Step,
    fold::{End, Fold, Piece},
    text::floor_boundary,
    wire::{
        Callback, CancelError, Data, FileChanges, OutputMessage, Response, ResponseEnd, Session,
        Usage,
    },
};
use crate::{EndKind, RecordBody, TurnHeader, ui_code};

/// How long the message of a minimal terminal event may be, in bytes.
const MAX_MINIMAL_MESSAGE: usize = 500;

/// Encodes a turn for Wegent's manager, one callback per event of the Responses API.
///
/// A record is folded into pieces, and a message is one piece or several that merge. To learn whether the next
/// record's piece merges it has to be folded; if it doesn't, its pieces wait in `queue` for the next call. So the
/// fold may be one record ahead of what was consumed, which nobody can see: what comes next is that record.
#[derive(Debug, Default)]
pub struct ResponsesEncoder {
    /// Known from the first record on; nothing comes of records before it.
    names: Option<Names>,
    fold: Fold,
    /// Pieces of the record `queue_seq` that were not sent yet.
    queue: VecDeque<Piece>,
    queue_seq: u64,
    /// How many pieces of that record were sent.
    taken: u32,
    /// Every record up to here is covered by the messages made so far.
    covered: u64,
    minimal: Option<Message>,
}

impl ResponsesEncoder {
    /// An encoder before a turn's first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds `recorded` if that has not been done yet, and says whether it has pieces to send.
    fn load(&mut self, recorded: Recorded<'_>) -> bool {
        if self.queue.is_empty() {
            if let (None, RecordBody::Begun(header)) = (&self.names, &recorded.record.body) {
                self.names = Some(Names::new(header.get().clone()));
            }
            self.queue = match &self.names {
                Some(_) => self.fold.record(recorded.record).into(),
                None => VecDeque::new(),
            };
            self.queue_seq = recorded.seq;
            self.taken = 0;
        }
        debug_assert_eq!(self.queue_seq, recorded.seq, "records follow each other");
        !self.queue.is_empty()
    }

    /// Covers the records before the first one that has something to send. Returns their number.
    fn cover_silent(&mut self, pending: &[Recorded<'_>]) -> usize {
        let mut covered = 0;
        for recorded in pending {
            if self.load(*recorded) {
                break;
            }
            self.covered = recorded.seq;
            covered += 1;
        }
        covered
    }

    /// Takes into `piece` what of the following records fits, and covers the silent ones between. Returns
    /// how many records that was.
    fn merge_following(&mut self, piece: &mut Piece, following: &[Recorded<'_>]) -> usize {
        let mut merged = 0;
        for recorded in following {
            if self.load(*recorded) {
                if self.queue.len() > 1 {
                    break;
                }
                if let Some(later) = self.queue.pop_front().and_then(|later| piece.merge(later)) {
                    self.queue.push_front(later);
                    break;
                }
            }
            self.covered = recorded.seq;
            merged += 1;
        }
        merged
    }

    fn take(&mut self) -> Option<Piece> {
        let piece = self.queue.pop_front()?;
        self.taken += 1;
        Some(piece)
    }

    /// The message for `piece`, which is the `n`th one of record `seq`.
    fn message(&mut self, piece: &Piece, seq: u64, n: u32) -> Option<Message> {
        let names = self.names.as_ref()?;
        if let Piece::End(end) = piece {
            self.minimal = Some(names.minimal(end, seq));
        }
        Some(names.message(piece, names.key(seq, n), self.covered))
    }
}

impl Encoder for ResponsesEncoder {
    fn next(&mut self, pending: &[Recorded<'_>]) -> Step {
        let mut consumed = self.cover_silent(pending);
        // The messages of a record that takes several depend on nothing but that record: they are not mixed
        // with others, or a crash between them would leave a range that can't be made again.
        let wait = self.queue.len() > 1 && consumed > 0;
        if wait || consumed == pending.len() {
            return Step {
                consumed,
                message: None,
            };
        }
        let Some(mut piece) = self.take() else {
            return Step {
                consumed,
                message: None,
            };
        };
        let (seq, n) = (self.queue_seq, self.taken);
        if self.queue.is_empty() {
            self.covered = seq;
            consumed += 1;
            consumed += self.merge_following(&mut piece, &pending[consumed..]);
        }
        Step {
            consumed,
            message: self.message(&piece, seq, n),
        }
    }

    fn minimal_terminal(&self) -> Option<Message> {
        self.minimal.clone()
    }
}

/// What every message of a turn repeats.
#[derive(Debug)]
struct Names {
    header: TurnHeader,
    item_id: String,
}

impl Names {
    fn new(header: TurnHeader) -> Self {
        Self {
            item_id: format!("msg_{}", header.key.subtask),
            header,
        }
    }

    fn key(&self, seq: u64, n: impl std::fmt::Display) -> String {
        let TurnHeader { key, attempt, .. } = &self.header;
        format!("{key}-{attempt}-{seq}-{n}")
    }

    fn message(&self, piece: &Piece, key: String, through: u64) -> Message {
        let item_id = self.item_id.as_str();
        let data = match piece {
            Piece::Created => Data::Created {
                response: self.response(None, "in_progress", None),
                shell_type: self.header.envelope.shell_type.as_deref(),
                bot_name: self.header.envelope.bot_name.as_deref(),
            },
            Piece::Text { delta, offset } => Data::Text {
                item_id,
                output_index: 0,
                content_index: 0,
                delta,
                offset: *offset,
            },
            Piece::Reasoning { delta } => Data::Reasoning {
                item_id,
                output_index: 0,
                content_index: 0,
                delta,
            },
            Piece::BlockCreated(block) => Data::BlockCreated { block },
            Piece::BlockUpdated { id, updates } => Data::BlockUpdated {
                block_id: id.as_str(),
                updates,
            },
            Piece::ItemDone(item) => Data::ItemDone {
                output_index: 0,
                item,
            },
            Piece::End(end) => self.end(end),
        };
        self.callback(&data, key, through)
    }

    fn callback(&self, data: &Data<'_>, key: String, through: u64) -> Message {
        let envelope = &self.header.envelope;
        let callback = Callback {
            event_type: data.event_type(),
            task_id: self.header.key.task.0,
            subtask_id: self.header.key.subtask.0,
            message_id: envelope.message_id,
            executor_name: envelope.executor_name.as_deref(),
            executor_namespace: envelope.executor_namespace.as_deref(),
            validation_id: envelope.validation_id.as_deref(),
            data,
        };
        let body =
            serde_json::to_vec(&callback).expect("a callback is made of strings, numbers and JSON");
        Message {
            body: Bytes::from(body),
            through,
            terminal: data.is_terminal(),
            key,
            event_type: data.event_type(),
            required: false,
            repeated: false,
            rest: super::Rest::default(),
        }
    }

    fn response<'a>(
        &'a self,
        model: Option<&'a str>,
        status: &'static str,
        end: Option<ResponseEnd>,
    ) -> Response<'a> {
        Response {
            id: &self.header.response_id,
            object: "response",
            created_at: self.header.created_at,
            model: model.unwrap_or(&self.header.envelope.model),
            status,
            output: Vec::new(),
            end,
        }
    }

    fn end<'a>(&'a self, end: &'a End) -> Data<'a> {
        let model = end.model.as_deref();
        match &end.kind {
            EndKind::Completed { text, stop } => {
                let mut response = self.response(
                    model,
                    "completed",
                    Some(ResponseEnd::Completed {
                        usage: end.usage.as_ref().map(Usage::from),
                        stop_reason: stop_reason(*stop),
                        file_changes: FileChanges::new(&end.changes),
                        executor_session: end.session.as_ref().map(|session| self.session(session)),
                    }),
                );
                // Without a final text the backend takes the text that was streamed.
                if !text.is_empty() {
                    response
                        .output
                        .push(OutputMessage::new(&self.item_id, text));
                }
                Data::Completed { response }
            }
            EndKind::Waiting { .. } => Data::Completed {
                response: self.response(model, "completed", Some(self.waiting(end))),
            },
            EndKind::Failed {
                class,
                message,
                code,
            } => Data::Error {
                code: code.as_deref().unwrap_or_else(|| ui_code(*class)),
                message,
            },
            EndKind::Cancelled { message, .. } => Data::Incomplete {
                response: self.response(model, "cancelled", Some(cancelled(message))),
            },
        }
    }

    /// The turn ends without an answer and without figures, as Wegent has it; what was said so far stays.
    fn waiting(&self, end: &End) -> ResponseEnd {
        ResponseEnd::Waiting {
            usage: (),
            stop_reason: "tool_deferred",
            silent_exit: true,
            silent_exit_reason: "waiting_for_user_input",
            file_changes: FileChanges::new(&end.changes),
            executor_session: end.session.as_ref().map(|session| self.session(session)),
        }
    }

    /// Wegent spells Codex `CodeX` in its session records.
    fn session(&self, session: &SessionRef) -> Session {
        let id = Some(session.id.to_string());
        let bot_id = self.header.envelope.bot_id.as_ref();
        let bot_id = bot_id.map(|id| {
            id.parse::<i64>()
                .map_or_else(|_| Value::from(id.as_str()), Value::from)
        });
        match session.agent {
            AgentKind::ClaudeCode => Session {
                agent: "ClaudeCode",
                session_id: id,
                thread_id: None,
                bot_id,
            },
            AgentKind::Codex => Session {
                agent: "CodeX",
                session_id: None,
                thread_id: id,
                bot_id,
            },
        }
    }

    fn minimal(&self, end: &End, seq: u64) -> Message {
        let short =
            |message: &str| message[..floor_boundary(message, MAX_MINIMAL_MESSAGE)].to_owned();
        let kind = match &end.kind {
            EndKind::Completed { stop, .. } => EndKind::Completed {
                text: String::new(),
                stop: *stop,
            },
            EndKind::Waiting { call } => EndKind::Waiting { call: call.clone() },
            EndKind::Failed {
                class,
                message,
                code,
            } => EndKind::Failed {
                class: *class,
                message: short(message),
                code: code.clone(),
            },
            EndKind::Cancelled { reason, message } => EndKind::Cancelled {
                reason: *reason,
                message: short(message),
            },
        };
        let end = End {
            kind,
            usage: None,
            session: None,
            changes: agent_core::FileChanges::default(),
            model: None,
        };
        self.callback(&self.end(&end), self.key(seq, "min"), seq)
    }
}

fn stop_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn => "end_turn",
        StopReason::MaxTokens => "max_tokens",
    }
}

fn cancelled(message: &str) -> ResponseEnd {
    ResponseEnd::Cancelled {
        error: CancelError {
            code: "cancelled",
            message: message.to_owned(),
        },
    }
}
