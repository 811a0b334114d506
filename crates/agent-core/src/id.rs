//! Identifiers that cross function boundaries, each a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A task: one conversation, one container, many turns.
    TaskId
}
number_id! {
    /// A subtask: one turn of a task, as the platform numbers it.
    SubtaskId
}

/// What identifies a turn for the platform. Retries of a turn share it; see [`Attempt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TurnKey {
    /// The task the turn belongs to.
    pub task: TaskId,
    /// The subtask that the turn answers.
    pub subtask: SubtaskId,
}

impl fmt::Display for TurnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.task, self.subtask)
    }
}

/// Which run of the same [`TurnKey`] this is, counted from 1. A user's "retry" is a new attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An identifier that must not be blank was blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("identifier is blank")]
pub struct BlankId;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes the identifier.
            ///
            /// # Errors
            /// [`BlankId`] if `id` is empty or only white space.
            pub fn new(id: impl Into<String>) -> Result<Self, BlankId> {
                let id = id.into();
                if id.trim().is_empty() { Err(BlankId) } else { Ok(Self(id)) }
            }

            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BlankId;
            fn try_from(id: String) -> Result<Self, BlankId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A tool call, as the agent names it. Never blank: the platform rejects events with a blank tool id.
    ToolCallId
}
text_id! {
    /// One contiguous stretch of text or reasoning of the agent, such as one message item.
    BlockId
}
text_id! {
    /// An agent's own name for a conversation that can be resumed: a Codex thread id, a Claude session id.
    SessionId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_ids_cannot_exist() {
        assert_eq!(ToolCallId::new(" \n"), Err(BlankId));
        assert!(serde_json::from_str::<ToolCallId>("\"\"").is_err());
        assert_eq!(
            serde_json::to_string(&ToolCallId::new("call_1").unwrap()).unwrap(),
            "\"call_1\""
        );
    }
}
