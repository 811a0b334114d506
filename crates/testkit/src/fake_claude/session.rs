//! The conversation with the host: its lines in, answers out, turns one after the other.

use std::{collections::VecDeque, io, sync::Arc, sync::atomic::Ordering, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    FakeClaude,
    arguments::Arguments,
    directive::{self, Directive},
    shapes,
    store::Store,
    turn::{Control, Over, Turn},
    voice::{Gone, Out, State, Voice},
};

/// Lines that may wait for the host; then the turns wait.
const AHEAD: usize = 16;

/// Without `--model`.
const MODEL: &str = "claude-fake-1";

pub(super) async fn serve<R, W, E>(
    fake: FakeClaude,
    stdin: R,
    stdout: W,
    stderr: E,
) -> io::Result<u8>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
    E: AsyncWrite + Unpin + Send + 'static,
{
    let (out, lines) = mpsc::channel(AHEAD);
    let mut writing = JoinSet::new();
    writing.spawn(write_out(stdout, stderr, lines));
    let end = converse(fake, BufReader::new(stdin), out).await;
    // The last senders are gone; what was written goes out.
    writing.join_next().await;
    end
}

async fn write_out<W, E>(mut stdout: W, mut stderr: E, mut lines: mpsc::Receiver<Out>)
where
    W: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    while let Some(line) = lines.recv().await {
        let written = match line {
            Out::Stdout(line) => match stdout.write_all(&line).await {
                Ok(()) => stdout.flush().await,
                failed => failed,
            },
            Out::Stderr(line) => match stderr.write_all(line.as_bytes()).await {
                Ok(()) => stderr.flush().await,
                failed => failed,
            },
        };
        // A host that has gone is noticed by the reader.
        if written.is_err() {
            return;
        }
    }
}

async fn converse<R: AsyncRead + Unpin>(
    fake: FakeClaude,
    stdin: BufReader<R>,
    out: mpsc::Sender<Out>,
) -> io::Result<u8> {
    let arguments = Arguments::read(&fake.arguments);
    let store = Store::new(fake.config.as_deref(), &fake.folder);
    let prompts = arguments
        .resume
        .as_deref()
        .and_then(|session| store.load(session));
    let state = State {
        model: arguments.model.clone().unwrap_or_else(|| MODEL.to_owned()),
        mode: arguments
            .mode
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        prompts: prompts.clone().unwrap_or_default(),
        ..State::default()
    };
    let id = arguments
        .resume
        .clone()
        .or_else(|| arguments.session.clone());
    let voice = Arc::new(Voice::new(id, arguments.partial, out, state));
    match (&arguments.resume, &arguments.session) {
        (Some(session), _) if prompts.is_none() => {
            let complaint = format!("No conversation found with session ID: {session}");
            // Whether the host hears it or not, it's the end.
            let _ = not_found(&voice, &complaint).await;
            return Ok(1);
        }
        (None, Some(session)) if store.file(session).is_some_and(|file| file.exists()) => {
            let complaint = format!("Error: Session ID {session} is already in use.");
            let _ = voice.stderr(&complaint).await;
            return Ok(1);
        }
        _ => {}
    }
    let mut session = Session {
        fake,
        store,
        voice,
        queued: VecDeque::new(),
        running: None,
        turns: JoinSet::new(),
        later: JoinSet::new(),
        linger: Duration::ZERO,
    };
    session.talk(stdin).await
}

async fn not_found(voice: &Voice, complaint: &str) -> Result<(), Gone> {
    voice.stderr(complaint).await?;
    let result = json!({
        "type": "result", "subtype": "error_during_execution", "is_error": true, "num_turns": 0, "duration_ms": 0,
        "duration_api_ms": 0, "stop_reason": null, "total_cost_usd": 0, "usage": shapes::usage(0), "modelUsage": {},
        "permission_denials": [], "errors": [complaint],
    });
    voice.say(result).await
}

