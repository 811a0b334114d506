//! The terminal as the reader of a turn's callbacks.

use std::io::{self, Write};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;

use crate::courier::{Posted, Transport};

/// How a turn ended, as its reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an answer.
    Completed,
    /// With an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// Prints callbacks: as they are, or as a person reads them.
#[derive(Debug)]
pub struct Terminal {
    json: bool,
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    tool_name: String,
    tool_input: serde_json::Value,
}

impl Terminal {
    /// A terminal that prints JSON lines or text.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            ended: watch::Sender::new(None),
        }
    }

    /// Waits for the turn's end.
    pub async fn ended(&self) -> Ending {
        let mut ended = self.ended.subscribe();
        let ending = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ending| *ending);
        ending.unwrap_or(Ending::Failed)
    }

    fn print(&self, body: &Bytes) -> io::Result<()> {
        let callback: Callback = serde_json::from_slice(body).unwrap_or_default();
        let mut out = io::stdout().lock();
        if self.json {
            out.write_all(body)?;
            out.write_all(b"\n")?;
        } else {
            print_text(&callback, &mut out)?;
        }
        out.flush()?;
        let ending = match callback.event_type.as_str() {
            "response.completed" => Ending::Completed,
            "response.incomplete" => Ending::Cancelled,
            "error" => Ending::Failed,
            _ => return Ok(()),
        };
        self.ended.send_replace(Some(ending));
        Ok(())
    }
}

fn print_text(callback: &Callback, out: &mut impl Write) -> io::Result<()> {
    match callback.event_type.as_str() {
        "response.output_text.delta" => out.write_all(callback.data.delta.as_bytes()),
        "response.block.created" => match &callback.data.block {
            Some(block) => writeln!(
                out,
                "\n[{}] {}",
                block.tool_name,
                summary(&block.tool_input)
            ),
            None => Ok(()),
        },
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
    fn post<'a>(&'a self, _key: &'a str, body: Bytes) -> BoxFuture<'a, Posted> {
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
