//! The one rule for text that turns out to be void.
//!
//! A model's stream can break in mid-sentence. The agent's CLI then asks again and the new attempt
//! starts from the beginning, while the person has already read half of the old one. What was shown
//! can't be taken back, so for every agent the same holds:
//!
//! * the new attempt is compared with what was shown; an equal beginning is swallowed;
//! * from the first difference on it is shown, after a blank line and a notice;
//! * what an agent's CLI reports as the *complete* message is the truth; deltas are only a preview of it;
//! * two messages without a tool call between them are parted by a blank line, which is part of the text.
//!
//! So the shown text only ever grows, and its reader needs no other rule than "append".
//!
//! ```
//! use agent_core::void_text::{AnswerText, Piece};
//! use agent_core::BlockId;
//!
//! let (first, second) = (BlockId::new("m1").unwrap(), BlockId::new("m2").unwrap());
//! let mut answer = AnswerText::default();
//! assert_eq!(answer.delta(&first, "Hello wor"), [Piece::Text("Hello wor".into())]);
//! // The stream breaks; the second attempt says the same and goes on.
//! assert_eq!(answer.delta(&second, "Hello "), []);
//! assert_eq!(answer.delta(&second, "world!"), [Piece::Text("ld!".into())]);
//! ```

use crate::{AgentEvent, BlockId, Notice, NoticeKind};

/// Something to show next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text to append.
    Text(String),
    /// The stream broke and what follows differs from what was shown: say so, as a paragraph of its own.
    Restarted,
}

/// What the person reads where a broken stream was taken up again with other words.
const RESTARTED: &str =
    "The connection to the model broke here. What follows is from a new attempt.";

/// Pieces of message `block` as events of the agent's answer.
pub fn events(block: &BlockId, pieces: Vec<Piece>) -> Vec<AgentEvent> {
    let event = |piece| match piece {
        Piece::Text(delta) => AgentEvent::Text {
            block: block.clone(),
            parent: None,
            delta,
        },
        Piece::Restarted => restarted(),
    };
    pieces.into_iter().map(event).collect()
}

/// The notice that what follows is from a new attempt.
pub fn restarted() -> AgentEvent {
    AgentEvent::Notice(Notice {
        kind: NoticeKind::TextRestarted,
        text: RESTARTED.to_owned(),
    })
}

/// What is to follow the text shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// Nothing was shown since the start, or a tool call or a notice stands between.
    #[default]
    Nothing,
    /// Text was shown that ended with this many line breaks.
    Text { trailing_newlines: usize },
}

/// A message that is being written.
#[derive(Clone, Debug)]
struct Open {
    block: BlockId,
    /// The message as the person could reconstruct it: what was shown of it, swallowed beginnings included.
    text: String,
    /// While a new attempt repeats `text`: how many bytes of it have been matched so far.
    matching: Option<usize>,
}

/// Turns messages that stream, break and start over into text that only grows.
///
/// One instance per turn and per kind of text (answer, reasoning).
#[derive(Clone, Debug, Default)]
pub struct AnswerText {
    open: Option<Open>,
    before: Before,
    last_complete: Option<String>,
}

impl AnswerText {
    /// More of message `block` arrived.
    pub fn delta(&mut self, block: &BlockId, delta: &str) -> Vec<Piece> {
        if delta.is_empty() {
            return Vec::new();
        }
        self.begin(block);
        let open = self.open.as_mut().expect("begin opened it");
        match open.matching {
            None => {
                let first = open.text.is_empty();
                open.text.push_str(delta);
                self.show(delta, first)
            }
            Some(matched) => self.compare(matched, delta),
        }
    }

    /// Message `block` is complete; `full` is the truth about it. Shows what the deltas left out.
    pub fn complete(&mut self, block: &BlockId, full: &str) -> Vec<Piece> {
        if full.is_empty() && self.open.as_ref().is_none_or(|open| open.block != *block) {
            return Vec::new();
        }
        self.begin(block);
        let open = self.open.take().expect("begin opened it");
        self.last_complete = Some(full.to_owned());
        let equal = common_prefix(&open.text, full);
        if equal == open.text.len() {
            return self.show(&full[equal..], open.text.is_empty());
        }
        let mut pieces = vec![Piece::Restarted];
        self.before = Before::Nothing;
        pieces.extend(self.show(&full[equal..], false));
        pieces
    }

    /// A tool call is shown next. Text that was still being written is void from now on: it is not
    /// compared with anything later, and if it has not been completed the notice says so.
    pub fn block(&mut self) -> Vec<Piece> {
        let void = self.open.take().is_some_and(|open| !open.text.is_empty());
        self.before = Before::Nothing;
        if void {
            vec![Piece::Restarted]
        } else {
            Vec::new()
        }
    }

    /// The last message that was completed: the confirmed final answer.
    pub fn final_answer(&self) -> Option<&str> {
        self.last_complete.as_deref()
    }

    fn begin(&mut self, block: &BlockId) {
        match &mut self.open {
            Some(open) if open.block == *block => {}
            // The message before was never completed: this is another attempt at it.
            Some(open) => {
                open.block = block.clone();
                open.matching = Some(0);
            }
            None => {
                self.open = Some(Open {
                    block: block.clone(),
                    text: String::new(),
                    matching: None,
                });
            }
        }
    }

    fn compare(&mut self, matched: usize, delta: &str) -> Vec<Piece> {
        let open = self
            .open
            .as_mut()
            .expect("a message is compared only while it is open");
        let equal = common_prefix(&open.text[matched..], delta);
        let rest = &delta[equal..];
        let position = matched + equal;
        if rest.is_empty() {
            open.matching = Some(position);
            return Vec::new();
        }
        open.matching = None;
        if position == open.text.len() {
            open.text.push_str(rest);
            return self.show(rest, false);
        }
        open.text.truncate(position);
        open.text.push_str(rest);
        let mut pieces = vec![Piece::Restarted];
        self.before = Before::Nothing;
        pieces.extend(self.show(rest, false));
        pieces
    }

    /// Shows `text`; if it is the `first` of its message, with a blank line before it where another
    /// message stands directly above.
    fn show(&mut self, text: &str, first: bool) -> Vec<Piece> {
        if text.is_empty() {
            return Vec::new();
        }
        let gap = match self.before {
            Before::Text { trailing_newlines } if first => 2usize.saturating_sub(trailing_newlines),
            _ => 0,
        };
        let mut shown = "\n".repeat(gap);
        shown.push_str(text);
        let trailing = shown.len() - shown.trim_end_matches('\n').len();
        let trailing_newlines = match self.before {
            // A delta of nothing but line breaks adds to those that were there.
            Before::Text { trailing_newlines } if trailing == shown.len() => {
                trailing_newlines + trailing
            }
            _ => trailing,
        };
        self.before = Before::Text { trailing_newlines };
        vec![Piece::Text(shown)]
    }
}

/// The length in bytes of the longest common beginning, on a character boundary.
fn common_prefix(left: &str, right: &str) -> usize {
    left.chars()
        .zip(right.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum()
}
