//! Merging text chunks by their offset, as the web UI does.

/// How a chunk related to the text that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// It began where the text ended.
    Appended,
    /// It repeated text, and perhaps went on.
    Overlap,
    /// It began beyond the end.
    Gap { length: u64 },
    /// It contradicted the text; what was there from the offset on is replaced.
    Mismatch,
}

/// A text with its length in code points, so that appending stays cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    text: String,
    length: u64,
}

impl Text {
    pub(super) fn into_string(self) -> String {
        self.text
    }

    /// Merges a chunk in. Gives what was added to the end, and how the chunk related to the text.
    pub(super) fn merge<'d>(&mut self, offset: u64, delta: &'d str) -> (&'d str, Merge) {
        let length = self.length;
        if offset >= length {
            self.push(delta);
            return (
                delta,
                if offset == length {
                    Merge::Appended
                } else {
                    Merge::Gap { length }
                },
            );
        }
        let start = self.byte_of(offset);
        let shown = &self.text[start..];
        if shown.starts_with(delta) {
            return ("", Merge::Overlap);
        }
        if let Some(rest) = delta.strip_prefix(shown) {
            self.push(rest);
            return (rest, Merge::Overlap);
        }
        self.text.truncate(start);
        self.length = offset;
        self.push(delta);
        (delta, Merge::Mismatch)
    }

    pub(super) fn push(&mut self, delta: &str) {
        self.text.push_str(delta);
        self.length += delta.chars().count() as u64;
    }

    fn byte_of(&self, offset: u64) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.text
            .char_indices()
            .nth(offset)
            .map_or(self.text.len(), |(byte, _)| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(chunks: &[(u64, &str)]) -> (String, Merge) {
        let mut text = Text::default();
        let mut last = Merge::Appended;
        for (offset, delta) in chunks {
            last = text.merge(*offset, delta).1;
        }
        (text.into_string(), last)
    }

    #[test]
    fn chunks_merge_by_code_points() {
        type Case = (
            &'static str,
            &'static [(u64, &'static str)],
            &'static str,
            Merge,
        );
        let cases: [Case; 6] = [
            (
                "in order",
                &[(0, "你好"), (2, "!")],
                "你好!",
                Merge::Appended,
            ),
            ("equal", &[(0, "你好"), (1, "好")], "你好", Merge::Overlap),
            (
                "overlap",
                &[(0, "你好"), (1, "好的")],
                "你好的",
                Merge::Overlap,
            ),
            ("gap", &[(0, "a"), (5, "b")], "ab", Merge::Gap { length: 1 }),
            (
                "mismatch",
                &[(0, "abcdef"), (2, "X")],
                "abX",
                Merge::Mismatch,
            ),
            (
                "start anew",
                &[(0, "abc"), (0, "xyz")],
                "xyz",
                Merge::Mismatch,
            ),
        ];
        for (name, chunks, text, last) in cases {
            assert_eq!(merged(chunks), (text.to_owned(), last), "{name}");
        }
    }
}
