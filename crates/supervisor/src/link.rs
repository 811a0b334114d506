//! The executor's end of the control socket: one task that writes orders and hears words.

use std::{collections::HashMap, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{mpsc, oneshot, watch},
};

use crate::{
    ExitStatus, Line, LineReader, Pid, SessionMark, SweepReport,
    control::{Order, Word},
    stale,
};

/// How far the session is. It only goes forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The CLI runs.
    Running,
    /// The CLI has ended; what it left is being ended.
    Exited(ExitStatus),
    /// Over.
    Ended(End),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    /// Whether the guard was lost, so that only the mark could be gone by.
    pub(crate) guard_lost: bool,
    pub(crate) survivors: Vec<Pid>,
}

/// What a handle asks of the link.
pub(crate) enum Request {
    Sweep {
        marks: Vec<String>,
        grace: Duration,
        reply: oneshot::Sender<SweepReport>,
    },
    Term,
    Kill,
}

/// The task's state.
pub(crate) struct Link {
    pub(crate) session: SessionMark,
    pub(crate) words: LineReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Who waits for which sweep. Bounded by the guard: it answers each one.
    pub(crate) sweeps: HashMap<u64, oneshot::Sender<SweepReport>>,
}

impl Link {
    /// Runs until the session is over.
    pub(crate) async fn run(mut self) {
        let mut next_sweep = 0;
        while !matches!(*self.phase.borrow(), Phase::Ended(_)) {
            tokio::select! {
                line = self.words.next() => match line {
                    Ok(Some(line)) => self.hear(&line),
                    Ok(None) | Err(_) => self.guard_is_lost().await,
                },
                Some(request) = self.requests.recv() => {
                    next_sweep += 1;
                    self.ask(request, next_sweep).await;
                }
            }
        }
    }

    fn hear(&mut self, line: &Line) {
        let word = match line {
            Line::Complete(line) => std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.parse().ok()),
            Line::TooLong { .. } => None,
        };
        match word {
            Some(Word::Exited(status)) => {
                tracing::info!(session = %self.session, %status, "child ended");
                self.phase.send_replace(Phase::Exited(status));
            }
            Some(Word::Swept { id, report }) => {
                if let Some(reply) = self.sweeps.remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(report);
                }
            }
            Some(Word::Gone { survivors }) => self.end(false, survivors),
            Some(Word::Started(_) | Word::Failed { .. }) | None => {
                tracing::warn!(session = %self.session, ?line, "the guard said something unexpected");
            }
        }
    }

    async fn ask(&mut self, request: Request, id: u64) {
        let order = match request {
            Request::Sweep {
                marks,
                grace,
                reply,
            } => {
                self.sweeps.retain(|_, reply| !reply.is_closed());
                self.sweeps.insert(id, reply);
                Order::Sweep { id, grace, marks }
            }
            Request::Term => Order::Term,
            Request::Kill => Order::Kill,
        };
        // A guard that can't be written to is gone; the next read says so.
        let _ = self.writer.write_all(format!("{order}\n").as_bytes()).await;
    }

    /// The guard ended without a last word: somebody killed it. The CLI dies with it; the rest is ours.
    async fn guard_is_lost(&mut self) {
        tracing::warn!(session = %self.session, "the guard is lost, ending its session by mark");
        let report = stale::end_session(&self.session).await;
        self.end(true, report.survivors);
    }

    fn end(&mut self, guard_lost: bool, survivors: Vec<Pid>) {
        if !survivors.is_empty() {
            tracing::warn!(session = %self.session, ?survivors, "processes of a session could not be ended");
        }
        let status = match *self.phase.borrow() {
            Phase::Exited(status) => status,
            Phase::Running | Phase::Ended(_) => ExitStatus::Lost,
        };
        self.phase.send_replace(Phase::Ended(End {
            status,
            guard_lost,
            survivors,
        }));
    }
}
