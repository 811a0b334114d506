//! One turn of the fake, from its beginning to its result.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    session::Prompt,
    shapes,
    voice::{Gone, Voice},
};
use crate::notes::Notebook;

/// Why a turn stopped before its directives were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Interrupted,
    /// The model's provider refused: status and kind of the error, and what is said of it.
    Failed {
        status: Option<u16>,
        error: String,
        text: String,
    },
    /// A limit ended it: the result's subtype and reason.
    Limit {
        subtype: String,
        reason: String,
    },
    Exit(u8),
    /// The host has gone.
    Gone,
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// How a running turn is reached from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    pub(super) interrupt: CancellationToken,
    pub(super) deaf: Arc<AtomicBool>,
}

/// What a turn leaves behind.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// The prompt ends the process, with this status.
    pub(super) exit: Option<u8>,
    /// Turns to come, each with the time until then.
    pub(super) later: Vec<(Duration, String)>,
    /// How long the process is to stay after its input has been closed.
    pub(super) linger: Duration,
}

/// A block that the model has begun.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) message: String,
    pub(super) text: String,
}

/// A turn while it runs.
pub(super) struct Turn {
    pub(super) voice: Arc<Voice>,
    pub(super) control: Control,
    pub(super) over: Over,
    pub(super) folder: String,
    pub(super) arguments: Vec<String>,
    /// The text that is being streamed.
    pub(super) open: Option<Open>,
    /// The tool that runs.
    pub(super) tool: Option<String>,
    /// Requests to the model in this turn.
    pub(super) requests: u64,
    pub(super) last_text: String,
    pub(super) notes: Notebook,
    /// Its name in the notes.
    pub(super) name: String,
    begun: Instant,
}

impl Turn {
    pub(super) fn new(
        voice: Arc<Voice>,
        control: Control,
        (folder, arguments): (String, Vec<String>),
        notes: Notebook,
    ) -> Self {
        Self {
            name: voice.uuid(),
            notes,
            voice,
            control,
            over: Over::default(),
            folder,
            arguments,
            open: None,
            tool: None,
            requests: 0,
            last_text: String::new(),
            begun: Instant::now(),
        }
    }

    /// Runs the turn to its end.
    pub(super) async fn run(mut self, prompts: Vec<Prompt>) -> Over {
        let interrupt = self.control.interrupt.clone();
        let named: Vec<String> = prompts
            .iter()
            .filter_map(|prompt| prompt.uuid.clone())
            .collect();
        let stop = tokio::select! {
            biased;
            () = interrupt.cancelled() => Some(Stop::Interrupted),
            done = self.all(prompts) => done.err(),
        };
        if let Some(Stop::Exit(status)) = stop {
            self.over.exit = Some(status);
        } else if stop != Some(Stop::Gone) {
            // If the host has gone, nobody needs the end.
            let _ = self.conclude(stop, &named).await;
        }
        self.over
    }

    async fn all(&mut self, prompts: Vec<Prompt>) -> Result<(), Stop> {
        for prompt in &prompts {
            if let Some(uuid) = &prompt.uuid {
                self.lifecycle(uuid, "started").await?;
            }
        }
        if prompts.iter().all(|prompt| prompt.unasked) {
            let news = json!({
                "type": "system", "subtype": "task_notification", "task_id": self.voice.id("task"),
                "status": "completed", "summary": "a scripted task ended",
            });
            self.voice.say(news).await?;
        }
        let begin = {
            let state = self.voice.state();
            shapes::begin(&state.model, &state.mode, &self.folder)
        };
        self.voice.say(begin).await?;
        for directive in prompts.into_iter().flat_map(|prompt| prompt.directives) {
            self.perform(directive).await?;
        }
        Ok(())
    }

    async fn lifecycle(&self, uuid: &str, state: &str) -> Result<(), Gone> {
        let line = json!({"type": "command_lifecycle", "command_uuid": uuid, "state": state});
        self.voice.say(line).await
    }

    /// Says how the turn ended, with a result last.
    async fn conclude(&mut self, stop: Option<Stop>, named: &[String]) -> Result<(), Gone> {
        let result = match stop {
            None => json!({
                "subtype": "success", "is_error": false, "terminal_reason": "completed", "stop_reason": "end_turn",
                "result": self.last_text, "api_error_status": null,
            }),
            Some(Stop::Failed {
                status,
                error,
                text,
            }) => self.failed(status, &error, &text).await?,
            Some(Stop::Limit { subtype, reason }) => json!({
                "subtype": subtype, "is_error": true, "terminal_reason": reason, "stop_reason": "tool_use",
                "errors": [format!("Reached a limit: {reason}")],
            }),
            Some(Stop::Interrupted | Stop::Exit(_) | Stop::Gone) => self.interrupted().await?,
        };
        self.result(result).await?;
        for uuid in named {
            self.lifecycle(uuid, "completed").await?;
        }
        Ok(())
    }

    async fn failed(
        &mut self,
        status: Option<u16>,
        error: &str,
        text: &str,
    ) -> Result<Value, Gone> {
        let block = json!({"type": "text", "text": text});
        let mut line = shapes::assistant(&self.voice.id("msg"), "<synthetic>", &block, None);
        line["error"] = json!(error);
        line["is_api_error_message"] = json!(true);
        self.voice.say(line).await?;
        Ok(json!({
            "subtype": "success", "is_error": true, "terminal_reason": "api_error", "stop_reason": "stop_sequence",
            "result": text, "api_error_status": status,
        }))
    }

    async fn interrupted(&mut self) -> Result<Value, Gone> {
        let reason = if let Some(call) = self.tool.take() {
            let refused = "The user doesn't want to proceed with this tool use.";
            let line = shapes::tool_result(&call, refused, true, None);
            self.voice.say(line).await?;
            let note = "[Request interrupted by user for tool use]";
            self.voice.say(shapes::user_text(note, None)).await?;
            "aborted_tools"
        } else {
            if let Some(open) = self.open.take() {
                let model = self.voice.state().model.clone();
                let block = json!({"type": "text", "text": open.text});
                let mut line = shapes::assistant(&open.message, &model, &block, None);
                line["aborted"] = json!(true);
                self.voice.say(line).await?;
            }
            let note = "[Request interrupted by user]";
            self.voice.say(shapes::user_text(note, None)).await?;
            "aborted_streaming"
        };
        Ok(json!({
            "subtype": "error_during_execution", "is_error": true, "terminal_reason": reason, "stop_reason": null,
            "errors": ["[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=null"],
        }))
    }

    async fn result(&mut self, mut line: Value) -> Result<(), Gone> {
        {
            let mut state = self.voice.state();
            line["total_cost_usd"] = json!(shapes::cost(state.requests));
            line["modelUsage"] = shapes::model_usage(&state.model, state.requests);
            line["result_index"] = json!(state.results);
            state.results += 1;
            state.failed = line["is_error"] == true;
        }
        line["type"] = json!("result");
        line["usage"] = shapes::usage(self.requests);
        line["num_turns"] = json!(self.requests);
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        line["duration_ms"] = json!(millis);
        line["duration_api_ms"] = json!(millis);
        line["permission_denials"] = json!([]);
        line["queued_turn_count"] = json!(0);
        self.voice.say(line).await
    }
}