/// A line of the host.
#[derive(Deserialize)]
struct Incoming {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    request: Option<Value>,
    #[serde(default)]
    response: Option<Value>,
}

/// Something to be done in the next turn.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) text: String,
    /// The host's name for it, if it gave one.
    pub(super) uuid: Option<String>,
    pub(super) directives: Vec<Directive>,
    /// Nobody asked for it.
    pub(super) unasked: bool,
}

/// Why the process ends in mid-conversation: status and words.
struct Fatal(u8, String);

struct Session {
    fake: FakeClaude,
    store: Store,
    voice: Arc<Voice>,
    queued: VecDeque<Prompt>,
    running: Option<Control>,
    turns: JoinSet<Over>,
    /// Turns to come that nobody asked for.
    later: JoinSet<Prompt>,
    linger: Duration,
}

impl Session {
    async fn talk<R: AsyncRead + Unpin>(&mut self, mut stdin: BufReader<R>) -> io::Result<u8> {
        let mut line = Vec::new();
        let mut open = true;
        while open || self.running.is_some() {
            tokio::select! {
                read = stdin.read_until(b'\n', &mut line), if open => {
                    open = read? > 0;
                    let message = std::mem::take(&mut line);
                    match self.hear(&message).await {
                        Ok(Ok(())) => {}
                        Ok(Err(Fatal(status, words))) => {
                            let _ = self.voice.stderr(&words).await;
                            return Ok(status);
                        }
                        Err(Gone) => return Ok(0),
                    }
                }
                Some(over) = self.turns.join_next() => {
                    self.running = None;
                    let Ok(over) = over else { continue };
                    if let Some(status) = over.exit {
                        return Ok(status);
                    }
                    self.linger = self.linger.max(over.linger);
                    for (after, line) in over.later {
                        self.later.spawn(unasked(after, line));
                    }
                }
                Some(Ok(prompt)) = self.later.join_next() => self.queued.push_back(prompt),
            }
            if self.running.is_none() && !self.queued.is_empty() {
                self.begin();
            }
        }
        tokio::time::sleep(self.linger).await;
        Ok(u8::from(self.voice.state().failed))
    }

