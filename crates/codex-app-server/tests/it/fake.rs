//! The other end of an in-memory connection, played by hand.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use codex_app_server::{Client, ConnectionLost, Limits, connect};
use serde_json::{Value, json};
use supervisor::LineReader;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    task::JoinSet,
};

/// Longest line the client accepts here.
pub(crate) const MAX_LINE: usize = 16 << 20;
/// Generous: what is awaited in tests either comes at once or never.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Plays codex: reads what the client writes, writes what the client reads.
pub(crate) struct Fake {
    incoming: BufReader<DuplexStream>,
    outgoing: DuplexStream,
    stash: VecDeque<Value>,
}

/// The client's driver, running.
pub(crate) type Driving = JoinSet<Arc<ConnectionLost>>;

/// A client and the fake it talks to. Both pipes hold `pipe` bytes.
pub(crate) fn pair(limits: Limits, timeout: Duration, pipe: usize) -> (Client, Fake, Driving) {
    let (client_reads, outgoing) = tokio::io::duplex(pipe);
    let (client_writes, incoming) = tokio::io::duplex(pipe);
    let (client, driver) = connect(
        LineReader::new(client_reads, MAX_LINE),
        client_writes,
        limits,
        timeout,
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    (
        client,
        Fake {
            incoming: BufReader::new(incoming),
            outgoing,
            stash: VecDeque::new(),
        },
        tasks,
    )
}

/// A pair with usual bounds.
pub(crate) fn plain() -> (Client, Fake, Driving) {
    pair(Limits::default(), SOON, 1 << 16)
}

impl Fake {
    /// The next message of the client; `None` when it has hung up.
    pub(crate) async fn read(&mut self) -> Option<Value> {
        if let Some(message) = self.stash.pop_front() {
            return Some(message);
        }
        self.read_line().await
    }

    async fn read_line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(SOON, self.incoming.read_line(&mut line)).await;
        let bytes = read.expect("the client says something").unwrap();
        (bytes > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    /// The next message that `is` what is looked for; others are kept for later.
    pub(crate) async fn find(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        if let Some(position) = self.stash.iter().position(&is) {
            return self.stash.remove(position).unwrap();
        }
        loop {
            let message = self.read_line().await.expect("the client has not hung up");
            if is(&message) {
                return message;
            }
            self.stash.push_back(message);
        }
    }

    /// The next call, which must be of `method`.
    pub(crate) async fn call(&mut self, method: &str) -> (Value, Value) {
        let message = self.read().await.expect("the client calls");
        assert_eq!(message["method"], method, "{message}");
        assert!(
            message.get("params").is_some(),
            "codex refuses calls without params: {message}"
        );
        (message["id"].clone(), message["params"].clone())
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.outgoing.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        self.raw(line.as_bytes()).await;
    }

    pub(crate) async fn answer(&mut self, id: &Value, result: Value) {
        self.send(&json!({"id": id, "result": result})).await;
    }

    pub(crate) async fn refuse(&mut self, id: &Value, code: i64, message: &str) {
        self.send(&json!({"id": id, "error": {"code": code, "message": message}}))
            .await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"method": method, "params": params, "emittedAtMs": 1}))
            .await;
    }

    /// Answers the opening of a thread.
    pub(crate) async fn open(&mut self, method: &str, thread: &str) {
        let (id, _) = self.call(method).await;
        self.answer(&id, opened(thread)).await;
    }

    /// Another piece of a message.
    pub(crate) async fn delta(&mut self, thread: &str, item: &str, text: &str) {
        let params = json!({"threadId": thread, "turnId": "u", "itemId": item, "delta": text});
        self.notify("item/agentMessage/delta", params).await;
    }

    pub(crate) async fn completed(&mut self, thread: &str) {
        let turn = json!({"id": "u", "status": "completed", "items": []});
        self.notify("turn/completed", json!({"threadId": thread, "turn": turn}))
            .await;
    }
}

/// The answer that opens a thread.
pub(crate) fn opened(thread: &str) -> Value {
    json!({"thread": {"id": thread, "status": {"type": "idle"}, "turns": []}, "model": "m", "cwd": "/w"})
}

impl Fake {
    /// The client's side may be gone while this is written to.
    pub(crate) fn outgoing(&mut self) -> &mut DuplexStream {
        &mut self.outgoing
    }
}
