//! A `claude` that says what a recorded one said.

use std::{collections::HashMap, io};

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream,
};

use super::{Line, Message, Transcript, exit_status};

/// How a replay of Claude Code went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaudeReplayReport {
    /// Kinds of requests that the transcript has no answer for.
    pub unexpected: Vec<String>,
    /// How many lines of the transcript were never reached.
    pub left: usize,
    /// The recorded exit status, if the replay came so far.
    pub exit: Option<u8>,
}

/// Serves the CLI's side of a [`Transcript`] of Claude Code.
///
/// What the recorded CLI said after a line of its host is sent once the present host has sent a line of the same
/// kind: a user message, a control request of the same subtype, the answer to the same request of the CLI. Ids of the
/// host's requests are the present host's; what else is in its lines is not looked at. Lines that are no messages
/// are not waited for. Where the recorded host closed the CLI's standard input, the replay waits for that too; signals
/// are not waited for: the replay goes on to the recorded end.
///
/// A request that the transcript does not have at this place gets an error, or what [`answering`](Self::answering)
/// said; an `initialize` always gets a success, because some recordings begin without one.
#[derive(Clone, Debug)]
pub struct ClaudeReplay {
    transcript: Transcript,
    session: Option<String>,
    extra: HashMap<String, Value>,
}

impl ClaudeReplay {
    /// A replay of the whole transcript.
    pub fn new(transcript: Transcript) -> Self {
        let initialize = ("initialize".to_owned(), json!({}));
        Self {
            transcript,
            session: None,
            extra: HashMap::from([initialize]),
        }
    }

    /// Says `session` wherever the recorded CLI named its session.
    #[must_use]
    pub fn session(mut self, session: &str) -> Self {
        self.session = Some(session.to_owned());
        self
    }

    /// Answers control requests of `subtype` that the transcript does not have with `response`.
    #[must_use]
    pub fn answering(mut self, subtype: &str, response: Value) -> Self {
        self.extra.insert(subtype.to_owned(), response);
        self
    }

    /// The host's end of a connection in memory, and the CLI to be run beside it.
    pub fn connect(
        self,
    ) -> (
        DuplexStream,
        impl Future<Output = io::Result<ClaudeReplayReport>> + Send,
    ) {
        let (host, cli) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(cli);
        (host, self.serve(reader, writer, tokio::io::sink()))
    }

    /// Serves one host over the CLI's standard input, output and error.
    ///
    /// # Errors
    /// If the connection fails in any way but its end.
    pub async fn serve<R, W, E>(
        self,
        stdin: R,
        stdout: W,
        stderr: E,
    ) -> io::Result<ClaudeReplayReport>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        E: AsyncWrite + Unpin,
    {
        let recorded = self
            .transcript
            .received()
            .find_map(|message| message.0["session_id"].as_str().map(str::to_owned));
        let mut serving = Serving {
            stdin: BufReader::new(stdin),
            stdout,
            stderr,
            session: recorded.zip(self.session),
            ids: HashMap::new(),
            extra: self.extra,
            report: ClaudeReplayReport {
                left: self.transcript.lines.len(),
                ..ClaudeReplayReport::default()
            },
        };
        match serving.play(&self.transcript.lines).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            played => played?,
        }
        Ok(serving.report)
    }
}

