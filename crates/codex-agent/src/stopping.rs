//! Ending what a turn has running: the turn itself, and what its tools started.

use std::time::Duration;

use agent_core::{AgentEvent, CleanUp, StopStep};
use codex_app_server::{
    Connection, RpcError, ThreadEvent, ThreadStream,
    protocol::{Notification, ThreadId, TurnId},
};
use futures::future::join_all;
use tokio::time::timeout;

use crate::{map::Mapper, turn::Drive};

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
        let (confirmed, events) = self.interrupt(connection, stream, Some(turn), mapper).await;
        for event in events {
            // What was said before the stop is still shown; a closed sink ends nothing here.
            let _ = self.cx.events.emit(event).await;
        }
        let (step, survivors) = if confirmed && self.sweep(connection, stream.id(), mapper).await {
            (StopStep::Protocol, 0)
        } else {
            tracing::warn!(
                confirmed,
                "codex did not stop in time; its session is killed"
            );
            (StopStep::Kill, kill(connection).await)
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

    /// Interrupts the turn, if it still runs, and what its sub-agents do: to Codex these are turns of their own, which
    /// go on without it. True when Codex has confirmed that nothing of it runs any more; and what it said until then.
    pub(crate) async fn interrupt(
        &self,
        connection: &Connection,
        stream: &mut ThreadStream,
        turn: Option<&TurnId>,
        mapper: &mut Mapper,
    ) -> (bool, Vec<AgentEvent>) {
        let thread = stream.id().clone();
        let mut said = Vec::new();
        let interrupted = async {
            let turn = turn.filter(|_| !mapper.is_over());
            if let Some(turn) = turn {
                match connection.client().turn_interrupt(&thread, turn).await {
                    Err(error @ RpcError::Closed { .. }) => return Err(error),
                    // It is just ending by itself, and will say so.
                    Err(error) => tracing::debug!(%error, "the turn can't be interrupted"),
                    Ok(()) => {}
                }
            }
            interrupt_subagents(connection, mapper).await;
            let mut running = turn;
            while running.is_some() || !mapper.running_subagents().is_empty() {
                let notification = match stream.next().await {
                    ThreadEvent::Notification(notification) => notification,
                    ThreadEvent::Request(request) => {
                        request.refuse("the turn is being stopped");
                        continue;
                    }
                    ThreadEvent::Lost { .. } => return Ok(false),
                };
                if let Notification::TurnCompleted(event) = &notification {
                    running = running.filter(|turn| event.turn.id != **turn);
                }
                let begins = matches!(notification, Notification::TurnStarted(_));
                said.extend(mapper.map(notification));
                if begins {
                    interrupt_subagents(connection, mapper).await;
                }
            }
            Ok(true)
        };
        let confirmed = timeout(INTERRUPT_LIMIT, interrupted).await;
        said.extend(mapper.abandon_subagents());
        (matches!(confirmed, Ok(Ok::<bool, RpcError>(true))), said)
    }

    /// Ends what the turn's tools started and left behind. True when nothing is left.
    pub(crate) async fn sweep(
        &self,
        connection: &Connection,
        thread: &ThreadId,
        mapper: &Mapper,
    ) -> bool {
        let client = connection.client();
        let threads = mapper.subagent_threads();
        let cleaning = std::iter::once(thread)
            .chain(&threads)
            .map(|thread| client.background_terminals_clean(thread));
        match timeout(CLEAN_LIMIT, join_all(cleaning)).await {
            Ok(cleaned) => {
                for error in cleaned.into_iter().filter_map(Result::err) {
                    tracing::debug!(%error, "background terminals can't be cleaned");
                }
            }
            Err(_) => tracing::warn!("codex did not clean its background terminals in time"),
        }
        match connection.process().sweep(TOOL_MARKS, SWEEP_GRACE).await {
            Ok(report) => {
                if report.ended > 0 {
                    tracing::info!(
                        ended = report.ended,
                        killed = report.killed,
                        survivors = report.survivors.len(),
                        "ended what tools had left running"
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
                tracing::warn!(%error, "the guard can't sweep");
                false
            }
        }
    }
}

/// Interrupts every turn that a sub-agent runs. One that has just ended is no error.
async fn interrupt_subagents(connection: &Connection, mapper: &Mapper) {
    let running = mapper.running_subagents();
    let interrupts = running
        .iter()
        .map(|(thread, turn)| connection.client().turn_interrupt(thread, turn));
    for error in join_all(interrupts)
        .await
        .into_iter()
        .filter_map(Result::err)
    {
        tracing::debug!(%error, "a sub-agent's turn can't be interrupted");
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
