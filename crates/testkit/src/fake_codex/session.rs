//! A connection of the fake: requests in, answers out, turns beside them.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc, sync::atomic::Ordering};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    End, FakeCodex,
    asks::Asks,
    directive, shapes,
    store::Store,
    turn::{Control, Place, Turn},
};
use crate::{clock, notes::Notebook};

/// Lines that may wait for the client; then the turns wait.
const AHEAD: usize = 16;

pub(super) async fn serve<R, W>(fake: FakeCodex, reader: R, writer: W) -> io::Result<End>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (out, lines) = mpsc::channel(AHEAD);
    let mut writing = JoinSet::new();
    writing.spawn(write_out(writer, lines));
    let mut session = Session {
        store: Store(fake.home),
        notes: fake.notes,
        out,
        handshake: Handshake::Awaited,
        experimental: false,
        threads: HashMap::new(),
        turns: JoinSet::new(),
        asks: Asks::default(),
        next: 0,
    };
    let end = session.talk(BufReader::new(reader)).await?;
    // Ends the turns, and with them the last senders; what was written goes out.
    drop(session);
    writing.join_next().await;
    Ok(end)
}

async fn write_out<W: AsyncWrite + Unpin>(mut writer: W, mut lines: mpsc::Receiver<Bytes>) {
    while let Some(line) = lines.recv().await {
        // A client that has gone is noticed by the reader.
        if writer.write_all(&line).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    Awaited,
    Done,
}

#[derive(Debug, Default)]
struct Thread {
    folder: PathBuf,
    prompts: Vec<String>,
    running: Option<Control>,
}

struct Session {
    store: Store,
    notes: Notebook,
    out: mpsc::Sender<Bytes>,
    handshake: Handshake,
    experimental: bool,
    threads: HashMap<String, Thread>,
    /// Each gives its thread and, if the prompt ends the process, the exit code.
    turns: JoinSet<(String, Option<u8>)>,
    asks: Asks,
    next: u64,
}

#[derive(Deserialize)]
struct Incoming {
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Value>,
}

/// What a refused request is told.
struct Refused(String);

type Answer = Result<Value, Refused>;

fn refuse<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(message.into()))
}

impl Session {
    async fn talk<R: AsyncRead + Unpin>(&mut self, mut reader: BufReader<R>) -> io::Result<End> {
        let mut line = Vec::new();
        loop {
            tokio::select! {
                read = reader.read_until(b'\n', &mut line) => {
                    if read? == 0 {
                        return Ok(End::Closed);
                    }
                    let message = std::mem::take(&mut line);
                    self.hear(&message).await;
                }
                Some(over) = self.turns.join_next() => {
                    let Ok((thread, exit)) = over else { continue };
                    if let Some(code) = exit {
                        return Ok(End::Exit(code));
                    }
                    if let Some(thread) = self.threads.get_mut(&thread) {
                        thread.running = None;
                    }
                }
            }
        }
    }

    /// Malformed lines are dropped without a word, as codex does.
    async fn hear(&mut self, line: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Incoming>(line) else {
            return;
        };
        let (method, id) = match (message.method, message.id) {
            (Some(method), Some(id)) => (method, id),
            (None, Some(id)) => {
                let answer = message.result.or(message.error).unwrap_or_default();
                return self.asks.answered(&id, answer);
            }
            // Notifications need no reaction.
            (_, None) => return,
        };
        let answer = match message.params {
            None => refuse("Invalid request: missing field `params`"),
            Some(params) => self.request(&method, &params),
        };
        let line = match &answer {
            Ok(result) => json!({"id": id, "result": result}),
            Err(Refused(message)) => {
                json!({"error": {"code": -32600, "message": message}, "id": id})
            }
        };
        self.write(&line).await;
        if let Ok(result) = answer {
            self.after(&method, &result).await;
        }
    }

    fn request(&mut self, method: &str, params: &Value) -> Answer {
        if method == "initialize" {
            return self.initialize(params);
        }
        if self.handshake == Handshake::Awaited {
            return refuse("Not initialized");
        }
        match method {
            "thread/start" => Ok(self.start_thread(params)),
            "thread/resume" => self.resume_thread(params),
            "thread/unsubscribe" => Ok(json!({"status": "unsubscribed"})),
            "turn/start" => self.start_turn(params),
            "turn/interrupt" => self.interrupt(params),
            "thread/backgroundTerminals/clean" if self.experimental => {
                self.known(params).map(|_| json!({}))
            }
            "thread/backgroundTerminals/clean" => {
                refuse(format!("{method} requires experimentalApi capability"))
            }
            _ => refuse(format!(
                "Invalid request: unknown variant `{method}`, expected one of `initialize`, …"
            )),
        }
    }