    /// Takes a line as the real CLI does; what that can't bear ends the process.
    async fn hear(&mut self, line: &[u8]) -> Result<Result<(), Fatal>, Gone> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Ok(()));
        }
        let message = match serde_json::from_slice::<Value>(line) {
            Ok(message @ Value::Object(_)) => message,
            Ok(_) => return Ok(Ok(())),
            Err(_) => {
                let words = format!(
                    "Error parsing streaming input line (type=unknown, {} chars): SyntaxError",
                    line.len().saturating_sub(1)
                );
                return Ok(Err(Fatal(1, words)));
            }
        };
        let Ok(message) = serde_json::from_value::<Incoming>(message) else {
            return Ok(Ok(()));
        };
        match message.kind.as_str() {
            "user" => return self.prompted(message).await,
            "control_request" => {
                let (Some(request), Some(id)) = (message.request, message.request_id) else {
                    let words = "Error: Missing request on control_request".to_owned();
                    return Ok(Err(Fatal(1, words)));
                };
                self.requested(&id, request).await?;
            }
            "control_response" => {
                if let Some(response) = message.response {
                    self.voice.answered(response);
                }
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    async fn prompted(&mut self, message: Incoming) -> Result<Result<(), Fatal>, Gone> {
        let inner = message.message.unwrap_or_default();
        let role = inner["role"].as_str().unwrap_or("undefined");
        if role != "user" {
            let words = format!("Error: Expected message role 'user', got '{role}'");
            return Ok(Err(Fatal(1, words)));
        }
        let text = text_of(&inner["content"]);
        if let Some(uuid) = &message.uuid {
            self.lifecycle(uuid, "queued").await?;
        }
        self.queued.push_back(Prompt {
            directives: directive::parse(&text),
            text,
            uuid: message.uuid,
            unasked: false,
        });
        Ok(Ok(()))
    }

    async fn lifecycle(&self, uuid: &str, state: &str) -> Result<(), Gone> {
        let line = json!({"type": "command_lifecycle", "command_uuid": uuid, "state": state});
        self.voice.say(line).await
    }

    /// Everything that waits becomes one turn.
    fn begin(&mut self) {
        let prompts: Vec<Prompt> = self.queued.drain(..).collect();
        for prompt in prompts.iter().filter(|prompt| !prompt.unasked) {
            self.voice.state().prompts.push(prompt.text.clone());
            if let Err(error) = self.store.append(&self.voice.session, &prompt.text) {
                tracing::warn!(%error, "fake claude can't write its session");
            }
        }
        let control = Control::default();
        self.running = Some(control.clone());
        let folder = self.fake.folder.display().to_string();
        let arguments = self.fake.arguments.clone();
        let notes = self.fake.notes.clone();
        let turn = Turn::new(Arc::clone(&self.voice), control, (folder, arguments), notes);
        self.turns.spawn(turn.run(prompts));
    }

    async fn requested(&mut self, id: &str, request: Value) -> Result<(), Gone> {
        let subtype = request["subtype"].as_str().unwrap_or_default().to_owned();
        if subtype == "interrupt" {
            return self.interrupt(id).await;
        }
        let mut told = None;
        let answer = match subtype.as_str() {
            "initialize" => {
                let mut state = self.voice.state();
                let answer = shapes::initialized(&state.mode);
                state.initialize = request;
                Some(answer)
            }
            "set_model" => {
                let model = request["model"].as_str().unwrap_or(MODEL).to_owned();
                self.voice.state().model.clone_from(&model);
                Some(json!({"model": model}))
            }
            "set_permission_mode" => {
                let mode = request["mode"].as_str().unwrap_or("default").to_owned();
                self.voice.state().mode.clone_from(&mode);
                told = Some(json!({
                    "type": "system", "subtype": "status", "status": null, "permissionMode": mode,
                }));
                Some(json!({"mode": mode}))
            }
            "mcp_status" => Some(json!({"mcpServers": []})),
            "set_max_thinking_tokens" | "apply_flag_settings" => Some(json!({})),
            "get_binary_version" => Some(json!({"version": "2.1.329"})),
            _ => None,
        };
        let response = match answer {
            Some(answer) => json!({"subtype": "success", "request_id": id, "response": answer}),
            None => json!({
                "subtype": "error", "request_id": id, "error_code": "unsupported_request",
                "error": format!("Unsupported control request subtype: {subtype}"),
            }),
        };
        self.answer(&response).await?;
        match told {
            Some(line) => self.voice.say(line).await,
            None => Ok(()),
        }
    }

    /// The answer comes before the turn's end.
    async fn interrupt(&mut self, id: &str) -> Result<(), Gone> {
        let heard = match &self.running {
            Some(control) if !control.deaf.load(Ordering::Acquire) => Some(control.clone()),
            _ => None,
        };
        let withdrawn = match heard {
            Some(_) => Some(self.voice.withdraw().await?),
            None => None,
        };
        let receipt = json!({"still_queued": []});
        self.answer(&json!({"subtype": "success", "request_id": id, "response": receipt}))
            .await?;
        if let Some(control) = heard {
            control.interrupt.cancel();
        }
        drop(withdrawn);
        Ok(())
    }

    async fn answer(&self, response: &Value) -> Result<(), Gone> {
        let line = json!({"type": "control_response", "response": response});
        self.voice.write(&line).await
    }
}

/// A turn that nobody asked for, when its time has come.
async fn unasked(after: Duration, line: String) -> Prompt {
    tokio::time::sleep(after).await;
    Prompt {
        directives: vec![directive::one(&line)],
        text: line,
        uuid: None,
        unasked: true,
    }
}

/// A prompt is a text, or blocks of which the texts count.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
