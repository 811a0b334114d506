//! What Wegent's backend of January 2026 stores of a turn, computed from its cumulative callbacks by its own rules.
//!
//! Two backends were in use. One replaces the stored result with each callback's ([`Rule::Replace`]). The other merges
//! ([`Rule::Merge`]): new keys win, absent ones stay, `codex_event` is appended to `codex_events`, and the text of a
//! callback that ends the turn is ignored once there is one. A good executor gives both the same result in the end.
//!
//! [`replay`] also notes everything that a well-behaved executor does not do; every log of cumulative callbacks in every
//! test goes through it.
//!
//! ```
//! use serde_json::json;
//! use testkit::{Callback, cumulative::{Rule, replay}};
//!
//! let callback = |progress: u8, status: &str, result: serde_json::Value| {
//!     Callback::of(json!({"task_id": 1, "subtask_id": 2, "progress": progress, "status": status, "result": result}))
//! };
//! let result = json!({"value": "Hello", "shell_type": "Codex"});
//! let log = [
//!     Callback::of(json!({"task_id": 1, "subtask_id": 2, "progress": 50, "status": "RUNNING"})),
//!     callback(60, "RUNNING", result.clone()),
//!     callback(100, "COMPLETED", result),
//! ];
//! let stored = replay(&log, Rule::Merge);
//! assert!(stored.problems.is_empty());
//! assert_eq!(stored.shown, "Hello");
//! assert_eq!(stored.result, replay(&log, Rule::Replace).result);
//! ```

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::Callback;

/// How a backend stores the result of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The new one replaces the old one.
    Replace,
    /// The new one is merged into the old one.
    Merge,
}

/// What is stored of a turn, and what was wrong on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// The turn's state; empty before the first callback.
    pub status: String,
    /// Its progress.
    pub progress: i64,
    /// Its result; opaque.
    pub result: Value,
    /// Its error, as the task shows it.
    pub error_message: Option<String>,
    /// The text that the browser has appended chunk by chunk.
    pub shown: String,
    /// How many runs the log holds: a `50` after an end begins another. All else speaks of the last one.
    pub attempts: u32,
    /// Callbacks sent again because their first sending was not acknowledged.
    pub repeats: u32,
    /// Everything that a well-behaved executor does not do.
    pub problems: Vec<Problem>,
}

/// Something that a well-behaved executor does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field is missing, or not of its type.
    #[error("callback {number}: `{field}` is missing or of a wrong type")]
    Malformed {
        /// The callback's number.
        number: u64,
        /// The field.
        field: &'static str,
    },
    /// A state that the backend refuses.
    #[error("callback {number}: the backend refuses the state `{status}`")]
    UnknownStatus {
        /// The callback's number.
        number: u64,
        /// The state.
        status: String,
    },
    /// The first callback of a run is not `50 RUNNING`.
    #[error("callback {number} is the first of its run and not `50 RUNNING`")]
    NotStarted {
        /// The callback's number.
        number: u64,
    },
    /// A callback came after the end; it brings the turn back to life, or is shown again.
    #[error("callback {number} ({status}) after the end")]
    AfterEnd {
        /// The callback's number.
        number: u64,
        /// Its state.
        status: String,
    },
    /// Progress went back, or out of what its state may have.
    #[error("callback {number}: progress {progress} after {before} in {status}")]
    Progress {
        /// The callback's number.
        number: u64,
        /// The progress.
        progress: i64,
        /// The progress before.
        before: i64,
        /// The callback's state.
        status: String,
    },
    /// The text changed where it had been shown already.
    #[error("callback {number}: the text does not begin with the text before")]
    Rewritten {
        /// The callback's number.
        number: u64,
    },
    /// The end has a text that was not sent before it; the merging backend ignores it.
    #[error("callback {number}: the end's text was not sent before it")]
    LateText {
        /// The callback's number.
        number: u64,
    },
    /// The steps changed where they had been shown already.
    #[error("callback {number}: the thinking does not begin with the steps before")]
    ThinkingRewritten {
        /// The callback's number.
        number: u64,
    },
    /// A failure without its text, or another end with one.
    #[error("callback {number}: `error` and the state {status} don't fit")]
    ErrorMismatch {
        /// The callback's number.
        number: u64,
        /// The callback's state.
        status: String,
    },
    /// The log ends without an end.
    #[error("no end")]
    NoEnd,
}

