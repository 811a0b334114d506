//! The answer that a script writes: what it says, in the words of all providers.
//!
//! The form on the wire is the affair of [`openai`] and [`anthropic`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Options, Said, ToolCall, anthropic,
    ledger::{Ending, Ledger},
    openai,
    request::{Request, Wire},
};
use crate::http::Break;

/// What goes from a script to the connection.
#[derive(Debug)]
pub(super) enum Out {
    Chunk(Bytes),
    Whole(Whole),
    Break(Break),
}

/// An answer that is not a stream.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after: Option<u32>,
}

/// Why a script ends early.
#[derive(Debug)]
pub(super) enum Stop {
    Gone,
    Refused(Whole),
    Broken(Break),
}

pub(super) type Played = Result<(), Stop>;

/// Token figures of an answer; the cached ones are part of the input, the reasoning is part of the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            input: 100,
            cached: 40,
            output: 20,
            reasoning: 8,
        }
    }
}

/// A message that has begun.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) phase: Option<String>,
}

/// What a script works with: the request, the options, and the stream to write to.
pub(super) struct Reply {
    pub(super) request: Request,
    pub(super) options: Arc<Options>,
    pub(super) command: Option<String>,
    /// How often this script was asked for this turn, this time included.
    pub(super) attempt: u32,
    pub(super) number: u64,
    pub(super) ledger: Arc<Ledger>,
    pub(super) figures: Figures,
    /// How many events have been written.
    pub(super) events: u64,
    /// The output items or content blocks that are finished.
    pub(super) items: Vec<Value>,
    out: mpsc::Sender<Out>,
    split: bool,
    ended: bool,
}

impl Reply {
    pub(super) fn new(
        (number, ledger): (u64, Arc<Ledger>),
        request: Request,
        options: Arc<Options>,
        (command, attempt): (Option<String>, u32),
        out: mpsc::Sender<Out>,
    ) -> Self {
        Self {
            request,
            options,
            command,
            attempt,
            number,
            ledger,
            figures: Figures::default(),
            events: 0,
            items: Vec::new(),
            out,
            split: false,
            ended: false,
        }
    }

    pub(super) fn wire(&self) -> Wire {
        self.request.wire
    }

    /// Tells the connection and the ledger how the script ended.
    pub(super) async fn finish(mut self, played: Played) {
        let (ending, last) = match played {
            Ok(()) => (Ending::Finished, None),
            Err(Stop::Gone) => (Ending::ClientGone, None),
            Err(Stop::Refused(refusal)) => {
                (Ending::Refused(refusal.status), Some(Out::Whole(refusal)))
            }
            Err(Stop::Broken(how)) => (Ending::Broken, Some(Out::Break(how))),
        };
        self.ended = true;
        self.ledger
            .update(self.number, |request| request.ending = ending);
        if let Some(last) = last {
            // If the client has gone, nobody needs to be told.
            let _ = self.out.send(last).await;
        }
    }

    /// From here on, cut what is written into pieces of a few bytes.
    pub(super) fn split_bytes(&mut self) {
        self.split = true;
    }

    /// Waits for as long as the client listens.
    pub(super) async fn silence(&self, most: Duration) {
        tokio::select! {
            () = self.out.closed() => {}
            () = tokio::time::sleep(most) => {}
        }
    }

    pub(super) async fn pause(&self, length: Duration) {
        if !length.is_zero() {
            tokio::time::sleep(length).await;
        }
    }

    /// Writes bytes as they are.
    pub(super) async fn raw(&mut self, data: impl Into<Bytes>) -> Played {
        let data = data.into();
        let size = if self.split {
            self.options.split_bytes.max(1)
        } else {
            data.len().max(1)
        };
        let mut rest = data;
        while !rest.is_empty() {
            let piece = rest.split_to(size.min(rest.len()));
            self.send(Out::Chunk(piece)).await?;
        }
        Ok(())
    }

    /// Answers with one object in place of a stream.
    pub(super) async fn whole(&mut self, body: Value) -> Played {
        let retry_after = None;
        self.send(Out::Whole(Whole {
            status: 200,
            body,
            retry_after,
        }))
        .await
    }

    async fn send(&mut self, out: Out) -> Played {
        self.out.send(out).await.map_err(|_| Stop::Gone)
    }

    /// The id of the next item of a kind.
    pub(super) fn item_id(&self, kind: &str) -> String {
        format!("{kind}_model_{:04}_{}", self.number, self.items.len())
    }

    fn said(&self, said: Said) {
        self.ledger
            .update(self.number, |request| request.said.push(said));
    }

    fn said_more(&self, delta: &str, done: bool) {
        self.ledger.update(self.number, |request| {
            if let Some(Said::Text { text, complete, .. }) = request.said.last_mut() {
                text.push_str(delta);
                *complete = done;
            }
        });
    }

