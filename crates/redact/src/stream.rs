//! One text, taken piece by piece.

use std::{borrow::Cow, fmt, mem, sync::Arc};

use crate::{Secrets, needles::Needles, shape::Context};

/// Redacts one text that arrives piece by piece.
///
/// Between pushes it keeps only the end of the text that may be the beginning of a secret.
#[derive(Clone)]
pub struct Stream {
    secrets: Secrets,
    needles: Arc<Needles>,
    /// The end of the input from the first byte on at which a secret may have begun.
    tail: String,
    /// What is known where `tail` begins.
    context: Context,
    /// How many bytes of `tail` are out already, as themselves after a flush or as a placeholder.
    released: usize,
    /// Whether the output ends with a placeholder that stands for whatever is covered right after it too.
    in_run: bool,
}

impl Stream {
    /// A stream at the beginning of a text.
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            secrets: secrets.clone(),
            needles: secrets.snapshot(),
            tail: String::new(),
            context: Context::default(),
            released: 0,
            in_run: false,
        }
    }

    /// Takes the next piece of the text and returns what can be shown now. Borrowed from `text` where possible.
    pub fn push<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        self.advance(text, Held::Keep)
    }

    /// Returns all that is held back, although the text may go on.
    ///
    /// The end of the text is still remembered: if what follows completes a secret, the remainder is replaced.
    /// So a proper beginning of a secret may show, a whole one never. After a flush a new placeholder is put
    /// even if the secret before it goes on, so that the pieces between flushes are safe by themselves.
    pub fn flush(&mut self) -> String {
        let rest = self.advance("", Held::Release).into_owned();
        self.in_run = false;
        rest
    }

    /// Returns all that is held back. The stream is at the beginning of a new text afterwards.
    pub fn finish(&mut self) -> String {
        let rest = self.flush();
        self.tail.clear();
        self.context = Context::default();
        self.released = 0;
        rest
    }

    /// Whether some text is held back.
    pub fn is_holding(&self) -> bool {
        self.released < self.tail.len()
    }

    /// The output for a text that is this one piece.
    pub(crate) fn into_finished(mut self, text: &str) -> Cow<'_, str> {
        self.advance(text, Held::Release)
    }

    fn advance<'a>(&mut self, text: &'a str, held: Held) -> Cow<'a, str> {
        self.secrets.refresh(&mut self.needles);
        if self.tail.is_empty() {
            return self.advance_over(text, held);
        }
        let mut joined = mem::take(&mut self.tail);
        joined.push_str(text);
        Cow::Owned(self.advance_over(&joined, held).into_owned())
    }

    /// Releases what it may of `text`, which begins with what was the tail, and remembers the new tail.
    fn advance_over<'a>(&mut self, text: &'a str, held: Held) -> Cow<'a, str> {
        let coverage = self.needles.cover(self.context, text);
        let limit = match held {
            Held::Keep => coverage.open_from,
            Held::Release => text.len(),
        };
        let mut output = Cow::Borrowed("");
        let mut done = self.released;
        for run in coverage.runs {
            if run.end <= done {
                continue;
            }
            // What lies before the run must be out first.
            if run.start > limit && run.start > done {
                break;
            }
            if run.start > done {
                append(&mut output, &text[done..run.start]);
                self.in_run = false;
            }
            if !self.in_run {
                output.to_mut().push_str(&self.needles.placeholder);
                self.in_run = true;
            }
            done = run.end;
        }
        if done < limit {
            append(&mut output, &text[done..limit]);
            self.in_run = false;
            done = limit;
        }
        // Never before the tail: what is released reaches at least to where the tail begins.
        self.released = done.saturating_sub(coverage.open_from);
        self.tail.push_str(&text[coverage.open_from..]);
        self.context = coverage.context;
        output
    }
}

/// What happens to text that may be the beginning of a secret.
#[derive(Clone, Copy)]
enum Held {
    Keep,
    Release,
}

/// Appends without a copy while there is only one piece.
fn append<'a>(output: &mut Cow<'a, str>, piece: &'a str) {
    if output.is_empty() {
        *output = Cow::Borrowed(piece);
    } else {
        output.to_mut().push_str(piece);
    }
}

/// Shows how much is held back, not what.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("tail", &self.tail.len())
            .field("released", &self.released)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
