//! A running CLI: lines in, lines out, and what we ask it between turns.

use std::{collections::VecDeque, time::Duration};

use agent_core::AgentError;
use futures::FutureExt;
use serde::Serialize;
use serde_json::Value;
use supervisor::{Guard, Ladder, Line, LineReader, Process, ProcessHandle, Spec};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, ChildStdout},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

use crate::{
    Access,
    control::Host,
    protocol::{Control, ControlResponse, Message},
};

/// The longest line that is read. A reply is repeated whole in a line.
pub(crate) const MAX_LINE: usize = 64 << 20;
/// How much of stderr is kept for errors. Crashes print very long lines.
pub(crate) const STDERR_TAIL: usize = 8 << 10;
/// Lines that may wait to be written. The CLI reads at once, so few ever do.
const OUTGOING: usize = 16;
/// Messages that may come while we wait for an answer and are kept for later.
const MEANWHILE: usize = 4096;
/// How the CLI is brought to its end. It takes 70 ms when all is well.
const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_millis(1500),
    after_term: Duration::from_millis(2000),
    kill_deadline: Duration::from_millis(1500),
};

/// A running CLI. Dropping it ends everything of its session.
pub(crate) struct Cli {
    outgoing: Option<mpsc::Sender<Vec<u8>>>,
    lines: LineReader<ChildStdout>,
    process: Process,
    /// Answers its questions.
    pub(crate) host: Host,
    requests: u64,
    meanwhile: VecDeque<Incoming>,
    /// Writes to its stdin.
    _writer: JoinSet<()>,
}

/// What came from the CLI.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message.
    Message(Message),
    /// A line too long to be read.
    TooLong,
}

/// The CLI has closed its output: it's over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claude closed its output")]
pub(crate) struct Lost;

/// Why the CLI did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It is over.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// It refused.
    #[error("claude refused `{request}`: {why}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// What it said.
        why: String,
    },
    /// It did not answer.
    #[error("claude did not answer `{request}` within {after:?}")]
    Late {
        /// What was asked.
        request: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
}

impl Cli {
    /// Starts it.
    ///
    /// # Errors
    /// [`AgentError::Spawn`].
    pub(crate) async fn spawn(spec: Spec, access: Access) -> Result<Self, AgentError> {
        let name = spec.program.display().to_string();
        let child = Guard::own()
            .spawn(spec)
            .await
            .map_err(|error| AgentError::Spawn {
                name,
                source: Box::new(error),
            })?;
        let (stdin, lines, process) = child.split();
        let (outgoing, received) = mpsc::channel(OUTGOING);
        let mut writer = JoinSet::new();
        writer.spawn(write(stdin, received));
        Ok(Self {
            outgoing: Some(outgoing),
            lines,
            process,
            host: Host::new(access),
            requests: 0,
            meanwhile: VecDeque::new(),
            _writer: writer,
        })
    }

    /// Sees and steers its processes.
    pub(crate) fn handle(&self) -> ProcessHandle {
        self.process.handle()
    }

    /// Whether it still runs, as far as is known.
    pub(crate) fn is_running(&self) -> bool {
        self.handle().exited().now_or_never().is_none()
    }

    /// Hands over a line.
    ///
    /// # Errors
    /// [`Lost`] when it reads no more.
    pub(crate) async fn send(&self, line: &impl Serialize) -> Result<(), Lost> {
        let mut bytes = serde_json::to_vec(line).expect("our own messages are plain JSON");
        bytes.push(b'\n');
        match &self.outgoing {
            Some(outgoing) => outgoing.send(bytes).await.map_err(|_| Lost),
            None => Err(Lost),
        }
    }

    /// Sends a request whose answer nobody waits for.
    ///
    /// # Errors
    /// [`Lost`] when it reads no more.
    pub(crate) async fn request(&mut self, control: &Control) -> Result<String, Lost> {
        self.requests += 1;
        let id = format!("w{}", self.requests);
        self.send(&control.line(&id)).await?;
        Ok(id)
    }

