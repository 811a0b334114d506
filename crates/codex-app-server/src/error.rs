//! What can go wrong between codex and us.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use supervisor::{ExitStatus, SpawnError};

use crate::protocol::Raw;

/// Why a connection ended. One failure is handed to everybody who waits on the connection, so it is always shared.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionLost {
    /// The process ended.
    #[error("codex exited with {status}{}", tail(stderr_tail))]
    Exited {
        /// Its exit code or signal.
        status: ExitStatus,
        /// The last lines of its stderr.
        stderr_tail: String,
    },
    /// Codex closed its stdout.
    #[error("codex closed the connection")]
    Closed,
    /// Its stdout couldn't be read.
    #[error("reading from codex failed")]
    Read(#[source] io::Error),
    /// Its stdin couldn't be written.
    #[error("writing to codex failed")]
    Write(#[source] io::Error),
    /// A line was longer than allowed. It may have been an answer or the end of a turn, so nobody can go on.
    #[error("codex sent a line of {bytes} bytes, more than is accepted")]
    LineTooLong {
        /// Its length.
        bytes: u64,
    },
    /// Codex has more unanswered requests open than it may.
    #[error("codex has too many unanswered requests open")]
    TooManyRequests,
    /// The same thread was opened again; the newer stream gets its events.
    #[error("the thread was opened again elsewhere")]
    Replaced,
    /// We ended it.
    #[error("the connection was ended by its owner")]
    Ended,
}

/// Why a call failed. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RpcError {
    /// The connection ended before the answer came.
    #[error("`{method}` got no answer")]
    Closed {
        /// The method called.
        method: String,
        /// Why the connection ended.
        #[source]
        why: Arc<ConnectionLost>,
    },
    /// No answer came in time. Codex may still act on the call.
    #[error("`{method}` got no answer within {waited:?}")]
    Deadline {
        /// The method called.
        method: String,
        /// How long it waited.
        waited: Duration,
    },
    /// The call was not run: codex said that it is overloaded, or no slot became free in time.
    #[error("`{method}` was not run: too many calls at once")]
    Overloaded {
        /// The method called.
        method: String,
    },
    /// Codex answered with an error.
    #[error("`{method}` failed: {error}")]
    Remote {
        /// The method called.
        method: String,
        /// The error.
        error: RemoteError,
    },
    /// The parameters couldn't be written as JSON, or the answer hasn't the expected shape.
    #[error("`{method}`: the message has an unexpected shape")]
    Decode {
        /// The method called.
        method: String,
        /// What is wrong with it.
        #[source]
        source: Arc<serde_json::Error>,
    },
}

/// An error as codex answers it. Codex 0.169 uses -32600 and -32603 for nearly everything: only the message and the
/// data tell errors apart.
#[derive(Clone, Debug, PartialEq, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RemoteError {
    /// JSON-RPC's code.
    #[serde(default)]
    pub code: i64,
    /// For people. It can quote addresses and configuration.
    #[serde(default)]
    pub message: String,
    /// More about it.
    #[serde(default)]
    pub data: Option<Raw>,
}

impl RemoteError {
    /// The configuration that was given for a thread has a value that codex can't use.
    pub fn is_about_settings(&self) -> bool {
        self.message.contains("failed to load configuration")
    }
}

/// JSON-RPC code with which codex says that its queue is full.
pub(crate) const OVERLOADED: i64 = -32001;

impl RpcError {
    /// The error codex answered with, if it did.
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Remote { error, .. } => Some(error),
            _ => None,
        }
    }

    fn says(&self, text: &str) -> bool {
        self.remote()
            .is_some_and(|error| error.message.contains(text))
    }

    /// The thread to resume isn't stored here. Also said of a thread that never had a turn.
    pub fn is_thread_unknown(&self) -> bool {
        self.says("no rollout found for thread id")
    }

    /// Another process has the thread loaded.
    pub fn is_writer_conflict(&self) -> bool {
        self.says("already has an active writer")
    }

    /// The thread's model provider isn't configured: it must be given again with each resume.
    pub fn is_provider_missing(&self) -> bool {
        let data = self.remote().and_then(|error| error.data.as_ref());
        data.and_then(Raw::tag)
            .is_some_and(|kind| kind == "modelProviderNotConfigured")
    }

    /// There is no running turn to interrupt or to steer.
    pub fn is_no_active_turn(&self) -> bool {
        self.says("no active turn")
    }
}

/// Why there is no connection to codex. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InstanceError {
    /// The program couldn't be started.
    #[error("`{}` could not be started", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The reason.
        #[source]
        source: Arc<SpawnError>,
    },
    /// The program started, but the connection ended before the handshake was done.
    #[error("codex did not get through its handshake")]
    Start(#[source] Arc<ConnectionLost>),
    /// The program runs, but the handshake failed: too slow, or refused.
    #[error("the handshake with codex failed{}", tail(stderr_tail))]
    Handshake {
        /// What happened.
        #[source]
        source: RpcError,
        /// The last lines of its stderr.
        stderr_tail: String,
    },
    /// A connection that was in use ended. Another is on its way.
    #[error("the connection to codex was lost")]
    Lost(#[source] Arc<ConnectionLost>),
    /// Codex wasn't ready in time.
    #[error("codex was not ready within {waited:?}")]
    NotReady {
        /// How long was waited.
        waited: Duration,
    },
    /// The instance was shut down.
    #[error("the codex instance was shut down")]
    Stopped,
}

fn tail(stderr: &str) -> String {
    let stderr = stderr.trim();
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn remote(error: serde_json::Value) -> RpcError {
        RpcError::Remote {
            method: "m".into(),
            error: serde_json::from_value(error).unwrap(),
        }
    }

    /// The messages are codex 0.169's own.
    #[test]
    fn remote_errors_are_told_apart() {
        let unknown =
            remote(json!({"code": -32600, "message": "no rollout found for thread id 01a1"}));
        let conflict =
            remote(json!({"code": -32600, "message": "thread 01a1 already has an active writer"}));
        let provider = remote(json!({
            "code": -32600, "message": "x", "data": {"type": "modelProviderNotConfigured", "modelProvider": "p"}
        }));
        let idle = remote(json!({"code": -32600, "message": "no active turn to interrupt"}));
        let tests: [fn(&RpcError) -> bool; 4] = [
            RpcError::is_thread_unknown,
            RpcError::is_writer_conflict,
            RpcError::is_provider_missing,
            RpcError::is_no_active_turn,
        ];
        for (position, error) in [unknown, conflict, provider, idle].iter().enumerate() {
            let hits: Vec<_> = tests
                .iter()
                .enumerate()
                .filter(|(_, is)| is(error))
                .map(|(i, _)| i)
                .collect();
            assert_eq!(hits, [position], "{error}");
        }
    }
}
