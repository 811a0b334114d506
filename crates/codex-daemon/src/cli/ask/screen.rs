//! What a person, a pipe or a program sees of a question.

use std::io::{self, IsTerminal as _};

use crate::protocol::{Event, LossReason, Outcome, ToolState};

/// Shows events. To a terminal the answer streams, with what tools do; into a pipe goes the answer alone, when it's
/// whole; with `--json` goes every event.
pub(super) struct Screen {
    json: bool,
    stream: bool,
    /// The message whose text was shown last.
    message: Option<String>,
    /// Whether the last text ended its line.
    open_line: bool,
    /// Everything shown of the current message, to know what the end repeats.
    shown: String,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            stream: io::stdout().is_terminal(),
            message: None,
            open_line: false,
            shown: String::new(),
        }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, event: &Event) {
        if self.json {
            return super::print_event(event);
        }
        match event {
            Event::Delta { message, text, .. } if self.stream => self.text(message, text),
            Event::Void { .. } if self.stream => {
                self.note("the stream broke; this part of the answer begins anew");
                self.shown.clear();
            }
            Event::Queued { position, .. } => {
                self.note(&format!("waits behind {position} other(s)"));
            }
            Event::Reasoning { text, .. } if self.stream => {
                self.close_line();
                eprint!("{text}");
            }
            Event::Tool {
                title,
                state,
                exit_code,
                ..
            } if self.stream => self.note(&tool(title, *state, *exit_code)),
            Event::Approval { title, reason, .. } => {
                let why = reason.as_deref().unwrap_or("no reason given");
                self.note(&format!("may Codex do this? {title} ({why})"));
            }
            Event::Settled { decision, by, .. } => self.note(&format!("{decision:?}, by {by:?}")),
            Event::Notice { text, .. } => self.note(text),
            Event::Gap { why } => self.note(&format!("some of it is missing: {why}")),
            Event::Ended { outcome, .. } => self.end(outcome),
            Event::Started { .. }
            | Event::Delta { .. }
            | Event::Void { .. }
            | Event::Reasoning { .. }
            | Event::Tool { .. } => {}
        }
    }

    /// The answer to a question whose events were not all shown.
    pub(super) fn end(&mut self, outcome: &Outcome) {
        if self.json {
            return;
        }
        match outcome {
            Outcome::Completed { text } if self.shown == *text => self.close_line(),
            Outcome::Completed { text } => {
                self.close_line();
                let end = if text.ends_with('\n') { "" } else { "\n" };
                super::super::print(&format!("{text}{end}"));
            }
            Outcome::Failed { error } => self.note(&format!("failed: {error}")),
            Outcome::Interrupted => self.note("interrupted"),
            Outcome::Lost { what, error } => {
                let who = match what {
                    LossReason::AppServer => "codex",
                    LossReason::Daemon => "the daemon",
                };
                self.note(&format!("lost, {who} ended meanwhile: {error}"));
            }
        }
        self.shown.clear();
    }

    fn text(&mut self, message: &str, text: &str) {
        if self.message.as_deref() != Some(message) {
            self.close_line();
            self.message = Some(message.to_owned());
            self.shown.clear();
        }
        self.shown.push_str(text);
        super::super::print(text);
        self.open_line = !text.ends_with('\n');
    }

    fn close_line(&mut self) {
        if self.open_line {
            super::super::print("\n");
            self.open_line = false;
        }
    }

    /// Something beside the answer.
    pub(super) fn note(&mut self, text: &str) {
        self.close_line();
        if !self.json {
            eprintln!("codex-daemon: {text}");
        }
    }
}

fn tool(title: &str, state: ToolState, exit_code: Option<i32>) -> String {
    let state = match state {
        ToolState::Started => "runs",
        ToolState::Completed => "done",
        ToolState::Failed => "failed",
        ToolState::Declined => "not allowed",
    };
    match exit_code {
        Some(code) if code != 0 => format!("{state} (exit code {code}): {title}"),
        _ => format!("{state}: {title}"),
    }
}
