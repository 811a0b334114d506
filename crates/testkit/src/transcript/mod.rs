//! Recorded conversations of the real CLIs, and servers that repeat a CLI's part.
//!
//! The recordings lie in `transcripts/codex` (`codex app-server` and a client) and `transcripts/claude-code/VERSION`
//! (`claude` and its host) of this crate; the READMEs there say how they were made.
//!
//! ```
//! use testkit::transcript;
//! let text = transcript::load("text").unwrap();
//! let methods: Vec<&str> = text.sent().filter_map(|message| message.method()).collect();
//! assert_eq!(methods, ["initialize", "initialized", "thread/start", "turn/start"]);
//!
//! use testkit::cli::ClaudeVersion;
//! let text = transcript::load_claude(ClaudeVersion::V2_1_329, "text").unwrap();
//! let kinds: Vec<String> = text.sent().map(|message| message.kind()).collect();
//! assert_eq!(kinds, ["control_request/initialize", "user", "user"]);
//! ```

mod claude_replay;
mod replay;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use claude_replay::{ClaudeReplay, ClaudeReplayReport};
pub use replay::{AtEnd, Replay, ReplayReport};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::ClaudeVersion;

/// A message as it was on the wire: of the app-server's dialect of JSON-RPC, or of Claude Code's stream-json.
///
/// `method`, `id`, `is_request` and `is_answer` are about the former, `kind` is about the latter.
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

    /// What kind of Claude Code message it is: its type, and after a slash what the type says further, as in
    /// `control_request/initialize`, `system/init`, `stream_event/content_block_delta`, `result/success`.
    pub fn kind(&self) -> String {
        let kind = self.0["type"].as_str().unwrap_or("?");
        let further = match kind {
            "control_request" => &self.0["request"]["subtype"],
            "control_response" => &self.0["response"]["subtype"],
            "stream_event" => &self.0["event"]["type"],
            _ => &self.0["subtype"],
        };
        match further.as_str() {
            Some(further) => format!("{kind}/{further}"),
            None => kind.to_owned(),
        }
    }
}

/// A line of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The client said this.
    Sent(Message),
    /// The client sent this line, which is no message.
    SentRaw(String),
    /// The server said this.
    Received(Message),
    /// The server wrote this line to its standard error.
    Stderr(String),
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
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts"))
}

fn codex_folder() -> PathBuf {
    folder().join("codex")
}

fn claude_folder(version: ClaudeVersion) -> PathBuf {
    folder().join("claude-code").join(version.as_str())
}

/// The names of all transcripts of codex, sorted.
///
/// # Panics
/// If the folder of the transcripts is not there, which is part of this crate's sources.
pub fn names() -> Vec<String> {
    names_in(&codex_folder())
}

/// The names of all transcripts of that version of Claude Code, sorted. All versions have the same.
///
/// # Panics
/// As [`names`].
pub fn claude_names(version: ClaudeVersion) -> Vec<String> {
    names_in(&claude_folder(version))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the transcripts are part of the sources");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Loads a transcript of codex by its name.
///
/// # Errors
/// If there is none of that name, or it is damaged.
pub fn load(name: &str) -> Result<Transcript, LoadError> {
    load_from(&codex_folder(), name)
}

/// Loads a transcript of that version of Claude Code by its name.
///
/// # Errors
/// If there is none of that name, or it is damaged.
pub fn load_claude(version: ClaudeVersion, name: &str) -> Result<Transcript, LoadError> {
    load_from(&claude_folder(version), name)
}

fn load_from(folder: &Path, name: &str) -> Result<Transcript, LoadError> {
    let path = folder.join(format!("{name}.jsonl"));
    let text = fs::read_to_string(path).map_err(|source| LoadError::Read {
        name: name.to_owned(),
        source,
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
    #[serde(rename = "!")]
    Stderr,
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
            let text = |msg: Value| msg.as_str().unwrap_or_default().to_owned();
            Ok(match record.dir {
                Direction::Sent if record.msg.is_string() => Line::SentRaw(text(record.msg)),
                Direction::Sent => Line::Sent(Message(record.msg)),
                Direction::Received => Line::Received(Message(record.msg)),
                Direction::Stderr => Line::Stderr(text(record.msg)),
                Direction::Note => Line::Note(text(record.msg)),
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

    /// The notes.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match line {
            Line::Note(note) => Some(note.as_str()),
            _ => None,
        })
    }

    /// The status that the process ended with, if the transcript says so; killed by a signal, 128 and its number,
    /// as a shell has it.
    pub fn exit_status(&self) -> Option<u8> {
        self.notes().find_map(exit_status)
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

fn exit_status(note: &str) -> Option<u8> {
    let status: i16 = note.strip_prefix("exit status ")?.parse().ok()?;
    u8::try_from(if status < 0 { 128 - status } else { status }).ok()
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

    #[test]
    fn every_transcript_of_claude_code_can_be_read_and_both_versions_have_the_same_ones() {
        let [old, new] = ClaudeVersion::ALL.map(claude_names);
        assert_eq!(old, new);
        assert!(old.len() > 60, "{old:?}");
        for version in ClaudeVersion::ALL {
            for name in claude_names(version) {
                let transcript = load_claude(version, &name).unwrap();
                let mut notes = transcript.notes();
                assert!(notes.next().is_some_and(|note| !note.is_empty()), "{name}");
                assert!(
                    notes.next().unwrap().starts_with("arguments: "),
                    "{version} {name}"
                );
                // This recording ends before its process.
                assert_eq!(
                    transcript.exit_status().is_none(),
                    name == "huge-5mb",
                    "{version} {name}"
                );
            }
        }
    }

    /// Without this, no rule about void text could be tested with the recordings.
    #[test]
    fn the_deltas_of_every_finished_text_of_claude_code_add_up_to_it() {
        for version in ClaudeVersion::ALL {
            for name in claude_names(version) {
                let (mut message, mut deltas) = (Value::Null, String::new());
                for line in load_claude(version, &name).unwrap().received() {
                    match line.kind().as_str() {
                        "stream_event/message_start" => {
                            message = line.0["event"]["message"]["id"].clone();
                        }
                        "stream_event/content_block_start" => deltas.clear(),
                        "stream_event/content_block_delta" => {
                            deltas += line.0["event"]["delta"]["text"]
                                .as_str()
                                .unwrap_or_default();
                        }
                        "assistant" if line.0["message"]["id"] == message => {
                            if let Some(text) = line.0["message"]["content"][0]["text"].as_str() {
                                assert_eq!(deltas, text, "{version} {name}");
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_recording_of_claude_code_holds_what_was_no_message() {
        let recorded = load_claude(ClaudeVersion::V2_1_197, "malformed-not-json").unwrap();
        let sent = Line::SentRaw("this is not json".to_owned());
        assert!(recorded.lines.contains(&sent));
        assert!(
            recorded
                .lines
                .iter()
                .any(|line| matches!(line, Line::Stderr(text) if text.contains("not json")))
        );
        assert_eq!(recorded.exit_status(), Some(1));
        let killed = load_claude(ClaudeVersion::V2_1_329, "kill9-mid-stream").unwrap();
        assert_eq!(killed.exit_status(), Some(137));
    }
}