struct Serving<R, W, E> {
    stdin: BufReader<R>,
    stdout: W,
    stderr: E,
    /// The recorded session's id and what is said instead.
    session: Option<(String, String)>,
    /// The recorded host's ids and what the present host uses instead.
    ids: HashMap<String, String>,
    extra: HashMap<String, Value>,
    report: ClaudeReplayReport,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin, E: AsyncWrite + Unpin> Serving<R, W, E> {
    async fn play(&mut self, lines: &[Line]) -> io::Result<()> {
        for line in lines {
            match line {
                Line::Note(note) if note == "stdin closed" => self.await_end().await?,
                Line::Note(note) => {
                    if let Some(status) = exit_status(note) {
                        self.report.exit = Some(status);
                    }
                }
                Line::SentRaw(_) => {}
                Line::Sent(expected) => {
                    if !self.await_host(expected).await? {
                        return Ok(());
                    }
                }
                Line::Received(message) => self.say(message).await?,
                Line::Stderr(text) => {
                    self.stderr
                        .write_all(format!("{text}\n").as_bytes())
                        .await?;
                    self.stderr.flush().await?;
                }
            }
            self.report.left -= 1;
        }
        if self.report.exit.is_none() {
            self.await_end().await?;
        }
        Ok(())
    }

    /// Waits for the host to close its side.
    async fn await_end(&mut self) -> io::Result<()> {
        while let Some(message) = self.hear().await? {
            self.refuse(&message).await?;
        }
        Ok(())
    }

    /// Waits for the host to say what its predecessor said; `false` if it leaves instead.
    async fn await_host(&mut self, expected: &Message) -> io::Result<bool> {
        while let Some(message) = self.hear().await? {
            if alike(expected, &message) {
                if let (Some(recorded), Some(present)) =
                    (request_id(expected), request_id(&message))
                {
                    self.ids.insert(recorded.to_owned(), present.to_owned());
                }
                return Ok(true);
            }
            self.refuse(&message).await?;
        }
        Ok(false)
    }

    async fn refuse(&mut self, message: &Message) -> io::Result<()> {
        let (Some(subtype), Some(id)) = (
            message.0["request"]["subtype"].as_str(),
            request_id(message),
        ) else {
            return Ok(());
        };
        let response = match self.extra.get(subtype) {
            Some(response) => {
                json!({"subtype": "success", "request_id": id, "response": response})
            }
            None => {
                self.report.unexpected.push(message.kind());
                let error = format!("the transcript has no `{subtype}` here");
                json!({"subtype": "error", "request_id": id, "error": error})
            }
        };
        self.write(&json!({"type": "control_response", "response": response}).to_string())
            .await
    }

    async fn say(&mut self, message: &Message) -> io::Result<()> {
        let mut message = message.clone();
        if let Some(id) = message.0.pointer_mut("/response/request_id")
            && let Some(present) = id.as_str().and_then(|id| self.ids.get(id))
        {
            *id = json!(present);
        }
        let mut line = message.0.to_string();
        if let Some((recorded, present)) = &self.session {
            line = line.replace(recorded, present);
        }
        self.write(&line).await
    }

    async fn write(&mut self, line: &str) -> io::Result<()> {
        self.stdout
            .write_all(format!("{line}\n").as_bytes())
            .await?;
        self.stdout.flush().await
    }

    /// The host's next message; lines that are none are dropped.
    async fn hear(&mut self) -> io::Result<Option<Message>> {
        hear(&mut self.stdin).await
    }
}

async fn hear(stdin: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Message>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stdin.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        if let Ok(message) = serde_json::from_slice(&line) {
            return Ok(Some(Message(message)));
        }
    }
}

fn request_id(message: &Message) -> Option<&str> {
    message.0["request_id"].as_str()
}

fn alike(expected: &Message, message: &Message) -> bool {
    let answers = |message: &Message| {
        message.0["response"]["request_id"]
            .as_str()
            .map(str::to_owned)
    };
    expected.0["type"] == message.0["type"]
        && expected.0["request"]["subtype"] == message.0["request"]["subtype"]
        && answers(expected) == answers(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::ClaudeVersion, transcript};

    async fn converse(replay: ClaudeReplay, lines: &[Value]) -> (Vec<Message>, ClaudeReplayReport) {
        let (host, cli) = replay.connect();
        let (reader, mut writer) = tokio::io::split(host);
        let talk = async {
            for line in lines {
                let line = format!("{line}\n");
                // A replay that is over takes nothing more.
                if writer.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown().await;
            let mut reader = BufReader::new(reader);
            let mut heard = Vec::new();
            while let Some(message) = hear(&mut reader).await.unwrap() {
                heard.push(message);
            }
            heard
        };
        let (heard, report) = tokio::join!(talk, cli);
        (heard, report.unwrap())
    }

    fn request(id: &str, subtype: &str) -> Value {
        json!({"type": "control_request", "request_id": id, "request": {"subtype": subtype}})
    }

    fn user(text: &str) -> Value {
        json!({"type": "user", "message": {"role": "user", "content": text}})
    }

    #[tokio::test]
    async fn a_replay_says_everything_with_the_hosts_own_ids_and_session() {
        let recorded = transcript::load_claude(ClaudeVersion::V2_1_329, "interrupt-text").unwrap();
        let expected = recorded.received().count() + 1;
        let replay = ClaudeReplay::new(recorded).session("our-session");
        let host = [
            request("a", "initialize"),
            request("b", "set_model"),
            user("one"),
            request("c", "interrupt"),
            user("two"),
        ];
        let (heard, report) = converse(replay, &host).await;
        assert_eq!(heard.len(), expected);
        let unexpected = vec!["control_request/set_model".to_owned()];
        let whole = ClaudeReplayReport {
            unexpected,
            left: 0,
            exit: Some(0),
        };
        assert_eq!(report, whole);
        let answers: Vec<&str> = heard
            .iter()
            .filter_map(|message| message.0["response"]["request_id"].as_str())
            .collect();
        assert_eq!(answers, ["a", "b", "c"]);
        let last = heard.last().unwrap();
        assert_eq!(
            (last.kind().as_str(), last.0["session_id"].as_str()),
            ("result/success", Some("our-session"))
        );
    }

    #[tokio::test]
    async fn a_recording_without_a_handshake_takes_one_and_ends_by_itself() {
        let recorded =
            transcript::load_claude(ClaudeVersion::V2_1_197, "kill9-mid-stream").unwrap();
        let host = [request("a", "initialize"), user("one"), user("two")];
        let (heard, report) = converse(ClaudeReplay::new(recorded), &host).await;
        assert_eq!(heard[0].kind(), "control_response/success");
        assert_eq!(
            heard.last().unwrap().kind(),
            "stream_event/content_block_delta"
        );
        assert_eq!((report.left, report.exit), (0, Some(137)));
    }
}
