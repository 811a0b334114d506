//! Finding an agent's program.

pub use host::program::{is_executable, on_path};

use crate::AgentError;

/// The error that a program isn't there, and why.
pub fn missing(name: impl Into<String>, why: &'static str) -> AgentError {
    AgentError::Spawn {
        name: name.into(),
        source: Box::new(NotFound(why)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotFound(&'static str);
