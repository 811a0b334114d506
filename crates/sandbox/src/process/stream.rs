//! What a command says, as it says it.

use std::{convert::Infallible, pin::pin, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Stream, stream};
use host::error_chain;
use serde::Serialize;
use supervisor::{ChildEnv, ExitStatus, Guard, PipedChild, Process, SessionMark, SpawnError, Spec};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{ChildStderr, ChildStdout},
    sync::{Mutex as AsyncMutex, mpsc},
    time::{Instant, timeout, timeout_at},
};

use super::{Listed, ListedCommand, Wanted, registry::Running};
use crate::{Sandbox, answer::Code, connect};

/// How much is read at once: what a pipe holds.
const CHUNK: usize = 64 << 10;
/// How many pieces may wait for a caller that reads slowly; then the command waits.
const WAITING: usize = 16;
/// How long the rest of a command's output may take to be read by the caller once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(600);
/// Variables of these names are the executor's packaging, not the image's.
const PACKAGING: [&str; 3] = ["BASH_FUNC_", "_PYI_", "_MEI_"];

#[derive(Serialize)]
struct Message<'a> {
    event: Event<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Event<'a> {
    Start { pid: i32 },
    Data(Data<'a>),
    End(End),
    Keepalive {},
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Data<'a> {
    Stdout(&'a str),
    Stderr(&'a str),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    exit_code: i32,
    exited: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn said(event: Event<'_>) -> Bytes {
    connect::envelope(&Message { event })
}

fn on_stdout(bytes: &[u8]) -> Bytes {
    said(Event::Data(Data::Stdout(&BASE64_STANDARD.encode(bytes))))
}

fn on_stderr(bytes: &[u8]) -> Bytes {
    said(Event::Data(Data::Stderr(&BASE64_STANDARD.encode(bytes))))
}

/// A command that was started, or not.
pub(super) struct Begun {
    messages: mpsc::Receiver<Bytes>,
}

impl Begun {
    /// Starts a command. That it can't be started is told by the stream, as its end.
    pub(super) async fn start(sandbox: &Sandbox, wanted: Wanted) -> Self {
        let (sender, messages) = mpsc::channel(WAITING);
        match spawn(sandbox, &wanted).await {
            Ok(child) => take_over(sandbox, wanted, child, sender).await,
            Err(why) => {
                let end = End {
                    exit_code: -1,
                    exited: true,
                    status: "error",
                    error: Some(error_chain(&why)),
                };
                for message in [
                    said(Event::Start { pid: 0 }),
                    said(Event::End(end)),
                    connect::end(None),
                ] {
                    // There is room for all three.
                    let _ = sender.try_send(message);
                }
            }
        }
        Self { messages }
    }

    /// The envelopes; a sign of life between two that are further apart than `keepalive`.
    pub(super) fn stream(
        self,
        keepalive: Option<Duration>,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self.messages, move |mut messages| async move {
            let message = match keepalive {
                None => messages.recv().await,
                Some(pause) => match tokio::time::timeout(pause, messages.recv()).await {
                    Ok(message) => message,
                    Err(_) => Some(said(Event::Keepalive {})),
                },
            };
            Some((Ok(message?), messages))
        })
    }
}

/// Why a command doesn't run.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    /// There are as many as there may be.
    #[error("too many commands run already")]
    TooMany,
    /// It can't be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

async fn spawn(sandbox: &Sandbox, wanted: &Wanted) -> Result<PipedChild, NotStarted> {
    if sandbox.0.processes.is_full() {
        return Err(NotStarted::TooMany);
    }
    let command = &wanted.command;
    let spec = Spec {
        program: command.cmd.clone().into(),
        args: command.args.iter().map(Into::into).collect(),
        env: environment(sandbox, wanted),
        cwd: wanted.cwd.clone(),
        session: SessionMark::new(&sandbox.0.config.owner),
        max_line: 0,
        stderr_tail: 0,
    };
    Ok(Guard::own().spawn_piped(spec).await?)
}

fn environment(sandbox: &Sandbox, wanted: &Wanted) -> ChildEnv {
    let image = sandbox.0.config.environment.iter().filter(|(name, _)| {
        let name = name.to_string_lossy();
        !PACKAGING
            .iter()
            .any(|packaging| name.starts_with(packaging))
    });
    let mut env: ChildEnv = image.collect();
    env.extend(sandbox.0.settings.env());
    env.extend(wanted.command.envs.clone());
    env
}

/// Tells of the start, and has the rest followed by a task of the sandbox's.
async fn take_over(
    sandbox: &Sandbox,
    wanted: Wanted,
    child: PipedChild,
    sender: mpsc::Sender<Bytes>,
) {
    let PipedChild {
        stdin,
        stdout,
        stderr,
        process,
    } = child;
    let pid = process.handle().pid().as_raw();
    // There is room.
    let _ = sender.try_send(said(Event::Start { pid }));
    let running = Running {
        handle: process.handle(),
        listed: Listed {
            pid,
            tag: wanted.tag,
            config: ListedCommand {
                cmd: wanted.command.cmd,
                args: wanted.command.args,
                cwd: wanted.cwd.display().to_string(),
            },
        },
        stdin: AsyncMutex::new(wanted.stdin.then_some(stdin)),
    };
    let until = wanted.limit.map(|limit| Instant::now() + limit);
    let following = Following {
        process,
        teller: Teller(sender),
        stdout,
        stderr,
    };
    let owner = sandbox.clone();
    sandbox.0.processes.add(running, async move {
        following.follow(until).await;
        owner.0.processes.remove(pid);
    });
}

/// Sends envelopes for as long as somebody reads them.
struct Teller(mpsc::Sender<Bytes>);

impl Teller {
    async fn tell(&self, message: Bytes) {
        // Whoever started the command may have gone; it goes on without him.
        let _ = self.0.send(message).await;
    }
}

/// A command seen to its end.
struct Following {
    process: Process,
    teller: Teller,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

impl Following {
    async fn follow(self, until: Option<Instant>) {
        let Self {
            process,
            teller,
            stdout,
            stderr,
        } = self;
        let handle = process.handle();
        let to_the_end = async {
            let mut reading = pin!(read(stdout, stderr, &teller));
            tokio::select! {
                status = handle.exited() => {
                    // What it had started goes with it, and nobody holds the pipes any more. What it said before is
                    // told all the same, as slowly as it is read.
                    let _ = timeout(LAST_WORDS, reading).await;
                    status
                }
                // Both pipes may be closed long before the end.
                () = &mut reading => handle.exited().await,
            }
        };
        let status = match until {
            Some(until) => timeout_at(until, to_the_end).await.ok(),
            None => Some(to_the_end.await),
        };
        match status {
            Some(status) => {
                teller.tell(said(Event::End(ended(status)))).await;
                teller.tell(connect::end(None)).await;
            }
            None => {
                handle.kill().await;
                let error = (
                    Code::DeadlineExceeded,
                    "the command took too long and was ended",
                );
                teller.tell(connect::end(Some(error))).await;
            }
        }
    }
}

/// Tells of everything that comes, to the end of both streams.
async fn read(stdout: ChildStdout, stderr: ChildStderr, teller: &Teller) {
    let (mut stdout, mut stderr) = (Some(stdout), Some(stderr));
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            count = some(&mut stdout, &mut out) => match count {
                0 => stdout = None,
                count => teller.tell(on_stdout(&out[..count])).await,
            },
            count = some(&mut stderr, &mut err) => match count {
                0 => stderr = None,
                count => teller.tell(on_stderr(&err[..count])).await,
            },
        }
    }
}

/// Reads what there is; waits for ever where nothing can come.
async fn some(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match stream {
        // A pipe that can't be read has nothing more to say.
        Some(stream) => stream.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

fn ended(status: ExitStatus) -> End {
    let (exit_code, exited) = match status {
        ExitStatus::Code(code) => (code, true),
        ExitStatus::Signal(signal) => (128 + signal, false),
        ExitStatus::Lost => (-1, false),
    };
    let well = status.success();
    End {
        exit_code,
        exited,
        status: if well { "success" } else { "error" },
        error: (!well).then(|| format!("it ended with {status}")),
    }
}
