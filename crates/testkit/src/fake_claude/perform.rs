//! The directives of a prompt, done one by one.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    directive::Directive,
    shapes,
    turn::{Stop, Turn},
};
use crate::{
    cli::ClaudeVersion,
    clock,
    fake_codex::{
        directive::{backwards, words},
        errand,
    },
    roles, transcript,
};

impl Turn {
    pub(super) async fn perform(&mut self, directive: Directive) -> Result<(), Stop> {
        match directive {
            Directive::Say(text) => self.say(&text).await,
            Directive::Slow { pause, text } => self.message(words(&text), pause).await,
            Directive::Backwards(text) => self.message(backwards(&text), Duration::ZERO).await,
            Directive::History => {
                let prompts = self.voice.state().prompts.join(" | ");
                self.say(&prompts).await
            }
            Directive::Seen => self.seen().await,
            Directive::Env(name) => {
                let value = roles::variable(&name).unwrap_or_default();
                self.say(&value.to_string_lossy()).await
            }
            Directive::Deltas { count, rate, size } => self.deltas(count, rate, size).await,
            Directive::Reason(text) => self.reason(&text).await,
            Directive::Whole(text) => self.whole(&text).await,
            Directive::Wholes { count, size } => {
                for _ in 0..count {
                    self.whole(&stamped(size)).await?;
                }
                Ok(())
            }
            Directive::Born => self.say(&roles::born()).await,
            Directive::Void(text) => self.void(&text).await,
            Directive::Retry { status, error } => self.retry(status, &error).await,
            Directive::Tool(command) => self.tool(&command).await,
            Directive::Run(command) => self.run_command(&command).await,
            Directive::Permit(command) => self.permit(&command).await,
            Directive::Ask { question, answers } => self.ask(&question, &answers).await,
            Directive::Hook(event) => self.hook(&event).await,
            Directive::Subagent(text) => self.subagent(&text).await,
            Directive::Replay(name) => self.replay(&name).await,
            Directive::Big { bytes } => {
                let text = format!("{} ", "x".repeat(bytes));
                self.message([text], Duration::ZERO).await
            }
            Directive::Garbage => self.garbage().await,
            Directive::Stderr(text) => Ok(self.voice.stderr(&text).await?),
            Directive::HalfLine => {
                let half = b"{\"type\":\"stream_event\",\"event\":{\"type\":\"content_bl";
                self.voice.raw(Bytes::from_static(half)).await?;
                Err(Stop::Exit(1))
            }
            Directive::Exit(status) => Err(Stop::Exit(status)),
            Directive::Fail {
                status,
                error,
                text,
            } => Err(Stop::Failed {
                status,
                error,
                text,
            }),
            Directive::End { subtype, reason } => Err(Stop::Limit { subtype, reason }),
            Directive::Wait(length) => {
                tokio::time::sleep(length).await;
                Ok(())
            }
            Directive::Hang => std::future::pending().await,
            Directive::IgnoreInterrupt => {
                self.control.deaf.store(true, Ordering::Release);
                Ok(())
            }
            Directive::Later { after, line } => {
                self.over.later.push((after, line));
                Ok(())
            }
            Directive::Linger(length) => {
                self.over.linger = length;
                Ok(())
            }
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.message(words(text), Duration::ZERO).await
    }

    async fn deltas(&mut self, count: u32, rate: f64, size: usize) -> Result<(), Stop> {
        let pause = if rate > 0.0 {
            Duration::from_secs_f64(1.0 / rate)
        } else {
            Duration::ZERO
        };
        // Made one by one while they are sent: the time stamp is the time of writing.
        let deltas = (0..count).map(move |_| stamped(size));
        self.message(deltas, pause).await
    }

    async fn void(&mut self, text: &str) -> Result<(), Stop> {
        self.stream(words(text), Duration::ZERO).await?;
        self.open = None;
        self.event(json!({"type": "content_block_stop", "index": 0}))
            .await?;
        self.event(json!({"type": "message_stop"})).await
    }

    async fn whole(&mut self, text: &str) -> Result<(), Stop> {
        self.requests += 1;
        self.voice.state().requests += 1;
        let block = json!({"type": "text", "text": text});
        let line = shapes::assistant(&self.voice.id("msg"), &self.model(), &block, None);
        self.voice.say(line).await?;
        text.clone_into(&mut self.last_text);
        Ok(())
    }

    async fn retry(&mut self, status: Option<u16>, error: &str) -> Result<(), Stop> {
        let line = json!({
            "type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 3, "retry_delay_ms": 500,
            "error_status": status, "error": error,
        });
        Ok(self.voice.say(line).await?)
    }

    async fn reason(&mut self, text: &str) -> Result<(), Stop> {
        let message = self.request().await?;
        self.start(json!({"type": "thinking", "thinking": "", "signature": ""}))
            .await?;
        for delta in text.split_inclusive(' ') {
            let tokens = json!({
                "type": "system", "subtype": "thinking_tokens", "estimated_tokens": 1, "estimated_tokens_delta": 1,
            });
            self.voice.say(tokens).await?;
            self.delta(json!({"type": "thinking_delta", "thinking": delta}))
                .await?;
        }
        let block = json!({"type": "thinking", "thinking": text, "signature": "ZmFrZQ=="});
        self.block(&message, &block).await?;
        self.finish("end_turn").await
    }

    async fn tool(&mut self, command: &str) -> Result<(), Stop> {
        let call = self.call("Bash", &bash(command)).await?;
        self.called(&call, command, false).await
    }

    /// A command that `sh` runs, shown before it begins and when it is over.
    async fn run_command(&mut self, command: &str) -> Result<(), Stop> {
        let call = self.call("Bash", &bash(command)).await?;
        let mark = ("CLAUDE_CODE_CHILD_SESSION", "1");
        match errand::run(command, Path::new(&self.folder), mark).await {
            Ok(()) => self.called(&call, "", false).await,
            Err(error) => self.called(&call, &error.to_string(), true).await,
        }
    }

    /// Asks the host whether a tool may run. Gives the input that it allows, or why not.
    async fn allowed(
        &mut self,
        (call, name): (&str, &str),
        input: &Value,
    ) -> Result<Result<Value, String>, Stop> {
        let request = json!({
            "subtype": "can_use_tool", "tool_name": name, "display_name": name, "input": input, "tool_use_id": call,
            "permission_suggestions": [],
        });
        let answer = match self.voice.ask(request).await? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        if answer["behavior"] == "allow" {
            return Ok(Ok(answer["updatedInput"].clone()));
        }
        if answer["interrupt"] == true {
            return Err(Stop::Interrupted);
        }
        let message = answer["message"].as_str().unwrap_or("denied");
        Ok(Err(message.to_owned()))
    }

    async fn permit(&mut self, command: &str) -> Result<(), Stop> {
        let call = self.call("Bash", &bash(command)).await?;
        match self.allowed((&call, "Bash"), &bash(command)).await? {
            Ok(input) => {
                let command = input["command"].as_str().unwrap_or("(no command)");
                self.called(&call, command, false).await
            }
            Err(message) => self.called(&call, &message, true).await,
        }
    }

    async fn ask(&mut self, question: &str, answers: &[String]) -> Result<(), Stop> {
        let options: Vec<Value> = answers
            .iter()
            .map(|label| json!({"label": label, "description": label}))
            .collect();
        let asked = json!({
            "question": question, "header": "Question", "multiSelect": false, "options": options,
        });
        let input = json!({"questions": [asked]});
        let call = self.call("AskUserQuestion", &input).await?;
        let said = match self.allowed((&call, "AskUserQuestion"), &input).await? {
            Ok(input) => match input["answers"][question].as_str() {
                Some(answer) => {
                    format!("Your questions have been answered: \"{question}\"=\"{answer}\".")
                }
                None => "The questions were not answered.".to_owned(),
            },
            Err(message) => message,
        };
        self.called(&call, &said, false).await?;
        self.say(&said).await
    }

    async fn hook(&mut self, event: &str) -> Result<(), Stop> {
        let hooks = self.voice.state().initialize["hooks"][event].clone();
        let hooks = hooks.as_array().cloned().unwrap_or_default();
        let callbacks = hooks
            .iter()
            .filter_map(|hook| hook["hookCallbackIds"].as_array());
        let callbacks: Vec<Value> = callbacks.flatten().cloned().collect();
        let mut answers = Vec::new();
        for callback in callbacks {
            let input = json!({
                "session_id": self.voice.session, "cwd": self.folder, "hook_event_name": event, "tool_name": "Bash",
                "tool_input": bash("true"),
            });
            let request =
                json!({"subtype": "hook_callback", "callback_id": callback, "input": input});
            answers.push(match self.voice.ask(request).await? {
                Ok(answer) => answer,
                Err(error) => json!({"error": error}),
            });
        }
        self.say(&json!(answers).to_string()).await
    }

    async fn subagent(&mut self, text: &str) -> Result<(), Stop> {
        let prompt = "Look into it.";
        let input = json!({
            "description": "A scripted errand", "subagent_type": "general-purpose", "prompt": prompt,
        });
        let call = self.call("Agent", &input).await?;
        let parent = Some(call.as_str());
        let task = self.voice.id("task");
        let begun = json!({
            "type": "system", "subtype": "task_started", "task_id": task, "tool_use_id": call, "task_type": "local_agent",
            "description": "A scripted errand", "is_backgrounded": false, "prompt": prompt,
        });
        self.voice.say(begun).await?;
        self.voice.say(shapes::user_text(prompt, parent)).await?;
        let inner = self.voice.id("toolu");
        let block =
            json!({"type": "tool_use", "id": inner, "name": "Bash", "input": bash("echo inner")});
        let (message, model) = (self.voice.id("msg"), self.model());
        let using = shapes::assistant(&message, &model, &block, parent);
        self.voice.say(using).await?;
        let used = shapes::tool_result(&inner, "inner", false, parent);
        self.voice.say(used).await?;
        let over = json!({
            "type": "system", "subtype": "task_notification", "task_id": task, "tool_use_id": call,
            "status": "completed", "summary": text,
        });
        self.voice.say(over).await?;
        self.called(&call, text, false).await
    }

    async fn seen(&mut self) -> Result<(), Stop> {
        let seen = {
            let state = self.voice.state();
            json!({
                "arguments": self.arguments, "initialize": state.initialize, "model": state.model, "mode": state.mode,
            })
        };
        self.message([seen.to_string()], Duration::ZERO).await
    }

    async fn garbage(&mut self) -> Result<(), Stop> {
        let lines = b"this is not JSON\n{\"half\":\n\n\xff\xfe\x00\n[1,2]\n\"text\"\n{}\n";
        self.voice.raw(Bytes::from_static(lines)).await?;
        for line in [
            json!({"type": "no_such_type", "strange": true}),
            json!({"type": "system", "subtype": "no_such_subtype"}),
            json!({"type": "stream_event", "event": {"type": "no_such_event"}, "parent_tool_use_id": null}),
        ] {
            self.voice.say(line).await?;
        }
        Ok(())
    }

    /// The lines of a recorded turn between its beginning and its result, with this session's id.
    async fn replay(&mut self, name: &str) -> Result<(), Stop> {
        let recorded = transcript::load_claude(ClaudeVersion::V2_1_329, name);
        let recorded = recorded.map_err(|error| Stop::Failed {
            status: None,
            error: "unknown".to_owned(),
            text: error.to_string(),
        })?;
        let lines = recorded
            .received()
            .skip_while(|message| message.kind() != "system/init")
            .skip(1);
        for message in lines {
            let kind = message.kind();
            if kind.starts_with("result/") {
                break;
            }
            if kind.starts_with("control_") {
                continue;
            }
            if kind == "assistant"
                && let Some(text) = message.0["message"]["content"][0]["text"].as_str()
            {
                text.clone_into(&mut self.last_text);
            }
            self.voice.say(message.0.clone()).await?;
        }
        Ok(())
    }
}

/// The time of writing, filled up to so many bytes.
fn stamped(size: usize) -> String {
    format!(
        "{:.<width$} ",
        clock::stamp(),
        width = size.saturating_sub(1)
    )
}

fn bash(command: &str) -> Value {
    json!({"command": command, "description": "Run a scripted command"})
}
