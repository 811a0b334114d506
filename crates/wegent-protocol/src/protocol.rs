//! The forms in which callbacks go out.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// In which form a turn's callbacks go out. It belongs to the way in which the turn arrived, and to its journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// One callback per event of the Responses API: Wegent since 2026's `POST /v1/responses`.
    #[default]
    Responses,
    /// Callbacks that each hold the whole result so far: Wegent of January 2026, `TASK_INFO` and
    /// `POST /api/tasks/execute`.
    Cumulative,
}

/// A name that no protocol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `responses` or `cumulative`")]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        [Self::Responses, Self::Cumulative]
            .into_iter()
            .find(|protocol| protocol.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or(UnknownProtocol)
    }
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Cumulative => "cumulative",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