    /// The head of the answer.
    pub(super) async fn created(&mut self) -> Played {
        match self.wire() {
            Wire::OpenAi => openai::created(self).await,
            Wire::Anthropic => anthropic::created(self).await,
        }
    }

    /// The end of an answer that ended well.
    pub(super) async fn completed(&mut self) -> Played {
        let figures = self.figures;
        match self.wire() {
            Wire::OpenAi => openai::completed(self, figures).await,
            Wire::Anthropic => anthropic::completed(self, figures, None).await,
        }
    }

    /// Begins a message and sends its deltas, but not its end. Gives the text too.
    pub(super) async fn begin_text(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        delay: Duration,
        phase: Option<&str>,
    ) -> Result<(Open, String), Stop> {
        let open = Open {
            id: self.item_id("msg"),
            phase: phase.map(str::to_owned),
        };
        self.said(Said::Text {
            id: open.id.clone(),
            phase: open.phase.clone(),
            text: String::new(),
            complete: false,
        });
        match self.wire() {
            Wire::OpenAi => openai::open_text(self, &open).await?,
            Wire::Anthropic => anthropic::open_text(self).await?,
        }
        let mut text = String::new();
        for delta in deltas {
            match self.wire() {
                Wire::OpenAi => openai::text_delta(self, &open, &delta).await?,
                Wire::Anthropic => anthropic::text_delta(self, &delta).await?,
            }
            self.said_more(&delta, false);
            text.push_str(&delta);
            self.pause(delay).await;
        }
        Ok((open, text))
    }

    /// A whole message.
    pub(super) async fn text(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        delay: Duration,
        phase: Option<&str>,
    ) -> Played {
        let (open, text) = self.begin_text(deltas, delay, phase).await?;
        match self.wire() {
            Wire::OpenAi => openai::close_text(self, &open, &text).await?,
            Wire::Anthropic => anthropic::close_text(self, &text).await?,
        }
        self.said_more("", true);
        Ok(())
    }

    /// A message of `text`, word by word.
    pub(super) async fn say(&mut self, text: &str, phase: Option<&str>) -> Played {
        self.text(words(text), self.options.delta_delay, phase)
            .await
    }

    /// What the model thinks, in several parts.
    pub(super) async fn reasoning(&mut self, parts: &[&str]) -> Played {
        let id = self.item_id("rs");
        match self.wire() {
            Wire::OpenAi => openai::reasoning(self, &id, parts).await?,
            Wire::Anthropic => {
                for part in parts {
                    anthropic::thinking(self, part).await?;
                }
            }
        }
        self.said(Said::Reasoning {
            parts: parts.iter().map(|&part| part.to_owned()).collect(),
        });
        Ok(())
    }

    /// A call of a tool that takes JSON.
    pub(super) async fn call(
        &mut self,
        name: &str,
        namespace: Option<String>,
        arguments: &Value,
    ) -> Played {
        self.call_raw(name, namespace, &arguments.to_string()).await
    }

    /// A call whose arguments need not be JSON.
    pub(super) async fn call_raw(
        &mut self,
        name: &str,
        namespace: Option<String>,
        arguments: &str,
    ) -> Played {
        let call = self.said_call(name, namespace.clone(), arguments);
        let tool = (name, namespace.as_deref());
        match self.wire() {
            Wire::OpenAi => openai::call(self, &call, tool, arguments).await,
            Wire::Anthropic => anthropic::call(self, &call, name, arguments).await,
        }
    }

    /// A call of a tool that takes free text; only OpenAI's tools do.
    pub(super) async fn call_freeform(&mut self, name: &str, input: &str) -> Played {
        let call = self.said_call(name, None, input);
        openai::call_freeform(self, &call, name, input).await
    }

    /// Notes a call and names it.
    pub(super) fn said_call(
        &self,
        name: &str,
        namespace: Option<String>,
        arguments: &str,
    ) -> String {
        let call = self.item_id(match self.wire() {
            Wire::OpenAi => "call",
            Wire::Anthropic => "toolu",
        });
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        self.said(Said::Tool(ToolCall {
            call: call.clone(),
            name,
            namespace,
            arguments,
        }));
        call
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.ended {
            self.ledger
                .update(self.number, |request| request.ending = Ending::ClientGone);
        }
    }
}

/// The text cut after each stretch of white space.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut in_space = false;
    for character in text.chars() {
        if in_space && !character.is_whitespace() {
            words.push(String::new());
        }
        in_space = character.is_whitespace();
        words
            .last_mut()
            .expect("there is always a word")
            .push(character);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The text cut into pieces, as arguments are streamed.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(24)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_every_character() {
        assert_eq!(words(" a  b\n\nc "), [" ", "a  ", "b\n\n", "c "]);
        assert!(words("").is_empty());
    }
}
