//! What the caller holds of a running child.

use std::{
    collections::HashMap, net::Shutdown, os::unix::net::UnixStream, sync::Arc, time::Duration,
};

use tokio::{
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    ExitStatus, LineReader, Pid, SessionMark, SweepReport,
    guard::KILL_BOUND,
    link::{End, Link, Phase, Request},
    stale,
    tail::{Tail, drain},
};

/// Orders that may wait to be written. The guard reads at once, so none ever does for long; when full, the asker waits.
const REQUESTS: usize = 16;
/// What a guard may take beyond the time its order allows before it counts as stuck.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the end of stderr may lag behind the CLI's exit. Longer means that a survivor holds the pipe.
const STDERR_LAG: Duration = Duration::from_millis(200);

/// A child that runs. Dropping it ends its session, see [`Process`].
#[derive(Debug)]
pub struct Child {
    stdin: ChildStdin,
    stdout: LineReader<ChildStdout>,
    process: Process,
}

/// What [`Guard::spawn`](crate::Guard::spawn) makes a child of.
pub(crate) struct Parts {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
    pub(crate) guard: tokio::process::Child,
    pub(crate) link: Wire,
    pub(crate) hangup: UnixStream,
}

/// Our end of a session's control socket.
pub(crate) struct Wire {
    pub(crate) pid: Pid,
    pub(crate) session: SessionMark,
    pub(crate) words: LineReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
}

/// A child that runs, with its three streams as they are; see [`Guard::spawn_piped`](crate::Guard::spawn_piped).
#[derive(Debug)]
pub struct PipedChild {
    /// Its input.
    pub stdin: ChildStdin,
    /// Its output. Whoever holds it reads it, or the child waits.
    pub stdout: ChildStdout,
    /// Its errors. Likewise.
    pub stderr: ChildStderr,
    /// The session.
    pub process: Process,
}

/// Whoever drains stderr, and what is seen of it.
struct Stderr {
    tail: Arc<Tail>,
    seen_closed: watch::Receiver<bool>,
}

impl PipedChild {
    pub(crate) fn new(parts: Parts) -> Self {
        // Its reader sees itself when it is closed.
        let (_, seen_closed) = watch::channel(true);
        let tail = Arc::new(Tail::new(0));
        let stderr = Stderr { tail, seen_closed };
        Self {
            process: Process::new(
                parts.link,
                parts.hangup,
                parts.guard,
                stderr,
                JoinSet::new(),
            ),
            stdin: parts.stdin,
            stdout: parts.stdout,
            stderr: parts.stderr,
        }
    }
}

impl Child {
    pub(crate) fn new(parts: Parts, max_line: usize, stderr_tail: usize) -> Self {
        let (closed, seen_closed) = watch::channel(false);
        let tail = Arc::new(Tail::new(stderr_tail));
        let mut tasks = JoinSet::new();
        tasks.spawn(drain(parts.stderr, Arc::clone(&tail), closed));
        let stderr = Stderr { tail, seen_closed };
        Self {
            process: Process::new(parts.link, parts.hangup, parts.guard, stderr, tasks),
            stdin: parts.stdin,
            stdout: LineReader::new(parts.stdout, max_line),
        }
    }

    /// The CLI's process id.
    pub fn pid(&self) -> Pid {
        self.process.handle.pid
    }

    /// Its input, its output as lines, and the session. Its stderr is read all the time; see
    /// [`ProcessHandle::stderr_tail`].
    pub fn split(self) -> (ChildStdin, LineReader<ChildStdout>, Process) {
        (self.stdin, self.stdout, self.process)
    }
}

/// Owns the session. Dropping it ends every process of the session: the guard sees its socket close. That takes a few
/// milliseconds and isn't waited for; [`shutdown`](Process::shutdown) waits and reports.
#[derive(Debug)]
pub struct Process {
    handle: ProcessHandle,
    /// Our end of the control socket once more. To shut it down is a system call, so it works in a drop, also when no
    /// task runs any more.
    hangup: UnixStream,
    tasks: JoinSet<()>,
}