    /// What it says next. Its questions are answered here. Cancel-safe.
    ///
    /// # Errors
    /// [`Lost`] when it says no more.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Lost> {
        match self.meanwhile.pop_front() {
            Some(incoming) => Ok(incoming),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Incoming, Lost> {
        loop {
            let line = match self.lines.next().await {
                Ok(Some(Line::Complete(line))) => line,
                Ok(Some(Line::TooLong { bytes })) => {
                    tracing::warn!(bytes, "a line of claude's is too long and is dropped");
                    return Ok(Incoming::TooLong);
                }
                Ok(None) => return Err(Lost),
                Err(error) => {
                    tracing::warn!(%error, "claude's output can't be read");
                    return Err(Lost);
                }
            };
            match Message::parse(&line) {
                Ok(Message::ControlRequest(request)) => {
                    let reply = self.host.answer(request);
                    // The queue has room, or the CLI reads no more; to wait for it here would lose the reply if we
                    // are cancelled.
                    self.reply(&reply);
                }
                // A question that was taken back has been answered already; that answer is ignored.
                Ok(Message::ControlCancel { request_id }) => {
                    tracing::debug!(request_id, "claude took a question back");
                }
                Ok(message) => {
                    self.host.see(&message);
                    return Ok(Incoming::Message(message));
                }
                Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Err(error) => {
                    tracing::warn!(%error, bytes = line.len(), "a line of claude's is skipped");
                }
            }
        }
    }

    fn reply(&self, reply: &impl Serialize) {
        let mut bytes = serde_json::to_vec(reply).expect("our own messages are plain JSON");
        bytes.push(b'\n');
        let sent = self
            .outgoing
            .as_ref()
            .map(|outgoing| outgoing.try_send(bytes));
        if !matches!(sent, Some(Ok(()))) {
            tracing::warn!("an answer could not be handed to claude");
        }
    }

    /// Asks something and waits for the answer. What comes before it is kept.
    ///
    /// # Errors
    /// [`AskError`].
    pub(crate) async fn ask(
        &mut self,
        control: &Control,
        limit: Duration,
    ) -> Result<Value, AskError> {
        let name = control.name();
        let id = self.request(control).await?;
        let answered = timeout(limit, async {
            loop {
                match self.read().await? {
                    Incoming::Message(Message::ControlResponse(response))
                        if response.request_id() == id =>
                    {
                        return Ok::<_, Lost>(response);
                    }
                    other => self.keep(other),
                }
            }
        });
        match answered.await {
            Ok(Ok(ControlResponse::Success { response, .. })) => Ok(response.unwrap_or_default()),
            Ok(Ok(ControlResponse::Error { error, .. })) => Err(AskError::Refused {
                request: name,
                why: error,
            }),
            Ok(Err(lost)) => Err(lost.into()),
            Err(_) => Err(AskError::Late {
                request: name,
                after: limit,
            }),
        }
    }

    fn keep(&mut self, incoming: Incoming) {
        if self.meanwhile.len() == MEANWHILE {
            tracing::warn!(
                "claude says too much while it is asked something; the oldest is dropped"
            );
            self.meanwhile.pop_front();
        }
        self.meanwhile.push_back(incoming);
    }

    /// What came while we asked, and was not looked at yet.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = &Message> {
        self.meanwhile.iter().filter_map(|incoming| match incoming {
            Incoming::Message(message) => Some(message),
            Incoming::TooLong => None,
        })
    }

    /// Why it ended, once its output has.
    pub(crate) async fn exit_error(&self) -> AgentError {
        let handle = self.handle();
        let status = match timeout(Duration::from_secs(1), handle.exited()).await {
            Ok(status) => status.to_string(),
            Err(_) => "its output closed".to_owned(),
        };
        AgentError::Exited {
            status,
            stderr_tail: handle.stderr_tail(),
        }
    }

    /// Ends it, and everything of its session.
    pub(crate) async fn shutdown(mut self) {
        self.outgoing = None;
        let report = self.process.shutdown(&LADDER).await;
        if !report.survivors.is_empty() {
            tracing::warn!(?report, "claude's session left processes behind");
        }
    }
}

/// Writes line by line until nobody has any more to say, then closes the CLI's stdin.
async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = stdin.write_all(&line).await {
            tracing::debug!(%error, "claude reads no more");
            return;
        }
    }
}
