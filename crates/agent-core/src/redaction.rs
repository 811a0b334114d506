//! Redaction of events: the type [`Redacted`] carries the proof.
//!
//! Text and reasoning stream in pieces, so a secret can be split over deltas, over blocks, and around whatever
//! happens between two blocks. Each delta passes two matchers. The first belongs to its block: what a reader
//! gets who joins the deltas of one block. The second belongs to its lane, that is all text (or all reasoning)
//! of one speaker: what a reader gets who joins a whole answer. Neither of them ever sees a whole secret.
//!
//! Text that may be the beginning of a secret is held back, but it must not be overtaken by what came after it.
//! So whatever has a place in the answer (another block, a tool call, a plan, a notice) flushes it first. The
//! matchers go on where they were: if later text completes the secret, that remainder is replaced. What can show
//! by this is a proper beginning of a secret, when the model interrupts itself in the middle of one.
//!
//! Tool output is streamed through a matcher per call and flushed only by its own end, as it has its place
//! already. Everything else is redacted string by string.

use std::{borrow::Cow, collections::VecDeque, mem, ops::Deref};

use redact::{Secrets, Stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    AgentEvent, BlockId, Form, Notice, Question, SessionId, SessionRef, SubagentEvent, ToolCallId,
    ToolEvent,
};

/// How many blocks, lanes and tool calls are remembered each, ended ones too. Beyond that the one that was silent for longest
/// is forgotten: a secret split around that much else would show.
const REMEMBERED: usize = 256;

/// A value without secrets.
///
/// There are two ways to get one: the redactor makes it, or it is read back from where only redacted values are
/// written (a journal), which is what `Deserialize` is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value without the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A value could not be redacted.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The value can't be written as JSON.
    #[error("value can't be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// Without its secrets the value is not of its type any more.
    #[error("value is not valid without its secrets")]
    Decode(#[source] serde_json::Error),
}

/// Replaces secrets in every string of `value`, map keys included.
///
/// # Errors
/// [`RedactError`] if `value` doesn't survive the way through JSON, as when an enum's tag is a secret.
pub fn redact_value<T: Serialize + DeserializeOwned>(
    secrets: &Secrets,
    value: T,
) -> Result<Redacted<T>, RedactError> {
    if secrets.is_empty() {
        return Ok(Redacted(value));
    }
    let mut json = serde_json::to_value(value).map_err(RedactError::Encode)?;
    secrets.redact_json(&mut json);
    serde_json::from_value(json)
        .map(Redacted)
        .map_err(RedactError::Decode)
}

/// Redacts the events of one turn, in their order.
#[derive(Debug)]
pub struct EventRedactor {
    secrets: Secrets,
    /// The block whose text came last; the only one that may hold text back.
    open: Option<Block>,
    /// Other blocks, the one that spoke last at the end.
    parked: VecDeque<Block>,
    lanes: VecDeque<(Lane, Stream)>,
    outputs: VecDeque<(ToolCallId, Stream)>,
}

/// What kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

/// All text of one kind by one speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lane {
    kind: Kind,
    parent: Option<ToolCallId>,
}

impl Lane {
    fn new(kind: Kind, parent: Option<ToolCallId>) -> Self {
        Self { kind, parent }
    }
}

#[derive(Debug)]
struct Block {
    id: BlockId,
    lane: Lane,
    stream: Stream,
}

impl EventRedactor {
    /// A redactor for one turn. Secrets added later are heeded from the next event on.
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            open: None,
            parked: VecDeque::new(),
            lanes: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes the next event and returns what may be shown now, in order: usually one event; none if all of a
    /// delta is held back; more if held back text had to go first.
    pub fn push(&mut self, event: AgentEvent) -> Vec<Redacted<AgentEvent>> {
        match event {
            AgentEvent::Text {
                block,
                parent,
                delta,
            } => self.text(Lane::new(Kind::Text, parent), block, delta),
            AgentEvent::Reasoning {
                block,
                parent,
                delta,
            } => self.text(Lane::new(Kind::Reasoning, parent), block, delta),
            // Output goes where its call already is, so it overtakes nothing.
            AgentEvent::Tool(event @ ToolEvent::Output { .. }) => self.tool(event),
            AgentEvent::Tool(event) => {
                let mut shown = self.flush_open();
                shown.extend(self.tool(event));
                shown
            }
            AgentEvent::BlockEnd { block } => {
                let block = self.block_id(block);
                self.after_text(AgentEvent::BlockEnd { block })
            }
            AgentEvent::Subagent(event) => {
                let event = self.subagent(event);
                self.after_text(AgentEvent::Subagent(event))
            }
            AgentEvent::Plan { call, mut steps } => {
                let call = self.call_id(call);
                steps
                    .iter_mut()
                    .for_each(|step| self.string(&mut step.text));
                self.after_text(AgentEvent::Plan { call, steps })
            }
            AgentEvent::Notice(Notice { kind, mut text }) => {
                self.string(&mut text);
                self.after_text(AgentEvent::Notice(Notice { kind, text }))
            }
            AgentEvent::Question(question) => {
                let question = self.question(question);
                self.after_text(AgentEvent::Question(question))
            }
            // The others have no place in the answer, or come before all of it, so they may overtake held back text.
            AgentEvent::Preparation(mut preparation) => {
                self.string(&mut preparation.note);
                vec![Redacted(AgentEvent::Preparation(preparation))]
            }
            AgentEvent::Session(SessionRef { agent, id }) => {
                let id = self.id(id, SessionId::as_str, SessionId::new);
                vec![Redacted(AgentEvent::Session(SessionRef { agent, id }))]
            }
            AgentEvent::Place { mut cwd } => {
                self.string(&mut cwd);
                vec![Redacted(AgentEvent::Place { cwd })]
            }
            AgentEvent::Model { mut id } => {
                self.string(&mut id);
                vec![Redacted(AgentEvent::Model { id })]
            }
            AgentEvent::Retry(mut retry) => {
                self.string(&mut retry.error);
                vec![Redacted(AgentEvent::Retry(retry))]
            }
            AgentEvent::Usage(usage) => vec![Redacted(AgentEvent::Usage(usage))],
            AgentEvent::CleanUp(clean_up) => vec![Redacted(AgentEvent::CleanUp(clean_up))],
        }
    }

