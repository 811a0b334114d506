//! One turn of the fake.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    asks::Asks,
    directive::{Directive, backwards, words},
    errand, shapes,
};
use crate::{
    clock,
    notes::{Notebook, Noted},
    transcript::{self, Line, Message},
};

/// Why a turn stopped before its directives were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Interrupted,
    Failed(String),
    Exit(u8),
    /// The client has gone.
    Gone,
}

/// How a running turn is reached from outside.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) turn: String,
    pub(super) interrupt: CancellationToken,
    pub(super) deaf: Arc<AtomicBool>,
}

/// Where a turn runs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) thread: String,
    pub(super) folder: PathBuf,
}

/// A turn while it runs.
pub(super) struct Turn {
    pub(super) thread: String,
    pub(super) control: Control,
    pub(super) prompts: Vec<String>,
    pub(super) out: mpsc::Sender<Bytes>,
    asks: Asks,
    notes: Notebook,
    folder: PathBuf,
    /// When its request was read, as a stamp.
    heard: String,
    items: u32,
    last: Vec<Value>,
}

impl Turn {
    pub(super) fn new(
        place: Place,
        control: Control,
        prompts: Vec<String>,
        out: mpsc::Sender<Bytes>,
        asks: Asks,
        notes: Notebook,
    ) -> Self {
        Self {
            thread: place.thread,
            folder: place.folder,
            notes,
            control,
            prompts,
            out,
            asks,
            heard: clock::stamp(),
            items: 0,
            last: Vec::new(),
        }
    }

    /// Runs the turn to its end. Gives the exit code if the prompt ends the process.
    pub(super) async fn run(mut self, directives: Vec<Directive>) -> Option<u8> {
        let interrupt = self.control.interrupt.clone();
        let stop = tokio::select! {
            done = self.perform(directives) => done.err(),
            () = interrupt.cancelled() => Some(Stop::Interrupted),
        };
        let (status, error) = match stop {
            None => ("completed", None),
            Some(Stop::Interrupted) => ("interrupted", None),
            Some(Stop::Failed(message)) => ("failed", Some(message)),
            Some(Stop::Exit(code)) => return Some(code),
            Some(Stop::Gone) => return None,
        };
        // If the client has gone, nobody needs the end.
        let _ = self.conclude(status, error.as_deref()).await;
        None
    }

    async fn perform(&mut self, directives: Vec<Directive>) -> Result<(), Stop> {
        let status = json!({"type": "active", "activeFlags": []});
        self.notify(
            "thread/status/changed",
            json!({"threadId": self.thread, "status": status}),
        )
        .await?;
        let turn = shapes::turn(&self.control.turn, "inProgress", None, &[]);
        self.notify(
            "turn/started",
            json!({"threadId": self.thread, "turn": turn}),
        )
        .await?;
        let id = self.item_id("user");
        let prompt = self.prompts.last().cloned().unwrap_or_default();
        let item = shapes::user_message(&id, &prompt);
        self.item("item/started", item.clone()).await?;
        self.item("item/completed", item).await?;
        for directive in directives {
            self.perform_one(directive).await?;
        }
        let usage = json!({"threadId": self.thread, "turnId": self.control.turn, "tokenUsage": shapes::usage()});
        self.notify("thread/tokenUsage/updated", usage).await
    }

    /// Asks the client, waits for the answer for as long as it takes, and says it.
    async fn ask(&mut self, method: &str, params: &str) -> Result<(), Stop> {
        let mut params: Value = serde_json::from_str(params).unwrap_or_else(|_| json!({}));
        params["threadId"] = json!(self.thread);
        params["turnId"] = json!(self.control.turn);
        params["itemId"] = json!(self.item_id("asked"));
        let (id, answer) = self.asks.open();
        let request = json!({"method": method, "id": id, "params": params});
        self.write(format!("{request}\n").into()).await?;
        let answer = answer.await.map_err(|_| Stop::Gone)?;
        self.message([answer.to_string()], Duration::ZERO).await
    }

