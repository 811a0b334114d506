//! What can go wrong between an executor and its manager.

use std::time::Duration;

use crate::Callback;

/// What happens to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this HTTP status and goes no further.
    Status(u16),
    /// It is answered with this HTTP status and goes no further, and is to be sent again after so many seconds.
    Busy(u16, u64),
    /// It is answered 200 although the backend rejected it, as the real manager does.
    Rejected,
    /// It is taken after this time.
    Delay(Duration),
    /// It is never answered, and goes no further.
    Hang,
    /// The connection is reset before an answer, and it goes no further.
    Reset,
    /// It reaches the front end, and the connection is reset before an answer.
    Unanswered,
    /// It reaches the front end, and the connection is reset in the middle of the answer's body.
    LoseAnswer,
}

/// Which callbacks a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// All.
    Any,
    /// Those of one event type.
    Event(String),
    /// Those that end a turn.
    Terminal,
    /// Those of one subtask.
    Subtask(i64),
}

/// A fault, for which callbacks, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For which callbacks.
    pub on: On,
    /// What happens to them.
    pub fault: Fault,
    /// To how many of them; `None` means all.
    pub times: Option<u32>,
}

impl Rule {
    /// The fault for the next `times` callbacks of any kind.
    pub fn next(times: u32, fault: Fault) -> Self {
        Self {
            on: On::Any,
            fault,
            times: Some(times),
        }
    }

    /// The fault for every callback, until [`heal`](super::Backend::heal).
    pub fn always(fault: Fault) -> Self {
        Self {
            on: On::Any,
            fault,
            times: None,
        }
    }

    /// The same for these callbacks only.
    #[must_use]
    pub fn on(mut self, on: On) -> Self {
        self.on = on;
        self
    }

    pub(super) fn fits(&self, callback: &Callback) -> bool {
        match &self.on {
            On::Any => true,
            On::Event(kind) => callback.event_type() == kind,
            On::Terminal => callback.is_terminal(),
            On::Subtask(subtask) => callback.subtask() == Some(*subtask),
        }
    }
}
