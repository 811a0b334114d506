//! The answer that a script writes: server-sent events in the order and form of the Responses API.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Options,
    ledger::{Ending, Ledger},
    request::Request,
};
use crate::http::Break;

/// What goes from a script to the connection.
#[derive(Debug)]
pub(super) enum Out {
    Chunk(Bytes),
    Refuse(Refusal),
    Break(Break),
}

/// An answer that is not a stream.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after: Option<u32>,
}

/// Why a script ends early.
#[derive(Debug)]
pub(super) enum Stop {
    Gone,
    Refused(Refusal),
    Broken(Break),
}

pub(super) type Played = Result<(), Stop>;

/// What a script works with: the request, the options, and the stream to write to.
pub(super) struct Reply {
    pub(super) request: Request,
    pub(super) options: Arc<Options>,
    pub(super) command: Option<String>,
    /// How often this script was asked for this turn, this time included.
    pub(super) attempt: u32,
    pub(super) number: u64,
    pub(super) ledger: Arc<Ledger>,
    out: mpsc::Sender<Out>,
    sequence: u64,
    pub(super) index: usize,
    pub(super) items: Vec<Value>,
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
            out,
            sequence: 0,
            index: 0,
            items: Vec::new(),
            split: false,
            ended: false,
        }
    }

    /// Tells the connection and the ledger how the script ended.
    pub(super) async fn finish(mut self, played: Played) {
        let (ending, last) = match played {
            Ok(()) => (Ending::Finished, None),
            Err(Stop::Gone) => (Ending::ClientGone, None),
            Err(Stop::Refused(refusal)) => {
                (Ending::Refused(refusal.status), Some(Out::Refuse(refusal)))
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
            self.out
                .send(Out::Chunk(piece))
                .await
                .map_err(|_| Stop::Gone)?;
        }
        Ok(())
    }

    /// Writes one event; `fields` must be an object.
    pub(super) async fn event(&mut self, kind: &str, mut fields: Value) -> Played {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        self.raw(format!("event: {kind}\ndata: {fields}\n\n")).await
    }

    /// The `response` object in one of its states.
    pub(super) fn response(&self, status: &str) -> Value {
        let output = if status == "completed" {
            self.items.as_slice()
        } else {
            &[]
        };
        json!({
            "id": format!("resp_model_{:04}", self.number), "object": "response", "created_at": 1_700_000_000,
            "status": status, "model": self.request.model, "output": output,
            "error": null, "incomplete_details": null, "usage": null,
        })
    }

    pub(super) async fn created(&mut self) -> Played {
        let response = self.response("in_progress");
        self.event("response.created", json!({"response": response.clone()}))
            .await?;
        self.event("response.in_progress", json!({"response": response}))
            .await
    }

    /// The end, with token figures `(input, cached, output, reasoning)`.
    pub(super) async fn completed_with(
        &mut self,
        (input, cached, output, reasoning): (u64, u64, u64, u64),
    ) -> Played {
        let mut response = self.response("completed");
        response["usage"] = json!({
            "input_tokens": input, "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": input + output,
        });
        self.event("response.completed", json!({"response": response}))
            .await
    }

    pub(super) async fn completed(&mut self) -> Played {
        self.completed_with((100, 40, 20, 8)).await
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
