//! Messages in codex 0.169's own form.
//!
//! The large ones are taken from a recording, so that a client that reads all of their fields is satisfied.

use serde_json::{Value, json};

use crate::transcript::Transcript;

/// A recorded turn, whose answers serve as patterns.
pub(super) fn pattern() -> Transcript {
    let text = include_str!("../../transcripts/codex/text.jsonl");
    Transcript::parse("text", text).expect("the recording is part of the sources")
}

/// The recorded answer to `method`.
pub(super) fn answer_to(method: &str) -> Value {
    let pattern = pattern();
    let id = pattern
        .sent()
        .find(|message| message.method() == Some(method))
        .and_then(|message| message.id())
        .cloned();
    let answer = pattern
        .received()
        .find(|message| message.is_answer() && message.id() == id.as_ref());
    answer
        .map(|message| message.0["result"].clone())
        .unwrap_or_default()
}

/// The answer to `thread/start` and `thread/resume`.
pub(super) fn thread_answer(thread: &str, cwd: &str, path: &str) -> Value {
    let mut result = answer_to("thread/start");
    let inner = &mut result["thread"];
    inner["id"] = json!(thread);
    inner["sessionId"] = json!(thread);
    inner["cwd"] = json!(cwd);
    inner["path"] = json!(path);
    result["cwd"] = json!(cwd);
    result
}

/// A turn object.
pub(super) fn turn(turn: &str, status: &str, error: Option<&str>, items: &[Value]) -> Value {
    let error = error.map(|message| {
        json!({"message": message, "codexErrorInfo": "other", "additionalDetails": null, "misalignment": null})
    });
    json!({
        "id": turn, "rootTurnId": turn, "items": items, "itemsView": if items.is_empty() { "notLoaded" } else { "summary" },
        "status": status, "error": error, "startedAt": null, "completedAt": null, "durationMs": null,
    })
}

pub(super) fn user_message(id: &str, text: &str) -> Value {
    json!({"type": "userMessage", "id": id, "clientId": null, "content": [{"type": "text", "text": text, "text_elements": []}]})
}

pub(super) fn agent_message(id: &str, text: &str) -> Value {
    json!({"type": "agentMessage", "moderation": null, "id": id, "text": text, "phase": null, "memoryCitation": null})
}

pub(super) fn reasoning(id: &str, summary: &[&str]) -> Value {
    json!({"type": "reasoning", "id": id, "summary": summary, "content": []})
}

/// A command execution, at its start (no output) or at its end.
pub(super) fn command(id: &str, command: &str, output: Option<&str>) -> Value {
    let over = output.is_some();
    json!({
        "type": "commandExecution", "id": id, "command": format!("/bin/bash -lc '{command}'"), "cwd": "/", "processId": "1",
        "source": "unifiedExecStartup", "status": if over { "completed" } else { "inProgress" },
        "commandActions": [{"type": "unknown", "command": command}],
        "aggregatedOutput": output, "exitCode": over.then_some(0), "durationMs": over.then_some(1),
    })
}

/// Token figures of a turn.
pub(super) fn usage() -> Value {
    let figures = json!({
        "totalTokens": 120, "inputTokens": 100, "cachedInputTokens": 40, "cacheWriteInputTokens": 0,
        "outputTokens": 20, "reasoningOutputTokens": 8,
    });
    json!({"total": figures, "last": figures, "modelContextWindow": 258_400})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_has_every_pattern() {
        assert!(answer_to("initialize")["userAgent"].is_string());
        assert_eq!(thread_answer("t", "/w", "/p")["thread"]["id"], "t");
    }
}
