//! Tool calls and other blocks, from their start to their end.

use std::collections::HashSet;

use agent_core::{BlockId, ToolCallId};
use serde_json::Value;

use super::text::{ceil_boundary, floor_boundary};

/// How much of a running tool's output is shown, in bytes.
const MAX_TAIL: usize = 16 * 1024;
/// How much of a finished tool's output is sent, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;
/// How much of what a sub-agent says in one block is kept, in bytes.
const MAX_CHILD: usize = 256 * 1024;
/// How long the output of a running tool is left alone before it is shown again, in milliseconds.
const OUTPUT_INTERVAL_MS: u64 = 200;

/// A tool call that runs.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: ToolCallId,
    pub(super) input: Value,
    output: Tail,
    shown_at_ms: Option<u64>,
}

impl Call {
    /// More output. Returns what is to be shown now, if it is time.
    pub(super) fn output(&mut self, delta: &str, at_ms: u64) -> Option<String> {
        self.output.push(delta);
        let due = self
            .shown_at_ms
            .is_none_or(|shown| at_ms.saturating_sub(shown) >= OUTPUT_INTERVAL_MS);
        due.then(|| {
            self.shown_at_ms = Some(at_ms);
            self.output.shown()
        })
    }

    /// The output so far, if there was any.
    pub(super) fn shown(&self) -> Option<String> {
        (!self.output.text.is_empty()).then(|| self.output.shown())
    }
}

/// The calls of a turn.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// In the order of their start. Few run at once.
    open: Vec<Call>,
    finished: HashSet<ToolCallId>,
}

impl Calls {
    /// The call, if it runs.
    pub(super) fn open(&mut self, id: &ToolCallId) -> Option<&mut Call> {
        self.open.iter_mut().find(|call| call.id == *id)
    }

    /// Whether the call is over already.
    pub(super) fn is_finished(&self, id: &ToolCallId) -> bool {
        self.finished.contains(id)
    }

    /// The call begins (again).
    pub(super) fn start(&mut self, id: ToolCallId, input: Value) -> &mut Call {
        self.finished.remove(&id);
        self.open.push(Call {
            id,
            input,
            output: Tail::default(),
            shown_at_ms: None,
        });
        self.open.last_mut().expect("it was just pushed")
    }

    /// The call is over. Returns its arguments, if it had begun.
    pub(super) fn finish(&mut self, id: &ToolCallId) -> Option<Value> {
        let position = self.open.iter().position(|call| call.id == *id)?;
        self.finished.insert(id.clone());
        Some(self.open.remove(position).input)
    }

    /// Takes what still runs.
    pub(super) fn take_open(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.open)
    }
}

/// The end of a growing text.
#[derive(Debug, Default)]
struct Tail {
    text: String,
    cut: bool,
}

impl Tail {
    fn push(&mut self, delta: &str) {
        self.text.push_str(delta);
        // Trimmed only now and then: `shown` cuts to the exact length.
        if self.text.len() > 2 * MAX_TAIL {
            self.text.drain(..end_of(&self.text, MAX_TAIL));
            self.cut = true;
        }
    }

    fn shown(&self) -> String {
        let start = end_of(&self.text, MAX_TAIL);
        let marker = if self.cut || start > 0 { "…\n" } else { "" };
        format!("{marker}{}", &self.text[start..])
    }
}

/// Where the last `limit` bytes of `text` begin, or a little later, between characters.
fn end_of(text: &str, limit: usize) -> usize {
    ceil_boundary(text, text.len().saturating_sub(limit))
}

/// The output of a finished call, without its middle if it is very long.
pub(super) fn complete_output(output: &str) -> String {
    if output.len() <= MAX_OUTPUT {
        return output.to_owned();
    }
    let head = floor_boundary(output, MAX_OUTPUT / 2);
    let tail = end_of(output, MAX_OUTPUT / 2);
    format!(
        "{}\n… {} bytes left out …\n{}",
        &output[..head],
        tail - head,
        &output[tail..]
    )
}

