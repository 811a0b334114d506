//! Ending what a turn has running: the turn itself, and what its tools started.

use std::time::Duration;

use agent_core::StopStep;
use codex_app_server::{
    Connection, RpcError, ThreadEvent, ThreadStream,
    protocol::{Notification, ThreadId, TurnId},
};
use tokio::time::timeout;

use crate::{map::Mapper, requests, turn::Drive};

/// The mark that Codex puts into the environment of everything a tool starts.
const TOOL_MARKS: &[&str] = &["CODEX_TOOL_CALL_ID"];
/// How long Codex may take to confirm an interrupt before everything is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(2);
/// How long the background terminals may take to be cleaned.
const CLEAN_LIMIT: Duration = Duration::from_millis(700);
/// How long killed processes may take to vanish before they count as survivors.
const KILL_LIMIT: Duration = Duration::from_secs(1);
/// How long a tool's processes have between SIGTERM and SIGKILL.
const SWEEP_GRACE: Duration = Duration::from_millis(300);

impl Drive<'_> {
    /// Ends a turn that still runs: Codex's own interrupt, its background terminals, then what tools started.
    /// If Codex doesn't answer in time, everything of the session is killed.
    pub(crate) async fn stop(
        &self,
        connection: &Connection,
        stream: &mut ThreadStream,
        turn: &TurnId,
        mapper: &mut Mapper,
    ) -> (StopStep, u32) {
        let thread = stream.id().clone();
        let interrupted = async {
            connection.client().turn_interrupt(&thread, turn).await?;
            loop {
                match stream.next().await {
                    ThreadEvent::Notification(Notification::TurnCompleted(event))
                        if event.turn.id == *turn =>
                    {
                        return Ok(true);
                    }
                    ThreadEvent::Notification(notification) => {
                        for event in mapper.map(notification) {
                            // What was said before the stop is still shown; a closed sink ends nothing here.
                            let _ = self.cx.events.emit(event).await;
                        }
                    }
                    ThreadEvent::Request(request) => requests::answer(request, self.config.access),
                    ThreadEvent::Lost { .. } => return Ok(false),
                }
            }
        };
        let confirmed = matches!(
            timeout(INTERRUPT_LIMIT, interrupted).await,
            Ok(Ok::<bool, RpcError>(true))
        );
        if confirmed && self.sweep(connection, &thread).await {
            return (StopStep::Protocol, 0);
        }
        tracing::warn!(
            confirmed,
            "codex did not stop in time; its session is killed"
        );
        (StopStep::Kill, kill(connection).await)
    }

    /// Ends what the turn's tools started and left behind. True when nothing is left.
    pub(crate) async fn sweep(&self, connection: &Connection, thread: &ThreadId) -> bool {
        match timeout(
            CLEAN_LIMIT,
            connection.client().background_terminals_clean(thread),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "background terminals can't be cleaned"),
            Err(_) => tracing::warn!("codex did not clean its background terminals in time"),
        }
        match connection.process().sweep(TOOL_MARKS, SWEEP_GRACE).await {
            Ok(report) => {
                if report.ended > 0 {
                    tracing::info!(
                        ended = report.ended,
                        killed = report.killed,
                        "ended what tools had left running"
                    );
                }
                report.survivors.is_empty()
            }
            Err(error) => {
                tracing::warn!(%error, "the guard can't sweep");
                false
            }
        }
    }
}

/// Kills everything of the session, waits until it is gone, and counts what isn't.
pub(crate) async fn kill(connection: &Connection) -> u32 {
    let process = connection.process();
    process.kill().await;
    let gone = async {
        while !supervisor::session_processes(process.session()).is_empty() {
            // The kernel tells the guard, not us; all that is left is to look again.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(KILL_LIMIT, gone).await;
    let left = supervisor::session_processes(process.session()).len();
    u32::try_from(left).unwrap_or(u32::MAX)
}
