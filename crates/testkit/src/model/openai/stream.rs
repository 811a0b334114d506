//! Server-sent events in the order and form of the Responses API.

use serde_json::{Value, json};

use crate::model::reply::{Figures, Open, Played, Reply, pieces, words};

/// Writes one event; `fields` must be an object.
pub(in crate::model) async fn event(reply: &mut Reply, kind: &str, mut fields: Value) -> Played {
    fields["type"] = json!(kind);
    fields["sequence_number"] = json!(reply.events);
    reply.events += 1;
    reply
        .raw(format!("event: {kind}\ndata: {fields}\n\n"))
        .await
}

/// The `response` object in one of its states.
pub(in crate::model) fn response(reply: &Reply, status: &str) -> Value {
    let output = if status == "completed" {
        reply.items.as_slice()
    } else {
        &[]
    };
    json!({
        "id": format!("resp_model_{:04}", reply.number), "object": "response", "created_at": 1_700_000_000,
        "status": status, "model": reply.request.model, "output": output,
        "error": null, "incomplete_details": null, "usage": null,
    })
}

pub(in crate::model) async fn created(reply: &mut Reply) -> Played {
    let response = response(reply, "in_progress");
    let fields = json!({"response": response.clone()});
    event(reply, "response.created", fields).await?;
    event(reply, "response.in_progress", json!({"response": response})).await
}

pub(in crate::model) async fn completed(reply: &mut Reply, figures: Figures) -> Played {
    let mut response = response(reply, "completed");
    let Figures {
        input,
        cached,
        output,
        reasoning,
    } = figures;
    response["usage"] = json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input + output,
    });
    event(reply, "response.completed", json!({"response": response})).await
}

/// A finished output item.
pub(in crate::model) async fn done(reply: &mut Reply, item: Value) -> Played {
    let fields = json!({"output_index": reply.items.len(), "item": item});
    reply.items.push(item);
    event(reply, "response.output_item.done", fields).await
}

async fn added(reply: &mut Reply, item: Value) -> Played {
    let fields = json!({"output_index": reply.items.len(), "item": item});
    event(reply, "response.output_item.added", fields).await
}

fn message(open: &Open) -> Value {
    let mut item = json!({"id": open.id, "type": "message", "role": "assistant"});
    if let Some(phase) = &open.phase {
        item["phase"] = json!(phase);
    }
    item
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn place(reply: &Reply, id: &str, more: Value) -> Value {
    let place = json!({"item_id": id, "output_index": reply.items.len()});
    merged(place, more)
}

fn merged(mut fields: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

pub(in crate::model) async fn open_text(reply: &mut Reply, open: &Open) -> Played {
    let mut item = message(open);
    item["status"] = json!("in_progress");
    item["content"] = json!([]);
    added(reply, item).await?;
    let part = json!({"content_index": 0, "part": output_text("")});
    let fields = place(reply, &open.id, part);
    event(reply, "response.content_part.added", fields).await
}

pub(in crate::model) async fn text_delta(reply: &mut Reply, open: &Open, delta: &str) -> Played {
    let fields = place(reply, &open.id, json!({"content_index": 0, "delta": delta}));
    event(reply, "response.output_text.delta", fields).await
}

pub(in crate::model) async fn close_text(reply: &mut Reply, open: &Open, text: &str) -> Played {
    let fields = place(reply, &open.id, json!({"content_index": 0, "text": text}));
    event(reply, "response.output_text.done", fields).await?;
    let part = json!({"content_index": 0, "part": output_text(text)});
    let fields = place(reply, &open.id, part);
    event(reply, "response.content_part.done", fields).await?;
    let mut item = message(open);
    item["status"] = json!("completed");
    item["content"] = json!([output_text(text)]);
    done(reply, item).await
}

/// A reasoning item with a summary of several parts.
pub(in crate::model) async fn reasoning(reply: &mut Reply, id: &str, parts: &[&str]) -> Played {
    added(reply, json!({"id": id, "type": "reasoning", "summary": []})).await?;
    for (number, part) in parts.iter().enumerate() {
        let of = |more: Value| merged(json!({"summary_index": number}), more);
        let empty = json!({"part": {"type": "summary_text", "text": ""}});
        let fields = place(reply, id, of(empty));
        event(reply, "response.reasoning_summary_part.added", fields).await?;
        for word in words(part) {
            let fields = place(reply, id, of(json!({"delta": word})));
            event(reply, "response.reasoning_summary_text.delta", fields).await?;
            reply.pause(reply.options.delta_delay).await;
        }
        let fields = place(reply, id, of(json!({"text": part})));
        event(reply, "response.reasoning_summary_text.done", fields).await?;
    }
    let summary: Vec<Value> = parts
        .iter()
        .map(|part| json!({"type": "summary_text", "text": part}))
        .collect();
    let item =
        json!({"id": id, "type": "reasoning", "summary": summary, "encrypted_content": "ZmFrZQ=="});
    done(reply, item).await
}

/// A call of a function tool.
pub(in crate::model) async fn call(
    reply: &mut Reply,
    call: &str,
    (name, namespace): (&str, Option<&str>),
    arguments: &str,
) -> Played {
    let id = reply.item_id("fc");
    let mut item = json!({
        "id": id, "type": "function_call", "name": name, "arguments": "", "call_id": call, "status": "in_progress",
    });
    if let Some(namespace) = namespace {
        item["namespace"] = json!(namespace);
    }
    added(reply, item.clone()).await?;
    for piece in pieces(arguments) {
        let fields = place(reply, &id, json!({"delta": piece}));
        event(reply, "response.function_call_arguments.delta", fields).await?;
    }
    let fields = place(reply, &id, json!({"arguments": arguments}));
    event(reply, "response.function_call_arguments.done", fields).await?;
    item["arguments"] = json!(arguments);
    item["status"] = json!("completed");
    done(reply, item).await
}

/// A call of a tool that takes free text.
pub(in crate::model) async fn call_freeform(
    reply: &mut Reply,
    call: &str,
    name: &str,
    input: &str,
) -> Played {
    let id = reply.item_id("ctc");
    let mut item = json!({
        "id": id, "type": "custom_tool_call", "name": name, "input": "", "call_id": call, "status": "in_progress",
    });
    added(reply, item.clone()).await?;
    let of = |more: Value| merged(json!({"call_id": call}), more);
    for piece in pieces(input) {
        let fields = place(reply, &id, of(json!({"delta": piece})));
        event(reply, "response.custom_tool_call_input.delta", fields).await?;
    }
    let fields = place(reply, &id, of(json!({"input": input})));
    event(reply, "response.custom_tool_call_input.done", fields).await?;
    item["input"] = json!(input);
    item["status"] = json!("completed");
    done(reply, item).await
}

/// Malformed JSON, and an event that nobody knows.
pub(in crate::model) async fn garbage(reply: &mut Reply) -> Played {
    reply
        .raw("event: response.output_text.delta\ndata: {not json}\n\n")
        .await?;
    event(reply, "response.something.new", json!({"foo": "bar"})).await
}

/// The end of a response that failed.
pub(in crate::model) async fn failed(reply: &mut Reply, code: &str, message: &str) -> Played {
    let mut response = response(reply, "failed");
    response["error"] = json!({"code": code, "message": message});
    event(reply, "response.failed", json!({"response": response})).await
}

/// The end of a response that was cut at its longest.
pub(in crate::model) async fn incomplete(reply: &mut Reply) -> Played {
    let mut response = response(reply, "incomplete");
    response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    event(reply, "response.incomplete", json!({"response": response})).await
}
