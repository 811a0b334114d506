//! Secrets that are recognised by their shape: tokens with a prefix of their own, JSON web tokens, private keys.
//!
//! Only shapes that can't be code are here: what is covered is gone from answers and diffs too. A shape is *certain* from some
//! character on; from there it goes on as long as its characters do, however long that is, so nothing is held back for its end.

mod kinds;

use std::ops::Range;

use kinds::{Class, Going, LONGEST_PREFIX, SHAPES, Unclear, may_begin, next};

/// What is known of a text at one place from what lies before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// The two bytes before, the nearer one last; 0 where there is none.
    before: [u8; 2],
    /// The shape that is certain already and may go on here.
    going: Option<Going>,
}

/// A certain shape in a text.
#[derive(Debug)]
struct Match {
    /// The covered bytes.
    run: Range<usize>,
    /// From here on it is certain.
    certain_from: usize,
    /// How it goes on from there.
    going: Going,
    /// Where the signature of a web token begins, if it is there.
    signature: Option<usize>,
}

/// The shapes in a text.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    matches: Vec<Match>,
    /// From here to its end, the text may be the beginning of a shape.
    pub(crate) open_from: usize,
}

impl Shapes {
    /// Finds the shapes in `text`, which `context` leads to.
    pub(crate) fn find(context: Context, text: &[u8]) -> Self {
        let mut found = Self {
            matches: Vec::new(),
            open_from: text.len(),
        };
        let mut from = 0;
        if let Some(going) = context.going {
            let goes_on = going.follow(text, 0);
            from = goes_on.run.end;
            found.matches.push(goes_on);
        }
        while let Some((start, shape)) = next(text, from) {
            from = start + 1;
            if !shape.may_follow(context.before_at(text, start)) {
                continue;
            }
            match shape.certain_after(&text[start..]) {
                Ok((length, going)) => {
                    let mut certain = going.follow(text, start + length);
                    certain.run.start = start;
                    from = certain.run.end;
                    found.matches.push(certain);
                }
                Err(Unclear::Open) => found.open_from = found.open_from.min(start),
                Err(Unclear::No) => {}
            }
        }
        found.open_from = found.open_from.min(open_prefix(context, text, from));
        found
    }

    /// The covered bytes, in order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        self.matches
            .iter()
            .map(|certain| certain.run.clone())
            .filter(|run| !run.is_empty())
    }

    /// The last place not after `at` that can be gone on from, and what is known there.
    pub(crate) fn resume(&self, context: Context, text: &[u8], at: usize) -> (usize, Context) {
        let within = self.matches.iter().find(|certain| {
            certain.run.start < at && at <= certain.run.end || certain.run.start == at && at == 0
        });
        let (at, going) = match within {
            Some(certain) if at < certain.certain_from => (certain.run.start, None),
            // It ended before the text did.
            Some(certain) if at == certain.run.end && at < text.len() => (at, None),
            Some(certain) => (at, Some(certain.going_at(at))),
            None => (at, None),
        };
        let before = context.before_at(text, at);
        (at, Context { before, going })
    }
}

impl Match {
    fn going_at(&self, at: usize) -> Going {
        match self.signature {
            Some(signature) if at >= signature => Going::Run(Class::Dashed),
            _ => self.going,
        }
    }
}

impl Going {
    /// How far a certain shape goes on in `text`, from `at` on.
    fn follow(self, text: &[u8], at: usize) -> Match {
        let class = match self {
            Self::Run(class) => class,
            Self::Claims => Class::Dashed,
        };
        let mut end = at + class.run(&text[at..], usize::MAX);
        let mut signature = None;
        if self == Self::Claims && text.get(end) == Some(&b'.') {
            signature = Some(end + 1);
            end += 1 + class.run(&text[end + 1..], usize::MAX);
        }
        Match {
            run: at..end,
            certain_from: at,
            going: self,
            signature,
        }
    }
}

impl Context {
    /// The two bytes before `at` in `text`, which this leads to.
    fn before_at(self, text: &[u8], at: usize) -> [u8; 2] {
        match at {
            0 => self.before,
            1 => [self.before[1], text[0]],
            _ => [text[at - 2], text[at - 1]],
        }
    }
}

/// From where on, but not before `from`, the text ends within a prefix.
fn open_prefix(context: Context, text: &[u8], from: usize) -> usize {
    let first = from.max(text.len().saturating_sub(LONGEST_PREFIX - 1));
    (first..text.len())
        .find(|&at| {
            let rest = &text[at..];
            may_begin(rest)
                && SHAPES.iter().any(|shape| {
                    shape.may_begin_as(rest) && shape.may_follow(context.before_at(text, at))
                })
        })
        .unwrap_or(text.len())
}
