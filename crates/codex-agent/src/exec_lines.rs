//! What `codex exec --json` prints (codex 0.169), in the words of the app-server, so that one mapping serves both.
//!
//! Its items are the app-server's with names in another case. It has no deltas, no codes of errors, and its token figures
//! are those of the whole thread.

use codex_app_server::protocol::{ItemId, Notification, ThreadId, TurnError, TurnId};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

/// A line, as it is printed.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Printed {
    #[serde(rename = "thread.started")]
    ThreadStarted { thread_id: String },
    #[serde(rename = "item.started")]
    ItemStarted { item: Value },
    #[serde(rename = "item.updated")]
    ItemUpdated { item: Value },
    #[serde(rename = "item.completed")]
    ItemCompleted { item: Value },
    #[serde(rename = "turn.completed")]
    TurnCompleted {
        #[serde(default)]
        usage: Map<String, Value>,
    },
    #[serde(rename = "turn.failed")]
    TurnFailed { error: Message },
    #[serde(rename = "error")]
    Error(Message),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    message: String,
}

/// What a line says.
#[derive(Debug)]
pub(crate) enum Said {
    /// The conversation's id; from here on it can be resumed.
    Thread(ThreadId),
    /// Something happened.
    Happened(Box<Notification>),
    /// The request failed and is tried again.
    Retry(TurnError),
    /// The turn is over, with its token figures.
    Completed(Option<Box<Notification>>),
    /// The turn failed.
    Failed(TurnError),
    /// Nothing for a person.
    Nothing,
}

/// Reads the lines of one run.
pub(crate) struct Lines {
    /// Stands in for the turn's id, which is never printed; makes the ids of items unique too.
    pub(crate) turn: TurnId,
    /// The conversation.
    pub(crate) thread: ThreadId,
    /// Whether the thread began with this turn: then its token figures are the turn's.
    pub(crate) fresh: bool,
}

impl Lines {
    /// What a line says. A line that is no JSON says nothing.
    pub(crate) fn read(&mut self, line: &[u8]) -> Said {
        let printed = match serde_json::from_slice(line) {
            Ok(printed) => printed,
            Err(error) => {
                tracing::warn!(%error, bytes = line.len(), "codex exec printed a line that can't be read");
                return Said::Nothing;
            }
        };
        match printed {
            Printed::ThreadStarted { thread_id } => {
                self.thread = ThreadId::new(thread_id);
                Said::Thread(self.thread.clone())
            }
            Printed::ItemStarted { item } => self.item("item/started", item),
            Printed::ItemUpdated { item } if kind(&item) == "todo_list" => {
                self.item("item/updated", item)
            }
            Printed::ItemCompleted { item } => self.item("item/completed", item),
            Printed::TurnCompleted { usage } => Said::Completed(self.usage(&usage)),
            Printed::TurnFailed { error } => Said::Failed(turn_error(error.message)),
            Printed::Error(error) if error.message.starts_with("Reconnecting...") => {
                Said::Retry(turn_error(error.message))
            }
            // What is final comes with the turn's failure once more.
            Printed::Error(_) | Printed::ItemUpdated { .. } | Printed::Other => Said::Nothing,
        }
    }

    fn item(&self, method: &str, item: Value) -> Said {
        match kind(&item) {
            // A warning: the turn goes on.
            "error" => {
                let message = item["message"].as_str().unwrap_or_default();
                tracing::info!(message, "codex warns");
                Said::Nothing
            }
            "todo_list" => {
                let steps = item["items"].as_array();
                let step = |step: &Value| {
                    let done = step["completed"].as_bool().unwrap_or(false);
                    let status = if done { "completed" } else { "pending" };
                    json!({ "step": step["text"].as_str().unwrap_or_default(), "status": status })
                };
                let plan: Vec<Value> = steps.into_iter().flatten().map(step).collect();
                self.happened("turn/plan/updated", json!({ "plan": plan }))
            }
            _ => {
                let id = item["id"].as_str().unwrap_or_default();
                let id = ItemId::new(format!("{}-{id}", self.turn));
                let mut item = in_camel_case(item);
                item["id"] = json!(id.as_str());
                item["type"] = json!(camel(kind(&item)));
                match kind(&item) {
                    "reasoning" => item["summary"] = json!([item["text"].take()]),
                    "fileChange" => type_changes(&mut item),
                    _ => {}
                }
                self.happened(method, json!({ "item": item }))
            }
        }
    }

