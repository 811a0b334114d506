//! What a turn says: requests to the model, their streams, and the finished blocks.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    shapes,
    turn::{Open, Stop, Turn},
};
use crate::notes::Noted;

impl Turn {
    pub(super) fn model(&self) -> String {
        self.voice.state().model.clone()
    }

    /// Begins a request to the model and gives the id of its message.
    pub(super) async fn request(&mut self) -> Result<String, Stop> {
        self.requests += 1;
        self.voice.state().requests += 1;
        let status = json!({"type": "system", "subtype": "status", "status": "requesting"});
        self.voice.say(status).await?;
        let id = self.voice.id("msg");
        let message = json!({
            "id": id, "type": "message", "role": "assistant", "model": self.model(), "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": shapes::usage(1),
        });
        self.event(json!({"type": "message_start", "message": message}))
            .await?;
        Ok(id)
    }

    pub(super) fn note(&self, said: Noted) {
        self.notes.write(&self.name, said);
    }

    pub(super) async fn finish(&mut self, stop: &str) -> Result<(), Stop> {
        let delta = json!({"stop_reason": stop, "stop_sequence": null});
        let usage = shapes::usage(1);
        self.event(json!({"type": "message_delta", "delta": delta, "usage": usage}))
            .await?;
        self.event(json!({"type": "message_stop"})).await
    }

    pub(super) async fn event(&self, event: Value) -> Result<(), Stop> {
        if self.voice.partial {
            let line = json!({"type": "stream_event", "event": event, "parent_tool_use_id": null});
            self.voice.say(line).await?;
        }
        Ok(())
    }

    pub(super) async fn start(&self, block: Value) -> Result<(), Stop> {
        self.event(json!({"type": "content_block_start", "index": 0, "content_block": block}))
            .await
    }

    pub(super) async fn delta(&self, delta: Value) -> Result<(), Stop> {
        self.event(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
            .await
    }

    /// The finished block comes before the end of its stream.
    pub(super) async fn block(&self, message: &str, block: &Value) -> Result<(), Stop> {
        let line = shapes::assistant(message, &self.model(), block, None);
        self.voice.say(line).await?;
        self.event(json!({"type": "content_block_stop", "index": 0}))
            .await
    }

    pub(super) async fn message(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        pause: Duration,
    ) -> Result<(), Stop> {
        let message = self.stream(deltas, pause).await?;
        self.note(Noted::Complete);
        let text = self.open.take().map(|open| open.text).unwrap_or_default();
        self.block(&message, &json!({"type": "text", "text": text}))
            .await?;
        self.last_text = text;
        self.finish("end_turn").await
    }

    /// Streams a text and leaves it open. Gives the message's id.
    pub(super) async fn stream(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        pause: Duration,
    ) -> Result<String, Stop> {
        let message = self.request().await?;
        self.start(json!({"type": "text", "text": ""})).await?;
        self.open = Some(Open {
            message: message.clone(),
            text: String::new(),
        });
        let mut due = tokio::time::Instant::now();
        for delta in deltas {
            if let Some(open) = &mut self.open {
                open.text.push_str(&delta);
            }
            self.note(Noted::Text {
                delta: delta.clone(),
            });
            self.delta(json!({"type": "text_delta", "text": delta}))
                .await?;
            due += pause;
            tokio::time::sleep_until(due).await;
        }
        Ok(message)
    }

    /// What the model says when it calls a tool. Gives the call's id.
    pub(super) async fn call(&mut self, name: &str, input: &Value) -> Result<String, Stop> {
        self.note(Noted::Tool {
            command: input.to_string(),
        });
        let message = self.request().await?;
        let call = self.voice.id("toolu");
        let block =
            |input: &Value| json!({"type": "tool_use", "id": call, "name": name, "input": input});
        self.start(block(&json!({}))).await?;
        self.delta(json!({"type": "input_json_delta", "partial_json": input.to_string()}))
            .await?;
        self.block(&message, &block(input)).await?;
        self.finish("tool_use").await?;
        self.tool = Some(call.clone());
        Ok(call)
    }

    pub(super) async fn called(
        &mut self,
        call: &str,
        output: &str,
        failed: bool,
    ) -> Result<(), Stop> {
        self.tool = None;
        let line = shapes::tool_result(call, output, failed, None);
        Ok(self.voice.say(line).await?)
    }
}
