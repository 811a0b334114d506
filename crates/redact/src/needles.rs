//! The needles at one moment, and where they cover a text.
//!
//! Line breaks don't count: a text is searched without its own. Only the few needles that have line breaks themselves are
//! sought in the text as it is.

use std::{borrow::Cow, mem, ops::Range};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    forms::is_line_break,
    placeholder, runs,
    search::Search,
    shape::{Context, Shapes},
    squeeze::Squeezed,
};

/// The secrets at one moment, with their encoded forms.
pub(crate) struct Needles {
    /// Counts the additions that led here.
    pub(crate) generation: u64,
    /// What is put where a secret was.
    pub(crate) placeholder: Cow<'static, str>,
    /// For needles without line breaks, in texts without theirs.
    across_breaks: Option<Search>,
    /// For needles with line breaks, in texts as they are.
    with_breaks: Option<Search>,
}

/// Where a text is covered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Covered bytes, in order; runs neither overlap nor touch.
    pub(crate) runs: Vec<Range<usize>>,
    /// From here to its end, the text may be the beginning of a secret. The text's length if there is none.
    pub(crate) open_from: usize,
    /// What is known there.
    pub(crate) context: Context,
}

impl Needles {
    /// The set of these needles, which have [`MIN_LENGTH`](crate::MIN_LENGTH) bytes or more.
    pub(crate) fn new(generation: u64, needles: impl Iterator<Item = SecretString>) -> Self {
        let needles: Vec<SecretString> = needles.collect();
        let placeholder = placeholder::choose(needles.iter().map(ExposeSecret::expose_secret));
        let (with_breaks, others) = needles
            .into_iter()
            .partition(|needle| needle.expose_secret().contains(is_line_break));
        Self {
            generation,
            placeholder,
            across_breaks: Search::of(others),
            with_breaks: Search::of(with_breaks),
        }
    }

    /// Where `text`, which `context` leads to, is covered, and from where on it must wait for what follows.
    pub(crate) fn cover(&self, context: Context, text: &str) -> Coverage {
        let shapes = Shapes::find(context, text.as_bytes());
        let mut coverage = Coverage {
            runs: shapes.runs().collect(),
            open_from: shapes.open_from,
            context: Context::default(),
        };
        if let Some(search) = &self.across_breaks {
            coverage.extend(search, &Squeezed::new(text));
        }
        if let Some(search) = &self.with_breaks {
            coverage.extend(search, &Squeezed::unchanged(text));
        }
        (coverage.open_from, coverage.context) =
            shapes.resume(context, text.as_bytes(), coverage.open_from);
        coverage
    }
}

impl Coverage {
    /// Covers what `search` finds, too.
    fn extend(&mut self, search: &Search, text: &Squeezed<'_>) {
        self.runs = runs::merged(search.find(text), mem::take(&mut self.runs));
        self.open_from = self.open_from.min(search.open_from(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(secrets: &[&str]) -> Needles {
        Needles::new(0, secrets.iter().map(|&secret| secret.into()))
    }

    fn cover(needles: &Needles, text: &str) -> Coverage {
        needles.cover(Context::default(), text)
    }

    #[test]
    fn runs_of_overlapping_and_touching_needles_are_one() {
        let set = needles(&["abcdefgh", "fghijklm"]);
        let coverage = cover(&set, "..abcdefghijklmabcdefgh..abcd");
        assert_eq!(coverage.runs, [Range { start: 2, end: 23 }]);
        assert_eq!(coverage.open_from, 25);
    }

    #[test]
    fn a_needle_with_line_breaks_is_found_with_just_these() {
        let set = needles(&["abc\ndef\ng", "hunter22"]);
        let coverage = cover(&set, "abc\ndef\ngabcdefg abc\r\ndef\ng hun\nter22 abc\nd");
        assert_eq!(coverage.runs, [0..9, 28..37]);
        assert_eq!(coverage.open_from, 38);
    }

    #[test]
    fn a_single_last_byte_may_begin_a_needle() {
        let set = needles(&["abcdefgh"]);
        assert_eq!(cover(&set, "xxa").open_from, 2);
        assert_eq!(cover(&set, "xxb").open_from, 3);
    }

    #[test]
    fn a_needle_is_found_at_every_place_and_across_line_breaks() {
        let set = needles(&["abcdefgh"]);
        for before in 0..12 {
            let text = format!("{}\nabc\r\ndef\ngh\n", ".".repeat(before));
            let runs = cover(&set, &text).runs;
            assert_eq!(
                (runs.len(), &runs[0]),
                (1, &(before + 1..before + 12)),
                "{text:?}"
            );
        }
    }
}
