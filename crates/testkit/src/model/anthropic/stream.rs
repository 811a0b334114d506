//! Server-sent events in the order and form of the Messages API; or, for a request that wants no stream, one object.

use serde_json::{Value, json};

use crate::model::reply::{Figures, Played, Reply, pieces, words};

/// What stands for the signature of a thinking block.
const SIGNATURE: &str = "c2NyaXB0ZWQ=";

/// Writes one event; `fields` must be an object. For a request that wants no stream it only counts.
pub(in crate::model) async fn event(reply: &mut Reply, kind: &str, mut fields: Value) -> Played {
    reply.events += 1;
    if !reply.request.streams {
        return Ok(());
    }
    fields["type"] = json!(kind);
    reply
        .raw(format!("event: {kind}\ndata: {fields}\n\n"))
        .await
}

fn message(reply: &Reply, content: &[Value], stop: Option<&str>, figures: Figures) -> Value {
    json!({
        "id": format!("msg_model_{:04}", reply.number), "type": "message", "role": "assistant",
        "model": reply.request.model, "content": content, "stop_reason": stop, "stop_sequence": null,
        "usage": usage(figures),
    })
}

fn usage(figures: Figures) -> Value {
    json!({
        "input_tokens": figures.input - figures.cached, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": figures.cached, "output_tokens": figures.output,
    })
}

pub(in crate::model) async fn created(reply: &mut Reply) -> Played {
    let begun = Figures {
        output: 1,
        ..reply.figures
    };
    let message = message(reply, &[], None, begun);
    event(reply, "message_start", json!({"message": message})).await?;
    ping(reply).await
}

pub(in crate::model) async fn ping(reply: &mut Reply) -> Played {
    event(reply, "ping", json!({})).await
}

/// The end of an answer; without a reason to stop, the usual one.
pub(in crate::model) async fn completed(
    reply: &mut Reply,
    figures: Figures,
    stop: Option<&str>,
) -> Played {
    let calls = reply.items.iter().any(|item| item["type"] == "tool_use");
    let stop = stop.unwrap_or(if calls { "tool_use" } else { "end_turn" });
    let delta = json!({"stop_reason": stop, "stop_sequence": null});
    let fields = json!({"delta": delta, "usage": usage(figures)});
    event(reply, "message_delta", fields).await?;
    event(reply, "message_stop", json!({})).await?;
    if !reply.request.streams {
        let whole = message(reply, &reply.items, Some(stop), figures);
        reply.whole(whole).await?;
    }
    Ok(())
}

async fn open(reply: &mut Reply, block: Value) -> Played {
    let fields = json!({"index": reply.items.len(), "content_block": block});
    event(reply, "content_block_start", fields).await
}

async fn delta(reply: &mut Reply, delta: Value) -> Played {
    let fields = json!({"index": reply.items.len(), "delta": delta});
    event(reply, "content_block_delta", fields).await
}

async fn close(reply: &mut Reply, block: Value) -> Played {
    let fields = json!({"index": reply.items.len()});
    reply.items.push(block);
    event(reply, "content_block_stop", fields).await
}

pub(in crate::model) async fn open_text(reply: &mut Reply) -> Played {
    open(reply, json!({"type": "text", "text": ""})).await
}

pub(in crate::model) async fn text_delta(reply: &mut Reply, text: &str) -> Played {
    delta(reply, json!({"type": "text_delta", "text": text})).await
}

pub(in crate::model) async fn close_text(reply: &mut Reply, text: &str) -> Played {
    close(reply, json!({"type": "text", "text": text})).await
}

pub(in crate::model) async fn thinking(reply: &mut Reply, text: &str) -> Played {
    let empty = json!({"type": "thinking", "thinking": "", "signature": ""});
    open(reply, empty).await?;
    for word in words(text) {
        delta(reply, json!({"type": "thinking_delta", "thinking": word})).await?;
        reply.pause(reply.options.delta_delay).await;
    }
    let signature = json!({"type": "signature_delta", "signature": SIGNATURE});
    delta(reply, signature).await?;
    let block = json!({"type": "thinking", "thinking": text, "signature": SIGNATURE});
    close(reply, block).await
}

pub(in crate::model) async fn call(
    reply: &mut Reply,
    call: &str,
    name: &str,
    arguments: &str,
) -> Played {
    let block =
        |input: Value| json!({"type": "tool_use", "id": call, "name": name, "input": input});
    open(reply, block(json!({}))).await?;
    for piece in [String::new()].into_iter().chain(pieces(arguments)) {
        let part = json!({"type": "input_json_delta", "partial_json": piece});
        delta(reply, part).await?;
    }
    let input = serde_json::from_str(arguments).unwrap_or_default();
    close(reply, block(input)).await
}

/// An event and a delta that nobody knows, and a comment.
pub(in crate::model) async fn garbage(reply: &mut Reply) -> Played {
    if reply.request.streams {
        reply.raw(": a comment\n\n").await?;
    }
    event(reply, "something_new", json!({"foo": "bar"})).await
}

/// An error inside the stream.
pub(in crate::model) async fn failed(reply: &mut Reply, kind: &str, message: &str) -> Played {
    let error = json!({"type": kind, "message": message});
    event(reply, "error", json!({"error": error})).await
}
