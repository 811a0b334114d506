//! The ladder: how a session is brought to its end, and what it took.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{ExitStatus, Pid, Process};

/// How long each rung is given.
///
/// Closed stdin → wait → SIGTERM to the CLI → wait → SIGKILL of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// For the CLI to exit because its stdin is closed. Whoever holds the stdin closes it by dropping it.
    pub after_stdin: Duration,
    /// For the CLI to exit after SIGTERM.
    pub after_term: Duration,
    /// For everything to be gone, after the CLI has exited or SIGKILL was sent.
    pub kill_deadline: Duration,
}

/// The rung on which the CLI ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopStep {
    /// It had ended before.
    AlreadyExited,
    /// It obeyed its closed stdin.
    StdinClosed,
    /// It obeyed SIGTERM.
    Terminate,
    /// It was killed.
    Kill,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShutdownReport {
    /// The rung that did it.
    pub step: StopStep,
    /// How the CLI ended.
    pub status: ExitStatus,
    /// What is still there.
    pub survivors: Vec<Pid>,
    /// Whether the CLI's stderr came to its end, which shows that nobody holds its pipes any more.
    pub pipes_closed: bool,
}

impl Process {
    /// Brings the session to its end, rung by rung, and waits for it.
    ///
    /// What the CLI leaves behind when it exits is killed at once. Takes no longer than the ladder's three times, and
    /// three seconds more if the guard is stuck. Dropping the future ends the session too, without a report.
    pub async fn shutdown(self, ladder: &Ladder) -> ShutdownReport {
        let handle = self.handle();
        let step = if !handle.is_running() {
            StopStep::AlreadyExited
        } else if timeout(ladder.after_stdin, handle.exited_at_once())
            .await
            .is_ok()
        {
            StopStep::StdinClosed
        } else {
            handle.request_term().await;
            if timeout(ladder.after_term, handle.exited_at_once())
                .await
                .is_ok()
            {
                StopStep::Terminate
            } else {
                handle.request_kill().await;
                StopStep::Kill
            }
        };
        let end = handle.ended_within(ladder.kill_deadline).await;
        let pipes_closed = handle.stderr_closed().await;
        if end.survivors.is_empty() {
            // The guard has said its last word and is about to exit.
            self.finish(Duration::from_millis(200)).await;
        }
        tracing::debug!(session = %handle.session(), ?step, status = %end.status, "session ended");
        ShutdownReport {
            step,
            status: end.status,
            survivors: end.survivors,
            pipes_closed,
        }
    }
}
