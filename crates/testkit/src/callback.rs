//! A callback, as it arrived.

use std::hash::{DefaultHasher, Hasher};

use serde_json::Value;

use crate::clock;

pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// How a callback was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Not yet.
    Open,
    /// With this HTTP status.
    Status(u16),
    /// Not at all, or not to the end: the connection broke.
    Lost,
}

/// One callback request.
#[derive(Clone, Debug)]
pub struct Callback {
    /// Its number in order of arrival, from 1.
    pub number: u64,
    /// When its head arrived, see [`clock::now_micros`].
    pub started: u64,
    /// When its body was complete.
    pub arrived: u64,
    /// Its header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body; opaque here, the [oracle](crate::oracle) reads it.
    pub body: Value,
    /// A hash of the body's bytes: equal for bodies that are equal to the byte.
    pub digest: u64,
    /// The answer it got.
    pub answered: Answered,
    /// Whether it reached the front end. A callback that was refused or lost before did not.
    pub shown: bool,
}

impl Callback {
    /// A callback that arrived now, reached the front end and was answered 200: for logs made by hand.
    pub fn of(body: Value) -> Self {
        let now = clock::now_micros();
        Self {
            number: 0,
            started: now,
            arrived: now,
            headers: Vec::new(),
            digest: digest(body.to_string().as_bytes()),
            body,
            answered: Answered::Status(200),
            shown: true,
        }
    }

    /// The first header line of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter();
        lines
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// `event_type`; empty if there is none.
    pub fn event_type(&self) -> &str {
        self.body
            .get("event_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The event's data.
    pub fn data(&self) -> &Value {
        self.body.get("data").unwrap_or(&Value::Null)
    }

    /// `subtask_id`, if it is a JSON integer.
    pub fn subtask(&self) -> Option<i64> {
        self.body.get("subtask_id")?.as_i64()
    }

    /// `status`, which cumulative callbacks have instead of an event type; empty if there is none.
    pub fn status(&self) -> &str {
        self.body
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Whether it ends the turn: the three types, or states, that Wegent's manager treats as terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self.event_type(),
            "response.completed" | "error" | "response.incomplete"
        ) || matches!(self.status(), "COMPLETED" | "FAILED" | "CANCELLED")
    }

    /// Whether the sender can know that it arrived.
    pub fn acknowledged(&self) -> bool {
        matches!(self.answered, Answered::Status(200..=299))
    }
}