    fn initialize(&mut self, params: &Value) -> Answer {
        if self.handshake == Handshake::Done {
            return refuse("Already initialized");
        }
        let Some(name) = params["clientInfo"]["name"].as_str() else {
            return refuse("Invalid request: missing field `clientInfo`");
        };
        self.handshake = Handshake::Done;
        self.experimental = params["capabilities"]["experimentalApi"]
            .as_bool()
            .unwrap_or(false);
        let mut result = shapes::answer_to("initialize");
        result["userAgent"] = json!(format!("{name}/0.169.0 (fake)"));
        if let Some(home) = &self.store.0 {
            result["codexHome"] = json!(home);
        }
        Ok(result)
    }

    fn start_thread(&mut self, params: &Value) -> Value {
        let thread = self.fresh_id();
        let begun = Thread {
            folder: folder(params).into(),
            ..Thread::default()
        };
        self.threads.insert(thread.clone(), begun);
        self.thread_answer(&thread, params)
    }

    fn resume_thread(&mut self, params: &Value) -> Answer {
        let thread = text(params, "threadId")?;
        if !self.threads.contains_key(&thread) {
            let Some(prompts) = self.store.load(&thread) else {
                return refuse(format!("no rollout found for thread id {thread}"));
            };
            self.threads.insert(
                thread.clone(),
                Thread {
                    folder: folder(params).into(),
                    prompts,
                    running: None,
                },
            );
        }
        Ok(self.thread_answer(&thread, params))
    }

    fn thread_answer(&self, thread: &str, params: &Value) -> Value {
        shapes::thread_answer(
            thread,
            folder(params),
            &format!("/sessions/rollout-fake-{thread}.jsonl"),
        )
    }

    fn known(&mut self, params: &Value) -> Result<&mut Thread, Refused> {
        let thread = text(params, "threadId")?;
        match self.threads.get_mut(&thread) {
            Some(known) => Ok(known),
            None => refuse(format!("thread not found: {thread}")),
        }
    }

    fn start_turn(&mut self, params: &Value) -> Answer {
        let turn = self.fresh_id();
        let id = text(params, "threadId")?;
        let input = params["input"].as_array().cloned().unwrap_or_default();
        let texts: Vec<&str> = input
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect();
        let prompt = texts.join("\n");
        let store = self.store.clone();
        let out = self.out.clone();
        let asks = self.asks.clone();
        let notes = self.notes.clone();
        let thread = self.known(params)?;
        if let Some(running) = &thread.running {
            // Codex takes it as a steer of the running turn.
            return Ok(json!({"turn": shapes::turn(&running.turn, "inProgress", None, &[])}));
        }
        if let Err(error) = store.append(&id, &prompt) {
            return refuse(format!("thread can't be written: {error}"));
        }
        thread.prompts.push(prompt.clone());
        let control = Control {
            turn: turn.clone(),
            interrupt: CancellationToken::new(),
            deaf: Arc::default(),
        };
        thread.running = Some(control.clone());
        let place = Place {
            thread: id.clone(),
            folder: thread.folder.clone(),
        };
        let running = Turn::new(place, control, thread.prompts.clone(), out, asks, notes);
        let directives = directive::parse(&prompt);
        self.turns
            .spawn(async move { (id, running.run(directives).await) });
        Ok(json!({"turn": shapes::turn(&turn, "inProgress", None, &[])}))
    }

    fn interrupt(&mut self, params: &Value) -> Answer {
        let turn = text(params, "turnId")?;
        let Some(running) = &self.known(params)?.running else {
            return refuse("no active turn to interrupt");
        };
        if running.turn != turn {
            return refuse(format!(
                "expected active turn id `{turn}` but found `{}`",
                running.turn
            ));
        }
        if !running.deaf.load(Ordering::Acquire) {
            running.interrupt.cancel();
        }
        Ok(json!({}))
    }

    /// What codex says of its own accord after an answer.
    async fn after(&self, method: &str, result: &Value) {
        if method == "thread/start" {
            let started =
                json!({"method": "thread/started", "params": {"thread": result["thread"]}});
            self.write(&started).await;
        }
    }

    async fn write(&self, message: &Value) {
        // A client that has gone is noticed by the reader.
        let _ = self.out.send(format!("{message}\n").into()).await;
    }

    /// In the form of a UUID of version 7: time first, then what makes it unique in this process.
    fn fresh_id(&mut self) -> String {
        self.next += 1;
        let millis = (clock::now_micros() / 1000) & 0xffff_ffff_ffff;
        let unique = u64::from(std::process::id()) << 24 | self.next;
        format!(
            "{:08x}-{:04x}-7000-8000-{:012x}",
            millis >> 16,
            millis & 0xffff,
            unique & 0xffff_ffff_ffff
        )
    }
}

/// The folder in which a thread works.
fn folder(params: &Value) -> &str {
    params["cwd"].as_str().unwrap_or("/")
}

fn text(params: &Value, field: &str) -> Result<String, Refused> {
    match params[field].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => refuse(format!("Invalid request: missing field `{field}`")),
    }
}