/// Computes what `rule` stores after `callbacks`, which are those of one subtask in order of arrival. Callbacks that did
/// not get through ([`Callback::shown`]) are left out.
pub fn replay<'a>(callbacks: impl IntoIterator<Item = &'a Callback>, rule: Rule) -> Stored {
    let mut store = Store::new(rule);
    let shown = callbacks.into_iter().filter(|callback| callback.shown);
    for callback in shown {
        store.take(callback);
    }
    if store.fresh || !is_end(&store.stored.status) {
        store.stored.problems.push(Problem::NoEnd);
    }
    store.stored
}

fn is_end(status: &str) -> bool {
    matches!(status, "COMPLETED" | "FAILED" | "CANCELLED")
}

struct Store {
    rule: Rule,
    stored: Stored,
    /// Nothing of this run has come yet.
    fresh: bool,
    thinking: Vec<Value>,
    /// The callbacks of this run.
    seen: HashSet<u64>,
    /// The callback before, if it was not acknowledged.
    unacknowledged: Option<u64>,
}

impl Store {
    fn new(rule: Rule) -> Self {
        Self {
            rule,
            stored: Stored::default(),
            fresh: true,
            thinking: Vec::new(),
            seen: HashSet::new(),
            unacknowledged: None,
        }
    }

    fn take(&mut self, callback: &Callback) {
        let unacknowledged = self.unacknowledged.take();
        if !callback.acknowledged() {
            self.unacknowledged = Some(callback.digest);
        }
        let seen = !self.seen.insert(callback.digest);
        let appends = callback.body.pointer("/result/codex_event").is_some();
        // An executor that was killed can't know what had been taken. To send the same again changes nothing, unless it
        // appends.
        let harmless = seen && callback.status() == "RUNNING" && !appends;
        if unacknowledged == Some(callback.digest) || harmless {
            self.stored.repeats += 1;
            return;
        }
        let (number, status) = (callback.number, callback.status().to_owned());
        for field in ["task_id", "subtask_id", "progress"] {
            if !callback.body[field].is_i64() {
                self.wrong(Problem::Malformed { number, field });
            }
        }
        if !is_end(&status) && status != "RUNNING" {
            return self.wrong(Problem::UnknownStatus { number, status });
        }
        let progress = callback.body["progress"].as_i64().unwrap_or_default();
        self.begin(number, progress, &status);
        self.check_progress(number, progress, &status);
        self.check_error(callback, &status);
        if let Some(result) = callback.body.get("result") {
            match result.as_object() {
                Some(result) => self.result(number, result, &status),
                None => self.wrong(Problem::Malformed {
                    number,
                    field: "result",
                }),
            }
        }
        self.stored.status = status;
        self.stored.progress = progress;
        let error = callback.body["error_message"].as_str();
        self.stored.error_message = error.map(str::to_owned);
    }

    /// A `50` after an end is another run, for which the backend has cleared the result.
    fn begin(&mut self, number: u64, progress: i64, status: &str) {
        let starts = progress == 50 && status == "RUNNING";
        if !self.fresh && is_end(&self.stored.status) {
            if starts {
                let (attempts, problems) = (
                    self.stored.attempts,
                    std::mem::take(&mut self.stored.problems),
                );
                self.stored = Stored {
                    attempts,
                    problems,
                    ..Stored::default()
                };
                self.thinking.clear();
                self.seen.clear();
                self.fresh = true;
            } else {
                let status = status.to_owned();
                self.wrong(Problem::AfterEnd { number, status });
            }
        }
        if self.fresh {
            self.fresh = false;
            self.stored.attempts += 1;
            if !starts {
                self.wrong(Problem::NotStarted { number });
            }
        }
    }

    fn check_progress(&mut self, number: u64, progress: i64, status: &str) {
        let before = self.stored.progress;
        let fits = if is_end(status) {
            progress == 100
        } else {
            (50..90).contains(&progress)
        };
        if !fits || progress < before {
            let status = status.to_owned();
            self.wrong(Problem::Progress {
                number,
                progress,
                before,
                status,
            });
        }
    }

    /// The web interface shows an error wherever the result has the key, and none where it has not.
    fn check_error(&mut self, callback: &Callback, status: &str) {
        let error = callback.body.pointer("/result/error");
        let told = callback.body["error_message"].as_str();
        let fits = match status {
            "FAILED" => error.is_some_and(Value::is_string) && told.is_some_and(|t| !t.is_empty()),
            _ => error.is_none(),
        };
        if !fits {
            let (number, status) = (callback.number, status.to_owned());
            self.wrong(Problem::ErrorMismatch { number, status });
        }
    }

