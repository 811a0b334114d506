//! Recorded conversations between `codex app-server` and a client, and a server that repeats its part.
//!
//! The recordings lie in `transcripts/codex` of this crate; their README says how they were made.
//!
//! ```
//! use testkit::transcript;
//! let text = transcript::load("text").unwrap();
//! let methods: Vec<&str> = text.sent().filter_map(|message| message.method()).collect();
//! assert_eq!(methods, ["initialize", "initialized", "thread/start", "turn/start"]);
//! ```

mod replay;

use std::{fs, io, path::PathBuf};

pub use replay::{AtEnd, Replay, ReplayReport};
use serde::Deserialize;
use serde_json::Value;

/// A message of the app-server's dialect of JSON-RPC, as it was on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(pub Value);

impl Message {
    /// The method, of a request or a notification.
    pub fn method(&self) -> Option<&str> {
        self.0.get("method")?.as_str()
    }

    /// The id, of a request or an answer.
    pub fn id(&self) -> Option<&Value> {
        self.0.get("id")
    }

    /// Whether it asks for an answer.
    pub fn is_request(&self) -> bool {
        self.method().is_some() && self.id().is_some()
    }

    /// Whether it is the answer to a request, an error included.
    pub fn is_answer(&self) -> bool {
        self.method().is_none() && self.id().is_some()
    }
}

/// A line of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The client said this.
    Sent(Message),
    /// The server said this.
    Received(Message),
    /// A remark of the recording.
    Note(String),
}

/// A recorded conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// Its name.
    pub name: String,
    /// Its lines in order.
    pub lines: Vec<Line>,
}

/// A transcript can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its file can't be read.
    #[error("transcript `{name}` can't be read")]
    Read {
        /// Its name.
        name: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A line is not what a transcript consists of.
    #[error("transcript `{name}`, line {line}")]
    Parse {
        /// Its name.
        name: String,
        /// The line, from 1.
        line: usize,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts/codex"))
}

/// The names of all transcripts, sorted.
///
/// # Panics
/// If the folder of the transcripts is not there, which is part of this crate's sources.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the transcripts are part of the sources");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Loads a transcript by its name.
///
/// # Errors
/// If there is none of that name, or it is damaged.
pub fn load(name: &str) -> Result<Transcript, LoadError> {
    let text = fs::read_to_string(folder().join(format!("{name}.jsonl"))).map_err(|source| {
        LoadError::Read {
            name: name.to_owned(),
            source,
        }
    })?;
    Transcript::parse(name, &text)
}

#[derive(Deserialize)]
struct Record {
    dir: Direction,
    msg: Value,
}

#[derive(Deserialize)]
enum Direction {
    #[serde(rename = ">")]
    Sent,
    #[serde(rename = "<")]
    Received,
    #[serde(rename = "#")]
    Note,
}

impl Transcript {
    /// Reads a transcript from its text.
    ///
    /// # Errors
    /// If a line is not what a transcript consists of.
    pub fn parse(name: &str, text: &str) -> Result<Self, LoadError> {
        let parse = |(index, line): (usize, &str)| {
            let record: Record = serde_json::from_str(line).map_err(|source| LoadError::Parse {
                name: name.to_owned(),
                line: index + 1,
                source,
            })?;
            Ok(match record.dir {
                Direction::Sent => Line::Sent(Message(record.msg)),
                Direction::Received => Line::Received(Message(record.msg)),
                Direction::Note => Line::Note(record.msg.as_str().unwrap_or_default().to_owned()),
            })
        };
        // Not `str::lines`: a carriage return belongs to the message.
        let lines = text
            .split('\n')
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(parse);
        Ok(Self {
            name: name.to_owned(),
            lines: lines.collect::<Result<_, _>>()?,
        })
    }

    /// What the client said.
    pub fn sent(&self) -> impl Iterator<Item = &Message> {
        self.lines.iter().filter_map(|line| match line {
            Line::Sent(message) => Some(message),
            _ => None,
        })
    }

    /// What the server said.
    pub fn received(&self) -> impl Iterator<Item = &Message> {
        self.lines.iter().filter_map(|line| match line {
            Line::Received(message) => Some(message),
            _ => None,
        })
    }

    /// One transcript per process: a recording in which the server was killed and another one started has two.
    pub fn parts(&self) -> Vec<Self> {
        let lines = self
            .lines
            .split(|line| matches!(line, Line::Note(note) if note == "new process"));
        lines
            .map(|lines| Self {
                name: self.name.clone(),
                lines: lines.to_vec(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transcript_can_be_read_and_begins_with_a_handshake() {
        let names = names();
        assert!(names.len() > 40, "{names:?}");
        for name in names {
            let transcript = load(&name).unwrap();
            let first = transcript.sent().next().and_then(Message::method);
            assert_eq!(first, Some("initialize"), "{name}");
            assert!(transcript.received().count() > 3, "{name}");
        }
    }

    #[test]
    fn a_recording_with_a_kill_has_two_parts() {
        assert_eq!(load("kill9-text").unwrap().parts().len(), 2);
        assert_eq!(load("text").unwrap().parts().len(), 1);
    }

    #[test]
    fn a_missing_transcript_is_an_error() {
        assert!(matches!(load("no such thing"), Err(LoadError::Read { .. })));
    }
}
