//! The terminal as the reader of a turn's callbacks.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use agent_core::FORM_TOOL;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    courier::{Label, Posted, Transport},
    form::Form,
};

/// How a turn ended, as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an answer.
    Completed,
    /// With a question.
    Asked(Asked),
    /// With an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// What a turn asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The call that asks: the answer names it.
    pub call: String,
    /// The questions.
    pub form: Form,
}

/// In which form callbacks are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// As they are, for a program.
    Program,
    /// As text, for a person who may read it later.
    Person,
    /// As text, for a person who answers questions: those are left to whoever asks them.
    PersonWhoAnswers,
}

/// Prints callbacks.
#[derive(Debug)]
pub struct Terminal {
    reader: Reader,
    asked: Mutex<Asked>,
    ended: watch::Sender<Option<Ending>>,
}

/// The parts of a callback that a person reads.
#[derive(Debug, Default, Deserialize)]
struct Callback {
    event_type: String,
    #[serde(default)]
    data: Data,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    delta: String,
    message: String,
    code: String,
    block: Option<Block>,
    item: Item,
    response: Response,
}

/// A finished call: the platform knows a form by it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    call_id: String,
    arguments: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    silent_exit: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    tool_name: String,
    tool_input: serde_json::Value,
}

impl Terminal {
    /// A terminal with such a reader.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            asked: Mutex::default(),
            ended: watch::Sender::new(None),
        }
    }

    /// Waits for the turn's end; the next call waits for the next turn's.
    pub async fn ended(&self) -> Ending {
        let mut ended = self.ended.subscribe();
        let _ = ended.wait_for(Option::is_some).await;
        self.ended.send_replace(None).unwrap_or(Ending::Failed)
    }

    fn print(&self, body: &Bytes) -> io::Result<()> {
        let callback: Callback = serde_json::from_slice(body).unwrap_or_default();
        let mut out = io::stdout().lock();
        match self.reader {
            Reader::Program => {
                out.write_all(body)?;
                out.write_all(b"\n")?;
            }
            Reader::Person => print_text(&callback, &mut out)?,
            Reader::PersonWhoAnswers if asks(&callback) => {}
            Reader::PersonWhoAnswers => print_text(&callback, &mut out)?,
        }
        out.flush()?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let ending = match callback.event_type.as_str() {
            "response.output_item.done" => {
                let Item { call_id, arguments } = callback.data.item;
                *asked = Asked {
                    call: call_id,
                    form: Form::of_arguments(&arguments),
                };
                return Ok(());
            }
            "response.completed" if callback.data.response.silent_exit => {
                Ending::Asked(std::mem::take(&mut asked))
            }
            "response.completed" => Ending::Completed,
            "response.incomplete" => Ending::Cancelled,
            "error" => Ending::Failed,
            _ => return Ok(()),
        };
        self.ended.send_replace(Some(ending));
        Ok(())
    }
}

/// Whether this is a question, or says that the turn waits for its answer.
fn asks(callback: &Callback) -> bool {
    match callback.event_type.as_str() {
        "response.output_item.done" => true,
        "response.completed" => callback.data.response.silent_exit,
        _ => false,
    }
}

fn print_text(callback: &Callback, out: &mut impl Write) -> io::Result<()> {
    match callback.event_type.as_str() {
        "response.output_text.delta" => out.write_all(callback.data.delta.as_bytes()),
        "response.block.created" => match &callback.data.block {
            // It is printed when it is complete.
            Some(block) if block.tool_name.contains(FORM_TOOL) => Ok(()),
            Some(block) => writeln!(
                out,
                "\n[{}] {}",
                block.tool_name,
                summary(&block.tool_input)
            ),
            None => Ok(()),
        },
        "response.output_item.done" => Form::of_arguments(&callback.data.item.arguments).show(out),
        "response.completed" if callback.data.response.silent_exit => {
            writeln!(out, "\nAnswer with `run --continue`.")
        }
        "response.completed" => writeln!(out),
        "response.incomplete" => writeln!(out, "\ncancelled"),
        "error" => writeln!(
            out,
            "\nerror ({}): {}",
            callback.data.code, callback.data.message
        ),
        _ => Ok(()),
    }
}

/// The most telling argument of a tool call, on one line.
fn summary(input: &serde_json::Value) -> String {
    let text = ["command", "file_path", "query"]
        .iter()
        .find_map(|key| input[*key].as_str().map(str::to_owned))
        .unwrap_or_else(|| input.to_string());
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(160).collect()
}

impl Transport for Terminal {
    fn post<'a>(&'a self, _label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted> {
        let posted = match self.print(&body) {
            Ok(()) => Posted::Accepted,
            Err(error) => {
                // Nobody reads any more: the turn is told so by its end.
                self.ended.send_replace(Some(Ending::Failed));
                Posted::Refused {
                    status: 0,
                    why: error.to_string(),
                }
            }
        };
        Box::pin(std::future::ready(posted))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_printed_with_its_choices() {
        let arguments = json!({"questions": [
            {"id": "where", "question": "Where to?", "options": [{"label": "Here", "value": "h"}, {"label": "There"}]},
            {"id": "why", "question": "Why?", "options": null},
        ]});
        let events = [
            (
                "response.block.created",
                json!({"block": {"tool_name": "mcp__x__interactive_form_question", "tool_input": arguments}}),
            ),
            (
                "response.output_item.done",
                json!({"item": {"arguments": arguments.to_string()}}),
            ),
            (
                "response.completed",
                json!({"response": {"silent_exit": true}}),
            ),
        ];
        let mut out = Vec::new();
        for (event_type, data) in events {
            let callback = json!({"event_type": event_type, "data": data});
            print_text(&serde_json::from_value(callback).unwrap(), &mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\n? Where to?\n  - Here\n  - There\n\n? Why?\n\nAnswer with `run --continue`.\n"
        );
    }
}
