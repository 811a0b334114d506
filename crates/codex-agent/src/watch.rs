//! How long the parts of a turn may take, by what is going on.

use std::collections::HashSet;

use agent_core::{AgentError, AgentEvent, Phase, SubagentEvent, ToolCallId, ToolEvent};
use tokio::time::Instant;

use crate::Deadlines;

/// Watches one turn.
///
/// Until something of it is seen, and again from an error on, there has to be *progress* in time: an error that is
/// repeated is a sign of life, but gets nobody anywhere. Afterwards any sign of life will do, and while a tool runs, none.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limits: Deadlines,
    began: Instant,
    phase: Phase,
    /// Since when the phase's limit counts.
    since: Instant,
    /// Errors since the last progress.
    errors: u32,
    /// Tools that run.
    running: HashSet<ToolCallId>,
    /// Whether a tool has been called at all.
    pub(crate) tool_called: bool,
    /// Whether the turn has been begun again in another process.
    pub(crate) repeated: bool,
}

impl Watchdog {
    /// The turn begins now.
    pub(crate) fn new(limits: Deadlines) -> Self {
        let now = Instant::now();
        Self {
            limits,
            began: now,
            phase: Phase::FirstOutput,
            since: now,
            errors: 0,
            running: HashSet::new(),
            tool_called: false,
            repeated: false,
        }
    }

    /// The turn is begun again, in another process.
    pub(crate) fn go_on(&mut self) {
        self.repeated = true;
        self.phase = Phase::FirstOutput;
        self.since = Instant::now();
    }

    /// When patience ends as things stand.
    pub(crate) fn until(&self) -> Instant {
        let whole = self.began + self.limits.turn;
        match self.phase {
            Phase::FirstOutput => whole.min(self.since + self.limits.first_progress),
            _ if self.running.is_empty() => whole.min(self.since + self.limits.silence),
            _ => whole,
        }
    }

    /// Something came.
    pub(crate) fn alive(&mut self) {
        if self.phase == Phase::Running {
            self.since = Instant::now();
        }
    }

    /// The turn made progress.
    pub(crate) fn saw(&mut self, event: &AgentEvent) {
        self.phase = Phase::Running;
        self.since = Instant::now();
        self.errors = 0;
        match event {
            AgentEvent::Tool(ToolEvent::Started { call, .. })
            | AgentEvent::Subagent(SubagentEvent::Started { call, .. }) => {
                self.tool_called = true;
                self.running.insert(call.clone());
            }
            AgentEvent::Tool(ToolEvent::Finished { call, .. })
            | AgentEvent::Subagent(SubagentEvent::Finished { call, .. }) => {
                self.running.remove(call);
            }
            _ => {}
        }
    }

    /// An error came. How many in a row are there?
    pub(crate) fn trouble(&mut self) -> u32 {
        self.errors += 1;
        if self.phase == Phase::Running {
            self.phase = Phase::FirstOutput;
            self.since = Instant::now();
        }
        self.errors
    }

    /// The error that patience has ended.
    pub(crate) fn stalled(&self) -> AgentError {
        let (phase, since) = if self.began.elapsed() >= self.limits.turn {
            (Phase::Running, self.began)
        } else {
            (self.phase, self.since)
        };
        AgentError::Stalled {
            phase,
            idle: since.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agent_core::{BlockId, ToolStatus};
    use serde_json::json;

    use super::*;

    const LIMITS: Deadlines = Deadlines {
        ready: Duration::ZERO,
        first_progress: Duration::from_secs(3),
        silence: Duration::from_secs(10),
        turn: Duration::from_secs(100),
    };

    fn left(watch: &Watchdog) -> u64 {
        (watch.until() - Instant::now()).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_limit() {
        let mut watch = Watchdog::new(LIMITS);
        tokio::time::advance(Duration::from_secs(1)).await;
        watch.alive();
        assert_eq!(left(&watch), 2, "a sign of life is no progress");
        let text = AgentEvent::BlockEnd {
            block: BlockId::new("m").unwrap(),
        };
        watch.saw(&text);
        assert_eq!(left(&watch), 10);
        tokio::time::advance(Duration::from_secs(9)).await;
        watch.alive();
        assert_eq!(left(&watch), 10);

        let call = ToolCallId::new("c").unwrap();
        let (name, input) = ("Bash".to_owned(), json!({}));
        watch.saw(&AgentEvent::Tool(ToolEvent::Started {
            call: call.clone(),
            parent: None,
            name,
            input,
        }));
        assert_eq!(
            left(&watch),
            90,
            "while a tool runs only the whole turn is limited"
        );
        let (status, output) = (ToolStatus::Done, String::new());
        watch.saw(&AgentEvent::Tool(ToolEvent::Finished {
            call,
            status,
            output,
        }));
        assert_eq!(left(&watch), 10);

        assert_eq!((watch.trouble(), left(&watch)), (1, 3));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(
            (watch.trouble(), left(&watch)),
            (2, 1),
            "an error again is no progress"
        );
        watch.saw(&text);
        assert_eq!(watch.trouble(), 1);
        tokio::time::advance(Duration::from_secs(3)).await;
        let AgentError::Stalled {
            phase: Phase::FirstOutput,
            idle,
        } = watch.stalled()
        else {
            panic!("{:?}", watch.stalled())
        };
        assert_eq!(idle, Duration::from_secs(3));
    }
}