impl Process {
    /// Takes over a session; `tasks` already reads what nobody else does.
    fn new(
        wire: Wire,
        hangup: UnixStream,
        mut guard: tokio::process::Child,
        stderr: Stderr,
        mut tasks: JoinSet<()>,
    ) -> Self {
        let (requests, received) = mpsc::channel(REQUESTS);
        let (phase, seen_phase) = watch::channel(Phase::Running);
        let link = Link {
            session: wire.session.clone(),
            words: wire.words,
            writer: wire.writer,
            requests: received,
            phase,
            sweeps: HashMap::new(),
        };
        tasks.spawn(link.run());
        tasks.spawn(async move {
            // Only so that it doesn't stay a zombie; what it has to say it says over the socket.
            let _ = guard.wait().await;
        });
        let handle = ProcessHandle {
            pid: wire.pid,
            session: wire.session,
            requests,
            phase: seen_phase,
            stderr: stderr.tail,
            stderr_closed: stderr.seen_closed,
        };
        Self {
            handle,
            hangup,
            tasks,
        }
    }

    /// A handle for others. It doesn't keep the session alive.
    pub fn handle(&self) -> ProcessHandle {
        self.handle.clone()
    }

    /// Waits until nothing of the session is held here any more: link, stderr, and the guard itself.
    pub(crate) async fn finish(mut self, bound: Duration) {
        let _ = timeout(bound, async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Our direction only: were the other one shut too, the link could take that for the guard's death, in the moment
        // before it's aborted, and kill the guard in the middle of its work.
        // Fails when the guard has hung up first, which is as well.
        let _ = self.hangup.shutdown(Shutdown::Write);
    }
}

/// Why a guard did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Not the name of an environment variable: letters, digits and `_` only.
    #[error("`{0}` can't be the name of a mark")]
    BadMark(String),
    /// The guard was killed. What carried the session's mark has been ended.
    #[error("the guard of the session was lost")]
    Lost,
    /// The guard didn't answer in time.
    #[error("the guard did not answer within {after:?}")]
    NoAnswer {
        /// How long it was waited for.
        after: Duration,
    },
}

/// Sees and steers a session without owning it.
#[derive(Clone, Debug)]
pub struct ProcessHandle {
    pid: Pid,
    session: SessionMark,
    requests: mpsc::Sender<Request>,
    phase: watch::Receiver<Phase>,
    stderr: Arc<Tail>,
    stderr_closed: watch::Receiver<bool>,
}

impl ProcessHandle {
    /// The CLI's process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The session's mark.
    pub fn session(&self) -> &SessionMark {
        &self.session
    }

    /// Waits until the CLI has ended, and a moment for the rest of its stderr, so that
    /// [`stderr_tail`](Self::stderr_tail) is complete afterwards. Cancel-safe; may be asked any number of times.
    pub async fn exited(&self) -> ExitStatus {
        let status = self.exited_at_once().await;
        self.stderr_closed().await;
        status
    }

    /// The last of what the CLI wrote to its stderr, as much as [`Spec::stderr_tail`](crate::Spec::stderr_tail) says.
    /// Bytes that are no UTF-8 are replaced.
    pub fn stderr_tail(&self) -> String {
        self.stderr.text()
    }