/// What kind of text a sub-agent's block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildKind {
    Text,
    Thinking,
}

/// What a sub-agent says in one block. It is sent whole when it is complete: the platform has no
/// deltas for it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) block: BlockId,
    pub(super) kind: ChildKind,
    pub(super) parent: ToolCallId,
    pub(super) at_ms: u64,
    content: String,
    left_out: usize,
}

impl Child {
    fn push(&mut self, delta: &str) {
        let room = MAX_CHILD - self.content.len();
        let fits = if self.left_out > 0 {
            0
        } else {
            floor_boundary(delta, room)
        };
        self.content.push_str(&delta[..fits]);
        self.left_out += delta.len() - fits;
    }

    /// Its whole text.
    pub(super) fn into_content(self) -> String {
        if self.left_out == 0 {
            return self.content;
        }
        format!("{}\n… {} bytes left out …", self.content, self.left_out)
    }
}

/// What sub-agents are saying.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<Child>);

impl Children {
    /// More of a block, which begins with this if it is not known yet.
    pub(super) fn push(
        &mut self,
        block: &BlockId,
        kind: ChildKind,
        parent: &ToolCallId,
        delta: &str,
        at_ms: u64,
    ) {
        let known = self
            .0
            .iter()
            .position(|child| child.block == *block && child.kind == kind);
        let index = known.unwrap_or_else(|| {
            self.0.push(Child {
                block: block.clone(),
                kind,
                parent: parent.clone(),
                at_ms,
                content: String::new(),
                left_out: 0,
            });
            self.0.len() - 1
        });
        self.0[index].push(delta);
    }

    /// The block is complete.
    pub(super) fn end(&mut self, block: &BlockId) -> Vec<Child> {
        self.0
            .extract_if(.., |child| child.block == *block)
            .collect()
    }

    /// Takes what is not complete yet.
    pub(super) fn take_open(&mut self) -> Vec<Child> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            id: ToolCallId::new("c").unwrap(),
            input: Value::Null,
            output: Tail::default(),
            shown_at_ms: None,
        }
    }

    #[test]
    fn running_output_is_shown_at_once_and_then_at_intervals() {
        let mut call = call();
        assert_eq!(call.output("a", 1000).as_deref(), Some("a"));
        assert_eq!(call.output("b", 1199), None);
        assert_eq!(call.output("c", 1200).as_deref(), Some("abc"));
        // A clock that steps back only delays.
        assert_eq!(call.output("d", 500), None);
        assert_eq!(call.shown().as_deref(), Some("abcd"));
    }

    #[test]
    fn a_tail_is_the_same_however_its_text_came() {
        let text = "0123456789é\u{1F600}".repeat(5000);
        let mut whole = Tail::default();
        whole.push(&text);
        let mut bit_by_bit = Tail::default();
        for letter in text.chars() {
            bit_by_bit.push(letter.encode_utf8(&mut [0; 4]));
        }
        assert_eq!(whole.shown(), bit_by_bit.shown());
        let shown = whole.shown();
        let rest = shown
            .strip_prefix("…\n")
            .expect("the beginning was cut, and says so");
        assert!(text.ends_with(rest));
        assert!(rest.len() <= MAX_TAIL && rest.len() > MAX_TAIL - 4);
    }

    #[test]
    fn long_output_loses_its_middle_and_says_how_much() {
        let short = "x".repeat(MAX_OUTPUT);
        assert_eq!(complete_output(&short), short);
        let long = format!("begin{}end", "é".repeat(MAX_OUTPUT));
        let sent = complete_output(&long);
        assert!(sent.starts_with("begin") && sent.ends_with("end"));
        assert!(sent.len() < MAX_OUTPUT + 64);
        let (head, rest) = sent.split_once("\n… ").unwrap();
        let (figure, tail) = rest.split_once(" bytes left out …\n").unwrap();
        assert_eq!(
            head.len() + figure.parse::<usize>().unwrap() + tail.len(),
            long.len()
        );
    }
}
