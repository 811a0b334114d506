//! What happens in a session.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use super::AskId;

/// One life of a daemon: from its start to its end. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);

/// A place in a session's events: that of the last event seen. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// In which life of the daemon.
    pub epoch: Epoch,
    /// Which event of the session; the first has 1.
    pub seq: u64,
}

/// A text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: expected `<epoch>.<number>`")]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (epoch, seq) = text.rsplit_once('.').ok_or(BadCursor)?;
        Ok(Self {
            epoch: Epoch(epoch.to_owned()),
            seq: seq.parse().map_err(|_| BadCursor)?,
        })
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Something that happened in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A question waits for others of its session.
    Queued {
        /// The question.
        ask: AskId,
        /// How many go before it, the running one included.
        position: usize,
    },
    /// A question is being answered.
    Started {
        /// The question.
        ask: AskId,
    },
    /// More text of the answer.
    Delta {
        /// The question.
        ask: AskId,
        /// The message it belongs to: an answer can have several, between tool calls.
        message: String,
        /// The text.
        text: String,
    },
    /// The text of a message is void: its stream broke, and the model begins the message anew.
    Void {
        /// The question.
        ask: AskId,
        /// The message.
        message: String,
    },
    /// More of the model's reasoning, where the session wants it.
    Reasoning {
        /// The question.
        ask: AskId,
        /// The text.
        text: String,
    },
    /// A tool call begins or ends.
    Tool {
        /// The question.
        ask: AskId,
        /// Which call.
        call: String,
        /// What kind of tool.
        kind: ToolKind,
        /// For people: the command, the files, the tool's name.
        title: String,
        /// How far it is.
        state: ToolState,
        /// The end of its output, for a call that ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// The exit code of a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// Codex asks for permission. To be answered with `decide`.
    Approval {
        /// The question that is being answered.
        ask: AskId,
        /// Names the permission.
        approval: String,
        /// What for.
        kind: ApprovalKind,
        /// For people: the command, the files, the tool's name.
        title: String,
        /// Where it would happen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<PathBuf>,
        /// Why, in the model's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What is answered when nobody does.
        default: Decision,
        /// Until then: seconds since 1970.
        deadline: u64,
    },
    /// A permission was given or refused.
    Settled {
        /// Which.
        approval: String,
        /// How.
        decision: Decision,
        /// By whom.
        by: SettledBy,
    },
    /// Something that people should know.
    Notice {
        /// The question it is about, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ask: Option<AskId>,
        /// For people.
        text: String,
    },
    /// The question is over.
    Ended {
        /// The question.
        ask: AskId,
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
        /// The tokens it took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// How long it took from its start, in milliseconds.
        duration_ms: u64,
        /// How long Codex itself says that the turn took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        codex_ms: Option<u64>,
    },
    /// Events between the given cursor and the next one are no longer there.
    Gap {
        /// Why.
        why: String,
    },
}

impl Event {
    /// The question it is about, if it is about one.
    pub fn ask(&self) -> Option<&AskId> {
        match self {
            Self::Queued { ask, .. }
            | Self::Started { ask }
            | Self::Delta { ask, .. }
            | Self::Void { ask, .. }
            | Self::Reasoning { ask, .. }
            | Self::Tool { ask, .. }
            | Self::Approval { ask, .. }
            | Self::Ended { ask, .. } => Some(ask),
            Self::Notice { ask, .. } => ask.as_ref(),
            Self::Settled { .. } | Self::Gap { .. } => None,
        }
    }

    /// How much memory it takes, about.
    pub(crate) fn weight(&self) -> usize {
        let text = match self {
            Self::Delta { text, .. } | Self::Reasoning { text, .. } | Self::Notice { text, .. } => {
                text.len()
            }
            Self::Tool { title, output, .. } => {
                title.len() + output.as_ref().map_or(0, String::len)
            }
            Self::Ended { outcome, .. } => outcome.text().len(),
            _ => 0,
        };
        text + 200
    }
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was answered.
    Completed {
        /// The answer.
        text: String,
    },
    /// Codex or its provider failed.
    Failed {
        /// Why, for people.
        error: String,
    },
    /// It was told to stop.
    Interrupted,
    /// The process that answered it is gone.
    Lost {
        /// Which one.
        what: LossReason,
        /// For people.
        error: String,
    },
}

impl Outcome {
    /// The answer, or why there is none.
    pub fn text(&self) -> &str {
        match self {
            Self::Completed { text } => text,
            Self::Failed { error } | Self::Lost { error, .. } => error,
            Self::Interrupted => "interrupted",
        }
    }
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossReason {
    /// Codex's process ended.
    AppServer,
    /// The daemon's process ended.
    Daemon,
}

/// What a tool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolKind {
    /// Runs a command.
    Command,
    /// Changes files.
    Patch,
    /// Calls a tool of an MCP server.
    Mcp,
    /// Searches the web.
    Search,
    /// Something else.
    Other,
}

/// How far a tool call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolState {
    /// It runs.
    Started,
    /// It succeeded.
    Completed,
    /// It failed.
    Failed,
    /// It was not allowed.
    Declined,
}

/// What a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalKind {
    /// A command, usually outside of the sandbox.
    Command,
    /// A change of files outside of the working directory.
    Patch,
    /// A tool of an MCP server.
    Mcp,
    /// More rights for the rest of the turn.
    Permissions,
}

/// What is answered to a request for permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Yes, this once.
    Accept,
    /// Yes, and don't ask again in this session.
    AcceptForSession,
    /// No; the model goes on without.
    Decline,
    /// No, and the turn ends.
    Cancel,
}

/// Who settled a request for permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettledBy {
    /// A client.
    Client,
    /// Nobody in time.
    Deadline,
    /// Nobody was there to ask.
    NobodyAttached,
    /// The turn ended before.
    TurnEnded,
}

/// Token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Sent to the model.
    pub input: i64,
    /// Of those, from the provider's cache.
    pub cached: i64,
    /// Made by the model.
    pub output: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_one_word() {
        let cursor = Cursor {
            epoch: Epoch("1a.2".into()),
            seq: 7,
        };
        let text = serde_json::to_string(&cursor).unwrap();
        assert_eq!(text, r#""1a.2.7""#);
        assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor);
        assert!("17".parse::<Cursor>().is_err() && "a.b".parse::<Cursor>().is_err());
    }

    #[test]
    fn an_end_is_flat() {
        let ended = Event::Ended {
            ask: AskId::from("a"),
            outcome: Outcome::Completed { text: "yes".into() },
            usage: None,
            duration_ms: 5,
            codex_ms: None,
        };
        let json = serde_json::to_string(&ended).unwrap();
        assert_eq!(
            json,
            r#"{"type":"ended","ask":"a","outcome":"completed","text":"yes","duration_ms":5}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), ended);
    }
}
