//! Ending what a turn has running: the turn itself, what its tools started, and the turns that Claude Code begins unasked
//! when that ends.

use std::time::Duration;

use agent_core::{AgentEvent, CleanUp, StopStep};
use tokio::time::timeout;

use crate::{
    listen::Heard,
    pool::{Minded, UNASKED_LIMIT, mind},
    process::{Incoming, Lost},
    protocol::{Control, Message},
    session::Session,
    turn::Drive,
};

/// The mark that Claude Code puts into the environment of everything a tool starts, and not into that of its MCP servers
/// (2.1.197 and 2.1.329).
const TOOL_MARKS: &[&str] = &["CLAUDE_CODE_CHILD_SESSION"];
/// How long Claude Code may take to end an interrupted turn before everything is killed.
pub(crate) const INTERRUPT_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to give up a stalled one.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(5);
/// How long a tool's processes have between SIGTERM and SIGKILL.
const SWEEP_GRACE: Duration = Duration::from_millis(300);
/// How long killed processes may take to vanish before they count as survivors.
const KILL_LIMIT: Duration = Duration::from_secs(1);
/// How long the CLI may take to begin the turn that a task's end makes it begin. It takes up to 100 ms.
pub(crate) const FOLLOW_UP_LIMIT: Duration = Duration::from_secs(2);

impl Drive<'_> {
    /// Ends a turn that still runs: the CLI's own interrupt, then what tools started. If the CLI doesn't end the turn in
    /// time, everything of the session is killed.
    pub(crate) async fn stop(
        &self,
        session: &mut Session,
        heard: &mut Heard,
        limit: Duration,
    ) -> (StopStep, u32) {
        let interrupted = async {
            let stop = Control::Interrupt {
                cancel_queued: true,
            };
            session.cli.request(&stop).await?;
            loop {
                let Incoming::Message(message) = session.cli.next().await? else {
                    continue;
                };
                session.tasks.see(&message);
                let ended = match &message {
                    Message::Result(result) => Some(result.clone()),
                    _ => None,
                };
                for event in heard.mapper.map(message) {
                    // What was said before the stop is still shown; a closed sink ends nothing here.
                    let _ = self.cx.events.emit(event).await;
                }
                if let Some(result) = ended {
                    heard.bear(Some(session.ledger.turn(&result)));
                    return Ok::<(), Lost>(());
                }
            }
        };
        let confirmed = matches!(timeout(limit, interrupted).await, Ok(Ok(())));
        let (step, survivors) = if confirmed && self.clean_up(session).await {
            (StopStep::Protocol, 0)
        } else {
            tracing::warn!(
                confirmed,
                "claude did not stop the turn in time, its session is killed"
            );
            let handle = session.cli.handle();
            handle.kill().await;
            (StopStep::Kill, remaining(handle.session()).await)
        };
        self.tell(CleanUp {
            stopped_by: Some(step),
            survivors,
            ..CleanUp::default()
        })
        .await;
        (step, survivors)
    }

    /// Tells what it took to end processes. The turn may have nobody left to tell.
    async fn tell(&self, clean_up: CleanUp) {
        let _ = self.cx.events.emit(AgentEvent::CleanUp(clean_up)).await;
    }

    /// Ends what the turn's tools left running, and the turn that the CLI begins because of it. False if the session is
    /// not fit for another turn.
    pub(crate) async fn clean_up(&self, session: &mut Session) -> bool {
        let swept = match session.cli.handle().sweep(TOOL_MARKS, SWEEP_GRACE).await {
            Ok(report) => {
                if report.ended > 0 {
                    tracing::info!(
                        ended = report.ended,
                        killed = report.killed,
                        survivors = report.survivors.len(),
                        "ended what the turn's tools left running"
                    );
                    let survivors = u32::try_from(report.survivors.len()).unwrap_or(u32::MAX);
                    self.tell(CleanUp {
                        stopped_by: None,
                        strays: report.ended,
                        killed: report.killed,
                        survivors,
                    })
                    .await;
                }
                report.survivors.is_empty()
            }
            Err(error) => {
                tracing::warn!(%error, "tools can't be swept");
                false
            }
        };
        swept && (!session.tasks.unasked_turn_due() || settled(session).await)
    }
}

/// Waits until the CLI has taken note that its background tasks are gone, and has given up the turn that it begins
/// because of it. False if it doesn't in time.
async fn settled(session: &mut Session) -> bool {
    let mut unasked = false;
    let settle = async {
        loop {
            let due = unasked || session.tasks.unasked_turn_due();
            // One more turn may follow; it does at once or not at all.
            let wait = if due {
                FOLLOW_UP_LIMIT
            } else {
                Duration::from_millis(50)
            };
            let incoming = match timeout(wait, session.cli.next()).await {
                Ok(incoming) => incoming?,
                Err(_) => return Ok::<bool, Lost>(!unasked),
            };
            if let Incoming::Message(message) = incoming {
                match mind(session, message).await? {
                    Minded::Began => unasked = true,
                    Minded::Ended => unasked = false,
                    Minded::Nothing => {}
                }
            }
        }
    };
    let settled = matches!(timeout(UNASKED_LIMIT, settle).await, Ok(Ok(true)));
    if !settled {
        tracing::warn!("claude does not come to rest after its background tasks were ended");
    }
    session.tasks.told();
    settled
}

/// Waits until nothing of a killed session is left, and counts what is.
pub(crate) async fn remaining(session: &supervisor::SessionMark) -> u32 {
    let gone = async {
        while !supervisor::session_processes(session).is_empty() {
            // The kernel tells the guard, not us; all that is left is to look again.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(KILL_LIMIT, gone).await;
    let left = supervisor::session_processes(session).len();
    u32::try_from(left).unwrap_or(u32::MAX)
}
