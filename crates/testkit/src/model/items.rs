//! The output items of an answer: messages, reasoning, tool calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Said, ToolCall,
    reply::{Played, Reply, Stop},
};

impl Reply {
    fn said(&self, said: Said) {
        self.ledger
            .update(self.number, |request| request.said.push(said));
    }

    fn said_more(&self, delta: &str, done: bool) {
        self.ledger.update(self.number, |request| {
            if let Some(Said::Text { text, complete, .. }) = request.said.last_mut() {
                text.push_str(delta);
                *complete = done;
            }
        });
    }

    /// Begins a message and sends its deltas, but not its end. Gives the item's id and the text.
    pub(super) async fn begin_text(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        delay: Duration,
        phase: Option<&str>,
    ) -> Result<(Value, String), Stop> {
        let id = format!("msg_model_{:04}_{}", self.number, self.index);
        let mut item = json!({"id": id, "type": "message", "role": "assistant"});
        if let Some(phase) = phase {
            item["phase"] = json!(phase);
        }
        let mut opened = item.clone();
        opened["status"] = json!("in_progress");
        opened["content"] = json!([]);
        let phase = phase.map(str::to_owned);
        self.said(Said::Text {
            id: id.clone(),
            phase,
            text: String::new(),
            complete: false,
        });
        let index = self.index;
        self.event(
            "response.output_item.added",
            json!({"output_index": index, "item": opened}),
        )
        .await?;
        let place = json!({"item_id": id, "output_index": index, "content_index": 0});
        self.event(
            "response.content_part.added",
            with(&place, "part", output_text("")),
        )
        .await?;
        let mut text = String::new();
        for delta in deltas {
            self.event(
                "response.output_text.delta",
                with(&place, "delta", json!(delta)),
            )
            .await?;
            self.said_more(&delta, false);
            text.push_str(&delta);
            self.pause(delay).await;
        }
        Ok((item, text))
    }

    /// A whole message.
    pub(super) async fn text(
        &mut self,
        deltas: impl IntoIterator<Item = String>,
        delay: Duration,
        phase: Option<&str>,
    ) -> Played {
        let (mut item, text) = self.begin_text(deltas, delay, phase).await?;
        let place = json!({"item_id": item["id"], "output_index": self.index, "content_index": 0});
        self.event(
            "response.output_text.done",
            with(&place, "text", json!(text)),
        )
        .await?;
        self.event(
            "response.content_part.done",
            with(&place, "part", output_text(&text)),
        )
        .await?;
        item["status"] = json!("completed");
        item["content"] = json!([output_text(&text)]);
        self.said_more("", true);
        self.done(item).await
    }

    /// A message of `text`, word by word.
    pub(super) async fn say(&mut self, text: &str, phase: Option<&str>) -> Played {
        self.text(words(text), self.options.delta_delay, phase)
            .await
    }

    /// A finished output item.
    pub(super) async fn done(&mut self, item: Value) -> Played {
        self.items.push(item.clone());
        let index = self.index;
        self.index += 1;
        self.event(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
        )
        .await
    }

    /// A reasoning item with a summary of several parts.
    pub(super) async fn reasoning(&mut self, parts: &[&str]) -> Played {
        let id = format!("rs_model_{:04}_{}", self.number, self.index);
        let opened = json!({"id": id, "type": "reasoning", "summary": []});
        self.event(
            "response.output_item.added",
            json!({"output_index": self.index, "item": opened}),
        )
        .await?;
        for (number, part) in parts.iter().enumerate() {
            let place = json!({"item_id": id, "output_index": self.index, "summary_index": number});
            let empty = json!({"type": "summary_text", "text": ""});
            self.event(
                "response.reasoning_summary_part.added",
                with(&place, "part", empty),
            )
            .await?;
            for word in words(part) {
                self.event(
                    "response.reasoning_summary_text.delta",
                    with(&place, "delta", json!(word)),
                )
                .await?;
                self.pause(self.options.delta_delay).await;
            }
            self.event(
                "response.reasoning_summary_text.done",
                with(&place, "text", json!(part)),
            )
            .await?;
        }
        self.said(Said::Reasoning {
            parts: parts.iter().map(|&part| part.to_owned()).collect(),
        });
        let summary: Vec<Value> = parts
            .iter()
            .map(|part| json!({"type": "summary_text", "text": part}))
            .collect();
        self.done(json!({"id": id, "type": "reasoning", "summary": summary, "encrypted_content": "ZmFrZQ=="})).await
    }

    /// A call of a function tool.
    pub(super) async fn call(
        &mut self,
        name: &str,
        namespace: Option<String>,
        arguments: &Value,
    ) -> Played {
        let id = format!("fc_model_{:04}_{}", self.number, self.index);
        let arguments = arguments.to_string();
        let call = self.said_call(name, namespace.clone(), &arguments);
        let mut item = json!({
            "id": id, "type": "function_call", "name": name, "arguments": "", "call_id": call, "status": "in_progress",
        });
        if let Some(namespace) = namespace {
            item["namespace"] = json!(namespace);
        }
        let place = json!({"item_id": id, "output_index": self.index});
        self.event(
            "response.output_item.added",
            with(&place, "item", item.clone()),
        )
        .await?;
        for piece in pieces(&arguments) {
            self.event(
                "response.function_call_arguments.delta",
                with(&place, "delta", json!(piece)),
            )
            .await?;
        }
        self.event(
            "response.function_call_arguments.done",
            with(&place, "arguments", json!(arguments)),
        )
        .await?;
        item["arguments"] = json!(arguments);
        item["status"] = json!("completed");
        self.done(item).await
    }

    /// A call of a tool that takes free text.
    pub(super) async fn call_freeform(&mut self, name: &str, input: &str) -> Played {
        let id = format!("ctc_model_{:04}_{}", self.number, self.index);
        let call = self.said_call(name, None, input);
        let mut item = json!({
            "id": id, "type": "custom_tool_call", "name": name, "input": "", "call_id": call, "status": "in_progress",
        });
        let place = json!({"item_id": id, "call_id": call, "output_index": self.index});
        self.event(
            "response.output_item.added",
            with(&place, "item", item.clone()),
        )
        .await?;
        for piece in pieces(input) {
            self.event(
                "response.custom_tool_call_input.delta",
                with(&place, "delta", json!(piece)),
            )
            .await?;
        }
        self.event(
            "response.custom_tool_call_input.done",
            with(&place, "input", json!(input)),
        )
        .await?;
        item["input"] = json!(input);
        item["status"] = json!("completed");
        self.done(item).await
    }

    /// Notes a call and names it.
    pub(super) fn said_call(
        &self,
        name: &str,
        namespace: Option<String>,
        arguments: &str,
    ) -> String {
        let call = format!("call_model_{:04}_{}", self.number, self.index);
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        self.said(Said::Tool(ToolCall {
            call: call.clone(),
            name,
            namespace,
            arguments,
        }));
        call
    }
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn with(place: &Value, key: &str, value: Value) -> Value {
    let mut fields = place.clone();
    fields[key] = value;
    fields
}

/// The text cut after each stretch of white space.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut in_space = false;
    for character in text.chars() {
        if in_space && !character.is_whitespace() {
            words.push(String::new());
        }
        in_space = character.is_whitespace();
        words
            .last_mut()
            .expect("there is always a word")
            .push(character);
    }
    words.retain(|word| !word.is_empty());
    words
}

fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(24)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_every_character() {
        assert_eq!(words(" a  b\n\nc "), [" ", "a  ", "b\n\n", "c "]);
        assert!(words("").is_empty());
    }
}