    /// Ends what tools started, and only that: direct children of the guard other than the CLI (orphans come to the
    /// guard as subreaper), processes whose environment has one of the variables `marks`, and the descendants of both.
    /// SIGTERM, `grace`, SIGKILL, repeated until none is left, for at most three seconds after `grace`.
    ///
    /// The CLI is never touched. If its own environment has one of the variables, everything below it has, and is swept.
    /// In a session that is over nothing is left to end, and that's the report.
    ///
    /// # Errors
    /// [`GuardError`]; after `Lost` and `NoAnswer` it's best to give the session up.
    pub async fn sweep(&self, marks: &[&str], grace: Duration) -> Result<SweepReport, GuardError> {
        if let Some(bad) = marks.iter().find(|mark| !is_name(mark)) {
            return Err(GuardError::BadMark((*bad).to_owned()));
        }
        let marks = marks.iter().map(|mark| (*mark).to_owned()).collect();
        let (reply, answer) = oneshot::channel();
        let after = grace.saturating_add(KILL_BOUND + ANSWER);
        let asked = async {
            // Each failure means the same: the link has ended, and with it the session.
            self.requests
                .send(Request::Sweep {
                    marks,
                    grace,
                    reply,
                })
                .await
                .ok()?;
            answer.await.ok()
        };
        match timeout(after, asked).await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => {
                let end = self.ended().await;
                let over = SweepReport {
                    survivors: end.survivors,
                    ..SweepReport::default()
                };
                if end.guard_lost {
                    Err(GuardError::Lost)
                } else {
                    Ok(over)
                }
            }
            Err(_) => Err(GuardError::NoAnswer { after }),
        }
    }

    /// Ends everything of the session at once, with SIGKILL, and waits until it's done, for a few seconds at most.
    pub async fn kill(&self) {
        self.request_kill().await;
        self.ended_within(KILL_BOUND + ANSWER).await;
    }

    /// Sends SIGTERM to the CLI, and to it alone. What it starts goes when it has ended.
    pub async fn terminate(&self) {
        self.request_term().await;
    }

    pub(crate) async fn request_term(&self) {
        let _ = self.requests.send(Request::Term).await;
    }

    pub(crate) async fn request_kill(&self) {
        let _ = self.requests.send(Request::Kill).await;
    }

    /// Whether the CLI runs, as far as is known.
    pub(crate) fn is_running(&self) -> bool {
        *self.phase.borrow() == Phase::Running && self.phase.has_changed().is_ok()
    }

    pub(crate) async fn exited_at_once(&self) -> ExitStatus {
        let mut phase = self.phase.clone();
        match phase
            .wait_for(|phase| *phase != Phase::Running)
            .await
            .as_deref()
        {
            Ok(Phase::Exited(status) | Phase::Ended(End { status, .. })) => *status,
            Ok(Phase::Running) | Err(_) => ExitStatus::Lost,
        }
    }

    /// Whether stderr has come to its end, now or in a moment.
    pub(crate) async fn stderr_closed(&self) -> bool {
        let mut closed = self.stderr_closed.clone();
        let ended = closed.wait_for(|closed| *closed);
        timeout(STDERR_LAG, ended)
            .await
            .is_ok_and(|closed| closed.is_ok())
    }

    /// Waits for the session's end.
    async fn ended(&self) -> End {
        let mut phase = self.phase.clone();
        match phase
            .wait_for(|phase| matches!(phase, Phase::Ended(_)))
            .await
            .as_deref()
        {
            Ok(Phase::Ended(end)) => end.clone(),
            // The owner was dropped; the guard is ending the session and nobody listens.
            Ok(_) | Err(_) => End {
                status: ExitStatus::Lost,
                guard_lost: true,
                survivors: Vec::new(),
            },
        }
    }

    /// Waits for the session's end; a guard that doesn't bring it about in time is stuck, and killed with what carries
    /// the mark.
    pub(crate) async fn ended_within(&self, bound: Duration) -> End {
        if let Ok(end) = timeout(bound, self.ended()).await {
            return end;
        }
        tracing::warn!(session = %self.session, "the guard is stuck, ending its session by mark");
        let report = stale::end_session(&self.session).await;
        let status = match *self.phase.borrow() {
            Phase::Exited(status) => status,
            Phase::Running | Phase::Ended(_) => ExitStatus::Lost,
        };
        End {
            status,
            guard_lost: true,
            survivors: report.survivors,
        }
    }
}

/// Whether this can be the name of an environment variable, and can't be mistaken for anything else on the way.
fn is_name(mark: &str) -> bool {
    !mark.is_empty()
        && mark
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