    /// An event that has a place in the answer, after the text that is held back.
    fn after_text(&mut self, clean: AgentEvent) -> Vec<Redacted<AgentEvent>> {
        let mut shown = self.flush_open();
        shown.push(Redacted(clean));
        shown
    }

    /// Returns what is still held back. No event may follow.
    pub fn finish(&mut self) -> Vec<Redacted<AgentEvent>> {
        let mut shown = self.flush_open();
        for (call, mut stream) in mem::take(&mut self.outputs) {
            shown.extend(self.output_event(call, stream.finish()));
        }
        self.open = None;
        self.parked.clear();
        self.lanes.clear();
        shown
    }

    /// Redacts a value that is no event, string by string; see [`redact_value`].
    ///
    /// # Errors
    /// As [`redact_value`].
    pub fn redact_value<T: Serialize + DeserializeOwned>(
        &self,
        value: T,
    ) -> Result<Redacted<T>, RedactError> {
        redact_value(&self.secrets, value)
    }

    fn text(&mut self, lane: Lane, id: BlockId, delta: String) -> Vec<Redacted<AgentEvent>> {
        let goes_on = self
            .open
            .as_ref()
            .is_some_and(|open| open.id == id && open.lane == lane);
        let mut shown = Vec::with_capacity(1);
        if !goes_on {
            shown = self.flush_open();
            self.open_block(lane, id);
        }
        let Some(open) = &mut self.open else {
            return shown;
        };
        let delta = open.stream.push_owned(delta);
        let delta = stream_of(&mut self.lanes, &self.secrets, &open.lane).push_owned(delta);
        shown.extend(self.text_event(delta));
        shown
    }

    /// Parks the open block and opens this one, where it was if it was parked.
    fn open_block(&mut self, lane: Lane, id: BlockId) {
        if let Some(block) = self.open.take() {
            remember(&mut self.parked, block);
        }
        let known = self
            .parked
            .iter()
            .position(|parked| parked.id == id && parked.lane == lane);
        let stream = known
            .and_then(|at| self.parked.remove(at))
            .map_or_else(|| Stream::new(&self.secrets), |block| block.stream);
        self.open = Some(Block { id, lane, stream });
    }

    /// Shows what the open block holds back. The block stays open.
    fn flush_open(&mut self) -> Vec<Redacted<AgentEvent>> {
        let Some(open) = &mut self.open else {
            return Vec::new();
        };
        let lane = stream_of(&mut self.lanes, &self.secrets, &open.lane);
        let mut delta = lane.push_owned(open.stream.flush());
        delta.push_str(&lane.flush());
        self.text_event(delta).into_iter().collect()
    }

    /// The event that appends `delta` to the open block; none if there is nothing to append.
    fn text_event(&self, delta: String) -> Option<Redacted<AgentEvent>> {
        let open = self.open.as_ref().filter(|_| !delta.is_empty())?;
        let block = self.block_id(open.id.clone());
        let parent = open.lane.parent.clone().map(|parent| self.call_id(parent));
        Some(Redacted(match open.lane.kind {
            Kind::Text => AgentEvent::Text {
                block,
                parent,
                delta,
            },
            Kind::Reasoning => AgentEvent::Reasoning {
                block,
                parent,
                delta,
            },
        }))
    }