    fn happened(&self, method: &str, mut params: Value) -> Said {
        params["threadId"] = json!(self.thread);
        params["turnId"] = json!(self.turn);
        match notification(method, &params) {
            Some(notification) => Said::Happened(Box::new(notification)),
            None => Said::Nothing,
        }
    }

    fn usage(&self, usage: &Map<String, Value>) -> Option<Box<Notification>> {
        if !self.fresh || usage.is_empty() {
            return None;
        }
        let figures = in_camel_case(Value::Object(usage.clone()));
        let params = json!({
            "threadId": self.thread, "turnId": self.turn, "tokenUsage": { "total": figures, "last": figures },
        });
        notification("thread/tokenUsage/updated", &params).map(Box::new)
    }
}

fn notification(method: &str, params: &Value) -> Option<Notification> {
    let params = RawValue::from_string(params.to_string()).ok()?;
    Some(Notification::parse(method, &params))
}

fn kind(item: &Value) -> &str {
    item["type"].as_str().unwrap_or_default()
}

/// The kinds of changes are plain words here.
fn type_changes(item: &mut Value) {
    let changes = item["changes"].as_array_mut();
    for change in changes.into_iter().flatten() {
        let kind = change["kind"].take();
        change["kind"] = json!({ "type": kind });
    }
}

/// The members of an object, and its `status`, in the app-server's case. What is below belongs to tools.
fn in_camel_case(value: Value) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let renamed = members.into_iter().map(|(name, value)| {
        let value = match (name.as_str(), &value) {
            ("status", Value::String(status)) => json!(camel(status)),
            _ => value,
        };
        (camel(&name), value)
    });
    Value::Object(renamed.collect())
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// An error with the HTTP status that its words name: no code is printed.
fn turn_error(message: String) -> TurnError {
    let status = ["unexpected status ", "last status: "]
        .iter()
        .find_map(|before| message.split_once(before))
        .and_then(|(_, rest)| rest.get(..3)?.parse::<u16>().ok());
    let info = match status {
        Some(status) => json!({ "httpConnectionFailed": { "httpStatusCode": status } }),
        None => json!("other"),
    };
    let reason = message
        .strip_prefix("Reconnecting... ")
        .and_then(|rest| rest.split_once('('))
        .map_or(message.as_str(), |(_, reason)| reason.trim_end_matches(')'));
    let error = json!({ "message": reason, "codexErrorInfo": info });
    serde_json::from_value(error).unwrap_or_default()
}

#[cfg(test)]
#[path = "exec_recordings.rs"]
mod recordings;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;
    use agent_core::ErrorClass;

    fn lines() -> Lines {
        Lines {
            turn: TurnId::new("exec-1"),
            thread: ThreadId::new(""),
            fresh: true,
        }
    }

    #[test]
    fn an_error_is_classed_by_the_status_that_it_names() {
        for (message, class) in [
            (
                "unexpected status 401 Unauthorized: Incorrect API key, url: http://x",
                ErrorClass::Unauthorized,
            ),
            (
                "exceeded retry limit, last status: 429 Too Many Requests",
                ErrorClass::RateLimited,
            ),
            (
                "stream disconnected before completion: Transport error: x",
                ErrorClass::Network,
            ),
        ] {
            let line = json!({"type": "turn.failed", "error": {"message": message}}).to_string();
            let Said::Failed(error) = lines().read(line.as_bytes()) else {
                panic!("{line}")
            };
            assert_eq!(failure::class(&error), class, "{message}");
        }
    }

    #[test]
    fn a_retry_names_its_reason() {
        let line = json!({"type": "error", "message": "Reconnecting... 1/5 (unexpected status 403 Forbidden: no)"});
        let Said::Retry(error) = lines().read(line.to_string().as_bytes()) else {
            panic!("{line}")
        };
        assert!(failure::is_hopeless(&error));
        assert_eq!(
            failure::failed(&error).to_string(),
            "unexpected status 403 Forbidden: no"
        );
    }

    #[test]
    fn garbage_says_nothing() {
        for line in [
            &b"not JSON"[..],
            b"{\"type\":\"brand.new\"}",
            b"[]",
            b"\xff\xfe",
        ] {
            assert!(matches!(lines().read(line), Said::Nothing));
        }
    }
}
