//! A text without its line breaks, and the way back.

use std::{borrow::Cow, ops::Range};

/// A text without its line breaks.
pub(crate) struct Squeezed<'a> {
    bytes: Cow<'a, [u8]>,
    original_len: usize,
    /// For every run of line breaks that was left out: where it was in the squeezed text, and how many bytes had been left out
    /// after it, all in all.
    gaps: Vec<(usize, usize)>,
}

impl<'a> Squeezed<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut breaks = memchr::memchr2_iter(b'\n', b'\r', bytes);
        let Some(first) = breaks.next() else {
            return Self::unchanged(text);
        };
        let mut squeezed = Vec::with_capacity(bytes.len());
        let mut gaps: Vec<(usize, usize)> = Vec::new();
        let mut from = 0;
        for at in std::iter::once(first).chain(breaks) {
            squeezed.extend_from_slice(&bytes[from..at]);
            from = at + 1;
            let left_out = from - squeezed.len();
            match gaps.last_mut() {
                Some(last) if last.0 == squeezed.len() => last.1 = left_out,
                _ => gaps.push((squeezed.len(), left_out)),
            }
        }
        squeezed.extend_from_slice(&bytes[from..]);
        Self {
            bytes: Cow::Owned(squeezed),
            original_len: bytes.len(),
            gaps,
        }
    }

    /// A text with its line breaks, as if they were none.
    pub(crate) fn unchanged(text: &'a str) -> Self {
        Self {
            bytes: Cow::Borrowed(text.as_bytes()),
            original_len: text.len(),
            gaps: Vec::new(),
        }
    }

    /// The text without line breaks.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length with line breaks.
    pub(crate) fn original_len(&self) -> usize {
        self.original_len
    }

    /// Where bytes of the squeezed text lie in the original. `range` is not empty.
    pub(crate) fn original(&self, range: Range<usize>) -> Range<usize> {
        self.original_place(range.start)..self.original_place(range.end - 1) + 1
    }

    fn original_place(&self, at: usize) -> usize {
        let before = self.gaps.partition_point(|&(place, _)| place <= at);
        at + before.checked_sub(1).map_or(0, |gap| self.gaps[gap].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_skips_what_was_left_out() {
        let squeezed = Squeezed::new("\nab\r\n\ncd\n");
        assert_eq!(squeezed.bytes(), b"abcd");
        assert_eq!(squeezed.original(0..2), 1..3);
        assert_eq!(squeezed.original(1..3), 2..7);
        assert_eq!(squeezed.original(2..4), 6..8);
        assert_eq!(squeezed.original_len(), 9);
    }

    #[test]
    fn a_text_of_one_line_is_not_copied() {
        assert!(matches!(Squeezed::new("abc").bytes, Cow::Borrowed(_)));
    }
}