    fn tool(&mut self, event: ToolEvent) -> Vec<Redacted<AgentEvent>> {
        let mut shown = Vec::with_capacity(1);
        let event = match event {
            ToolEvent::Started {
                call,
                parent,
                mut name,
                mut input,
            } => {
                self.string(&mut name);
                self.secrets.redact_json(&mut input);
                let parent = parent.map(|parent| self.call_id(parent));
                ToolEvent::Started {
                    call: self.call_id(call),
                    parent,
                    name,
                    input,
                }
            }
            ToolEvent::Input { call, mut input } => {
                self.secrets.redact_json(&mut input);
                ToolEvent::Input {
                    call: self.call_id(call),
                    input,
                }
            }
            ToolEvent::Output { call, delta } => {
                let delta = stream_of(&mut self.outputs, &self.secrets, &call).push_owned(delta);
                return self.output_event(call, delta).into_iter().collect();
            }
            ToolEvent::Finished {
                call,
                status,
                mut output,
            } => {
                let rest = stream_of(&mut self.outputs, &self.secrets, &call).flush();
                shown.extend(self.output_event(call.clone(), rest));
                self.string(&mut output);
                ToolEvent::Finished {
                    call: self.call_id(call),
                    status,
                    output,
                }
            }
        };
        shown.push(Redacted(AgentEvent::Tool(event)));
        shown
    }

    fn subagent(&self, event: SubagentEvent) -> SubagentEvent {
        let clean = |text: Option<String>| {
            text.map(|mut text| {
                self.string(&mut text);
                text
            })
        };
        match event {
            SubagentEvent::Started {
                call,
                parent,
                mut name,
                mut input,
                description,
                agent_type,
            } => {
                self.string(&mut name);
                self.secrets.redact_json(&mut input);
                SubagentEvent::Started {
                    call: self.call_id(call),
                    parent: parent.map(|parent| self.call_id(parent)),
                    name,
                    input,
                    description: clean(description),
                    agent_type: clean(agent_type),
                }
            }
            SubagentEvent::Running { call } => SubagentEvent::Running {
                call: self.call_id(call),
            },
            SubagentEvent::Finished {
                call,
                status,
                mut output,
                summary,
            } => {
                self.string(&mut output);
                SubagentEvent::Finished {
                    call: self.call_id(call),
                    status,
                    output,
                    summary: clean(summary),
                }
            }
        }
    }

    fn question(&self, Question { call, mut form }: Question) -> Question {
        match &mut form {
            Form::Tool { name, input } => {
                self.string(name);
                self.secrets.redact_json(input);
            }
            Form::Fields(fields) => fields
                .iter_mut()
                .flat_map(|field| field.strings_mut())
                .for_each(|text| self.string(text)),
        }
        Question {
            call: self.call_id(call),
            form,
        }
    }

    fn output_event(&self, call: ToolCallId, delta: String) -> Option<Redacted<AgentEvent>> {
        let event = |delta| {
            AgentEvent::Tool(ToolEvent::Output {
                call: self.call_id(call),
                delta,
            })
        };
        (!delta.is_empty()).then(|| Redacted(event(delta)))
    }

    fn string(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.secrets.redact_str(text) {
            *text = redacted;
        }
    }

    fn call_id(&self, id: ToolCallId) -> ToolCallId {
        self.id(id, ToolCallId::as_str, ToolCallId::new)
    }

    fn block_id(&self, id: BlockId) -> BlockId {
        self.id(id, BlockId::as_str, BlockId::new)
    }

    /// An identifier without secrets. Equal ones stay equal.
    fn id<I, E: std::fmt::Debug>(
        &self,
        id: I,
        text: fn(&I) -> &str,
        new: fn(String) -> Result<I, E>,
    ) -> I {
        match self.secrets.redact_str(text(&id)) {
            Cow::Borrowed(_) => id,
            Cow::Owned(redacted) => new(redacted).expect("a placeholder is not blank"),
        }
    }
}

/// The stream kept under `key`, a fresh one if there is none. There are few, so a search is cheapest.
fn stream_of<'a, K: Clone + PartialEq>(
    streams: &'a mut VecDeque<(K, Stream)>,
    secrets: &Secrets,
    key: &K,
) -> &'a mut Stream {
    let known = streams.iter().rposition(|(known, _)| known == key);
    if known.is_none() || known != streams.len().checked_sub(1) {
        // To the end with it: the front is what was silent for longest.
        let entry = known.and_then(|at| streams.remove(at));
        remember(
            streams,
            entry.unwrap_or_else(|| (key.clone(), Stream::new(secrets))),
        );
    }
    &mut streams
        .back_mut()
        .expect("the key's stream is at the end")
        .1
}

/// Appends, forgetting the oldest when there are too many.
fn remember<T>(all: &mut VecDeque<T>, new: T) {
    if all.len() >= REMEMBERED {
        all.pop_front();
    }
    all.push_back(new);
}

/// A push that keeps the string if all of it can be shown.
trait PushOwned {
    fn push_owned(&mut self, delta: String) -> String;
}

impl PushOwned for Stream {
    fn push_owned(&mut self, delta: String) -> String {
        match self.push(&delta) {
            Cow::Borrowed(shown) if shown.len() == delta.len() => delta,
            shown => shown.into_owned(),
        }
    }
}

#[cfg(test)]
#[path = "redaction_tests.rs"]
mod tests;