    fn result(&mut self, number: u64, result: &Map<String, Value>, status: &str) {
        if !result.get("shell_type").is_some_and(Value::is_string) {
            self.wrong(Problem::Malformed {
                number,
                field: "result.shell_type",
            });
        }
        self.check_thinking(number, result);
        let running_value = match status {
            "RUNNING" => result.get("value").and_then(Value::as_str),
            _ => None,
        };
        if let Some(value) = running_value {
            self.chunk(number, value);
        } else if let Some(value) = result.get("value").and_then(Value::as_str)
            && value != self.stored.shown
        {
            self.wrong(Problem::LateText { number });
        }
        match self.rule {
            Rule::Replace => self.replace(result),
            Rule::Merge => self.merge(result, running_value.is_some()),
        }
    }

    fn check_thinking(&mut self, number: u64, result: &Map<String, Value>) {
        let Some(thinking) = result.get("thinking").and_then(Value::as_array) else {
            return;
        };
        if !thinking.starts_with(&self.thinking) {
            self.wrong(Problem::ThinkingRewritten { number });
        }
        self.thinking = thinking.clone();
    }

    /// The browser gets what a longer text adds, counted in code points, and appends it blindly.
    fn chunk(&mut self, number: u64, value: &str) {
        if !value.starts_with(self.stored.shown.as_str()) {
            self.wrong(Problem::Rewritten { number });
        }
        let old = self.stored.shown.chars().count();
        let added: String = value.chars().skip(old).collect();
        self.stored.shown.push_str(&added);
    }

    fn replace(&mut self, result: &Map<String, Value>) {
        let mut result = result.clone();
        if let Some(new) = result.remove("codex_event") {
            let events = result.entry("codex_events").or_insert_with(|| json!([]));
            append(events, new);
        }
        self.stored.result = Value::Object(result);
    }

    fn merge(&mut self, new: &Map<String, Value>, has_running_value: bool) {
        let old = self.stored.result.take();
        let mut result = old.as_object().cloned().unwrap_or_default();
        for (name, value) in new {
            match name.as_str() {
                "codex_event" => {
                    let events = result.entry("codex_events").or_insert_with(|| json!([]));
                    append(events, value.clone());
                }
                "codex_events" => {
                    let length = |events: &Value| events.as_array().map_or(0, Vec::len);
                    let known = result.get(name).map_or(0, length);
                    if length(value) > 0 && length(value) >= known {
                        result.insert(name.clone(), value.clone());
                    }
                }
                _ => {
                    result.insert(name.clone(), value.clone());
                }
            }
        }
        let kept = old["value"].as_str().filter(|value| !value.is_empty());
        if let Some(kept) = kept
            && !has_running_value
        {
            result.insert("value".to_owned(), json!(kept));
        }
        self.stored.result = Value::Object(result);
    }

    fn wrong(&mut self, problem: Problem) {
        self.stored.problems.push(problem);
    }
}

fn append(events: &mut Value, new: Value) {
    let Some(events) = events.as_array_mut() else {
        return;
    };
    match new {
        Value::Array(new) => events.extend(new),
        one => events.push(one),
    }
}

impl Stored {
    /// The stored text.
    pub fn value(&self) -> &str {
        self.result["value"].as_str().unwrap_or_default()
    }

    /// The blocks of one type (`tool_use`, `tool_result`) in the steps of the thinking.
    pub fn blocks(&self, kind: &str) -> Vec<&Value> {
        let steps = self.result["thinking"].as_array();
        let contents = steps
            .into_iter()
            .flatten()
            .filter_map(|step| step.pointer("/details/message/content")?.as_array());
        contents
            .flatten()
            .filter(|block| block["type"] == kind)
            .collect()
    }

    /// The details of the steps of one type (`system`, `reasoning`, `result`).
    pub fn details(&self, kind: &str) -> Vec<&Value> {
        let steps = self.result["thinking"].as_array();
        let details = steps.into_iter().flatten().map(|step| &step["details"]);
        details.filter(|details| details["type"] == kind).collect()
    }

    /// The types of the stored Codex events.
    pub fn event_types(&self) -> Vec<&str> {
        let events = self.result["codex_events"].as_array();
        let types = events.into_iter().flatten();
        types.filter_map(|event| event["type"].as_str()).collect()
    }
}

/// Panics, showing what was stored, if anything was wrong, or if the two rules come to different results.
///
/// # Panics
/// If so.
#[track_caller]
pub fn assert_clean(callbacks: &[Callback]) -> Stored {
    let (merged, replaced) = (
        replay(callbacks, Rule::Merge),
        replay(callbacks, Rule::Replace),
    );
    assert!(
        merged.problems.is_empty(),
        "the callbacks break Wegent's rules: {:#?}\n{merged:#?}",
        merged.problems
    );
    assert_eq!(merged.result, replaced.result, "the two rules differ");
    assert_eq!(merged.status, replaced.status);
    merged
}