    async fn conclude(&mut self, status: &str, error: Option<&str>) -> Result<(), Stop> {
        if let Some(message) = error {
            let error =
                json!({"message": message, "codexErrorInfo": "other", "additionalDetails": null});
            let ids = (self.thread.clone(), self.control.turn.clone());
            let fields =
                json!({"error": error, "willRetry": false, "threadId": ids.0, "turnId": ids.1});
            self.notify("error", fields).await?;
        }
        let idle = json!({"threadId": self.thread, "status": {"type": "idle"}});
        self.notify("thread/status/changed", idle).await?;
        let turn = shapes::turn(&self.control.turn, status, error, &self.last);
        self.notify(
            "turn/completed",
            json!({"threadId": self.thread, "turn": turn}),
        )
        .await
    }

    async fn perform_one(&mut self, directive: Directive) -> Result<(), Stop> {
        match directive {
            Directive::Say(text) => self.say(&text).await,
            Directive::Slow { pause, text } => self.message(words(&text), pause).await,
            Directive::Backwards(text) => self.message(backwards(&text), Duration::ZERO).await,
            Directive::History => self.say(&self.prompts.join(" | ")).await,
            Directive::Heard => self.say(&self.heard.clone()).await,
            Directive::Deltas { count, rate, size } => self.deltas(count, rate, size).await,
            Directive::Reason(text) => self.reason(&text).await,
            Directive::Tool(command) => self.tool(&command).await,
            Directive::Run(command) => self.run_command(&command).await,
            Directive::Ask { method, params } => self.ask(&method, &params).await,
            Directive::Replay(name) => self.replay(&name).await,
            Directive::Big { bytes } => {
                self.message([format!("{} ", "x".repeat(bytes))], Duration::ZERO)
                    .await
            }
            Directive::Garbage => self.garbage().await,
            Directive::HalfLine => {
                self.write(Bytes::from_static(b"{\"method\":\"item/agentMessage/del"))
                    .await?;
                Err(Stop::Exit(1))
            }
            Directive::Exit(code) => Err(Stop::Exit(code)),
            Directive::Break(text) => self.break_off(&text).await,
            Directive::Fail(message) => Err(Stop::Failed(message)),
            Directive::Wait(length) => {
                tokio::time::sleep(length).await;
                Ok(())
            }
            Directive::Hang => std::future::pending().await,
            Directive::IgnoreInterrupt => {
                self.control.deaf.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.message(words(text), Duration::ZERO).await
    }

    async fn break_off(&mut self, text: &str) -> Result<(), Stop> {
        let again = match self.prompts.split_last() {
            Some((prompt, earlier)) => earlier.contains(prompt),
            None => false,
        };
        if again {
            return self.say(text).await;
        }
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let id = self.item_id("msg");
        self.item("item/started", shapes::agent_message(&id, ""))
            .await?;
        let delta = words[..words.len() / 2].concat();
        self.note(Noted::Text {
            delta: delta.clone(),
        });
        let fields = json!({"threadId": self.thread, "turnId": self.control.turn, "itemId": id, "delta": delta});
        self.notify("item/agentMessage/delta", fields).await?;
        Err(Stop::Exit(1))
    }

    async fn deltas(&mut self, count: u32, rate: f64, size: usize) -> Result<(), Stop> {
        let pause = if rate > 0.0 {
            Duration::from_secs_f64(1.0 / rate)
        } else {
            Duration::ZERO
        };
        // Made one by one while they are sent: the time stamp is the time of writing.
        let deltas = (0..count).map(move |_| {
            format!(
                "{:.<width$} ",
                clock::stamp(),
                width = size.saturating_sub(1)
            )
        });
        self.message(deltas, pause).await
    }

    async fn message(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        pause: Duration,
    ) -> Result<(), Stop> {
        let id = self.item_id("msg");
        self.item("item/started", shapes::agent_message(&id, ""))
            .await?;
        let mut text = String::new();
        let mut due = tokio::time::Instant::now();
        for delta in deltas {
            text.push_str(&delta);
            self.note(Noted::Text {
                delta: delta.clone(),
            });
            let fields = json!({"threadId": self.thread, "turnId": self.control.turn, "itemId": id, "delta": delta});
            self.notify("item/agentMessage/delta", fields).await?;
            due += pause;
            tokio::time::sleep_until(due).await;
        }
        self.note(Noted::Complete);
        let item = shapes::agent_message(&id, &text);
        self.last = vec![item.clone()];
        self.item("item/completed", item).await
    }

    async fn reason(&mut self, text: &str) -> Result<(), Stop> {
        let id = self.item_id("rs");
        self.item("item/started", shapes::reasoning(&id, &[]))
            .await?;
        for delta in text.split_inclusive(' ') {
            let fields = json!({
                "threadId": self.thread, "turnId": self.control.turn, "itemId": id, "delta": delta, "summaryIndex": 0,
            });
            self.notify("item/reasoning/summaryTextDelta", fields)
                .await?;
        }
        self.item("item/completed", shapes::reasoning(&id, &[text]))
            .await
    }

    /// A command that `sh` runs, shown before it begins and when it is over.
    async fn run_command(&mut self, command: &str) -> Result<(), Stop> {
        let id = self.item_id("call");
        self.note(Noted::Tool {
            command: command.to_owned(),
        });
        self.item("item/started", shapes::command(&id, command, None))
            .await?;
        let output = match errand::run(command, &self.folder, ("CODEX_TOOL_CALL_ID", &id)).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        let over = shapes::command(&id, command, Some(&output));
        self.item("item/completed", over).await
    }

    fn note(&self, said: Noted) {
        self.notes.write(&self.control.turn, said);
    }

    async fn tool(&mut self, command: &str) -> Result<(), Stop> {
        let id = self.item_id("call");
        self.note(Noted::Tool {
            command: command.to_owned(),
        });
        self.item("item/started", shapes::command(&id, command, None))
            .await?;
        let output = format!("{command}\n");
        let fields = json!({"threadId": self.thread, "turnId": self.control.turn, "itemId": id, "delta": output});
        self.notify("item/commandExecution/outputDelta", fields)
            .await?;
        self.item(
            "item/completed",
            shapes::command(&id, command, Some(&output)),
        )
        .await
    }

    async fn garbage(&mut self) -> Result<(), Stop> {
        self.write(Bytes::from_static(
            b"this is not JSON\n{\"half\":\n\n\xff\xfe\x00\n[1,2]\n\"text\"\n",
        ))
        .await?;
        self.notify(
            "no/such/notification",
            json!({"threadId": self.thread, "strange": true}),
        )
        .await
    }

    /// The notifications between a recorded turn's start and its end, with this thread's and this turn's ids.
    async fn replay(&mut self, name: &str) -> Result<(), Stop> {
        let recorded = transcript::load(name).map_err(|error| Stop::Failed(error.to_string()))?;
        let started = |line: &Line| matches!(line, Line::Received(message) if message.method() == Some("turn/started"));
        let lines = recorded
            .lines
            .iter()
            .skip_while(|line| !started(line))
            .skip(1);
        for line in lines {
            let Line::Received(message) = line else {
                continue;
            };
            if message.method() == Some("turn/completed") {
                break;
            }
            if let Some(message) = self.adopt(message) {
                self.write(format!("{}\n", message.0).into()).await?;
            }
        }
        Ok(())
    }

    fn adopt(&self, message: &Message) -> Option<Message> {
        message.method().filter(|_| message.id().is_none())?;
        let mut message = message.clone();
        let fields = message.0.get_mut("params")?.as_object_mut()?;
        for (field, value) in [("threadId", &self.thread), ("turnId", &self.control.turn)] {
            if let Some(known) = fields.get_mut(field) {
                *known = json!(value);
            }
        }
        Some(message)
    }

    fn item_id(&mut self, kind: &str) -> String {
        self.items += 1;
        format!("{kind}_fake_{}_{}", self.control.turn, self.items)
    }

    async fn item(&mut self, method: &str, mut item: Value) -> Result<(), Stop> {
        let now = clock::now_micros() / 1000;
        let over = method == "item/completed";
        item["startedAtMs"] = json!(now);
        item["completedAtMs"] = json!(over.then_some(now));
        let at = if over { "completedAtMs" } else { "startedAtMs" };
        let fields =
            json!({"item": item, "threadId": self.thread, "turnId": self.control.turn, at: now});
        self.notify(method, fields).await
    }

    async fn notify(&self, method: &str, fields: Value) -> Result<(), Stop> {
        let now = clock::now_micros() / 1000;
        self.write(
            format!(
                "{}\n",
                json!({"method": method, "params": fields, "emittedAtMs": now})
            )
            .into(),
        )
        .await
    }

    async fn write(&self, line: Bytes) -> Result<(), Stop> {
        self.out.send(line).await.map_err(|_| Stop::Gone)
    }
}
