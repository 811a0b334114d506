//! A server that says what a recorded one said.

use std::{collections::HashMap, io};

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream,
};

use super::{Line, Message, Transcript};

/// What a replay does when the transcript is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// It stays, and answers what still comes with an error, until the client closes its side.
    #[default]
    Stay,
    /// It closes its side.
    Close,
}

/// How a replay went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Methods of requests that the transcript has no answer for.
    pub unexpected: Vec<String>,
    /// How many lines of the transcript were never reached.
    pub left: usize,
}

/// Serves the server's side of a [`Transcript`].
///
/// What the recorded server said after a message of its client is sent once the present client has sent a message
/// of the same method. Ids of requests are the present client's; what else is in its messages is not looked at.
/// A request that the transcript does not have at this place gets an error, or what
/// [`answering`](Self::answering) said.
#[derive(Clone, Debug)]
pub struct Replay {
    transcript: Transcript,
    at_end: AtEnd,
    extra: HashMap<String, Value>,
}

impl Replay {
    /// A replay of the whole transcript.
    pub fn new(transcript: Transcript) -> Self {
        Self {
            transcript,
            at_end: AtEnd::Stay,
            extra: HashMap::new(),
        }
    }

    /// Says what happens at the transcript's end.
    #[must_use]
    pub fn at_end(mut self, at_end: AtEnd) -> Self {
        self.at_end = at_end;
        self
    }

    /// Answers requests of `method` that the transcript does not have with `result`.
    #[must_use]
    pub fn answering(mut self, method: &str, result: Value) -> Self {
        self.extra.insert(method.to_owned(), result);
        self
    }

    /// The client's end of a connection in memory, and the server to be run beside it.
    pub fn connect(
        self,
    ) -> (
        DuplexStream,
        impl Future<Output = io::Result<ReplayReport>> + Send,
    ) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(server);
        (client, self.serve(reader, writer))
    }

    /// Serves one client.
    ///
    /// # Errors
    /// If the connection fails in any way but its end.
    pub async fn serve<R, W>(self, reader: R, writer: W) -> io::Result<ReplayReport>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut serving = Serving {
            reader: BufReader::new(reader),
            writer,
            ids: HashMap::new(),
            extra: self.extra,
            report: ReplayReport {
                left: self.transcript.lines.len(),
                ..ReplayReport::default()
            },
        };
        match serving.play(&self.transcript.lines, self.at_end).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            played => played?,
        }
        Ok(serving.report)
    }
}

struct Serving<R, W> {
    reader: R,
    writer: W,
    /// The recorded client's ids and what the present client uses instead.
    ids: HashMap<String, Value>,
    extra: HashMap<String, Value>,
    report: ReplayReport,
}

impl<R: AsyncBufRead + Unpin, W: AsyncWrite + Unpin> Serving<R, W> {
    async fn play(&mut self, lines: &[Line], at_end: AtEnd) -> io::Result<()> {
        for line in lines {
            match line {
                Line::Note(_) | Line::SentRaw(_) | Line::Stderr(_) => {}
                Line::Sent(expected) => {
                    if !self.await_client(expected).await? {
                        return Ok(());
                    }
                }
                Line::Received(message) => self.say(message).await?,
            }
            self.report.left -= 1;
        }
        if at_end == AtEnd::Stay {
            while let Some(message) = self.hear().await? {
                self.refuse(&message).await?;
            }
        }
        Ok(())
    }

    /// Waits for the client to say what its predecessor said; `false` if it leaves instead.
    async fn await_client(&mut self, expected: &Message) -> io::Result<bool> {
        while let Some(message) = self.hear().await? {
            if message.method() == expected.method()
                && (expected.method().is_some() || message.id() == expected.id())
            {
                if let (Some(recorded), Some(present)) = (expected.id(), message.id()) {
                    self.ids.insert(recorded.to_string(), present.clone());
                }
                return Ok(true);
            }
            self.refuse(&message).await?;
        }
        Ok(false)
    }

    async fn refuse(&mut self, message: &Message) -> io::Result<()> {
        let (Some(method), Some(id)) = (message.method(), message.id()) else {
            return Ok(());
        };
        let answer = match self.extra.get(method) {
            Some(result) => json!({"id": id, "result": result}),
            None => {
                self.report.unexpected.push(method.to_owned());
                json!({"id": id, "error": {"code": -32600, "message": format!("the transcript has no `{method}` here")}})
            }
        };
        self.write(&answer).await
    }

    async fn say(&mut self, message: &Message) -> io::Result<()> {
        let mut message = message.clone();
        if message.is_answer()
            && let Some(present) = message.id().and_then(|id| self.ids.get(&id.to_string()))
        {
            message.0["id"] = present.clone();
        }
        self.write(&message.0).await
    }

    async fn write(&mut self, message: &Value) -> io::Result<()> {
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .await?;
        self.writer.flush().await
    }

    /// The client's next message; lines that are none are dropped, as codex does.
    async fn hear(&mut self) -> io::Result<Option<Message>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.reader.read_until(b'\n', &mut line).await? == 0 {
                return Ok(None);
            }
            if let Ok(message) = serde_json::from_slice(&line) {
                return Ok(Some(Message(message)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript;

    async fn converse(replay: Replay, requests: &[Value]) -> (Vec<Value>, ReplayReport) {
        let (client, server) = replay.at_end(AtEnd::Close).connect();
        let (reader, mut writer) = tokio::io::split(client);
        let talk = async {
            for request in requests {
                writer
                    .write_all(format!("{request}\n").as_bytes())
                    .await
                    .unwrap();
            }
            let mut lines = BufReader::new(reader).lines();
            let mut heard = Vec::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                heard.push(serde_json::from_str(&line).unwrap());
            }
            heard
        };
        let (heard, report) = tokio::join!(talk, server);
        (heard, report.unwrap())
    }

    #[tokio::test]
    async fn a_replay_says_everything_with_the_clients_own_ids() {
        let recorded = transcript::load("text").unwrap();
        let requests = [
            json!({"id": "a", "method": "initialize", "params": {}}),
            json!({"method": "initialized"}),
            json!({"id": "x", "method": "no/such", "params": {}}),
            json!({"id": "b", "method": "thread/start", "params": {}}),
            json!({"id": "c", "method": "turn/start", "params": {}}),
        ];
        let expected = recorded.received().count() + 1;
        let (heard, report) = converse(Replay::new(recorded), &requests).await;
        assert_eq!(heard.len(), expected);
        assert_eq!(
            report,
            ReplayReport {
                unexpected: vec!["no/such".into()],
                left: 0
            }
        );
        let answers: Vec<&Value> = heard
            .iter()
            .filter_map(|message| message.get("id"))
            .collect();
        assert_eq!(answers, ["a", "x", "b", "c"]);
        assert_eq!(heard.last().unwrap()["method"], "turn/completed");
    }
}
