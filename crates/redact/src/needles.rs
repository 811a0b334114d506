//! The search: an immutable, sorted set of needles and where they cover a text.

use std::{borrow::Cow, ops::Range, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use crate::placeholder;

/// Words of a bit map with one bit per pair of bytes.
const PAIR_WORDS: usize = (1 << 16) / 64;

/// The secrets at one moment.
pub(crate) struct Needles {
    /// Counts the additions that led here.
    pub(crate) generation: u64,
    /// What is put where a secret was.
    pub(crate) placeholder: Cow<'static, str>,
    /// Sorted by bytes, each once. So needles with a common beginning are neighbours, the shortest first.
    sorted: Vec<Arc<SecretString>>,
    /// The first two bytes of every needle.
    pairs: Box<[u64; PAIR_WORDS]>,
    /// The first byte of every needle, for the last byte of a text.
    firsts: [u64; 4],
}

/// Where a text is covered by needles.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Covered bytes, in order; runs neither overlap nor touch.
    pub(crate) runs: Vec<Range<usize>>,
    /// From here to its end, the text is the proper beginning of a needle. The text's length if there is none.
    pub(crate) open_from: usize,
}

/// What begins at one place of a text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The length of the longest needle that lies there whole.
    longest: Option<usize>,
    /// Whether the text ends within a needle that begins there.
    open: bool,
}

impl Needles {
    pub(crate) fn empty() -> Self {
        Self {
            generation: 0,
            placeholder: Cow::Borrowed(placeholder::PLACEHOLDER),
            sorted: Vec::new(),
            pairs: Box::new([0; PAIR_WORDS]),
            firsts: [0; 4],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The set with `needle` in it; `None` if it is in it already. `needle` has at least two bytes.
    pub(crate) fn with(&self, needle: SecretString) -> Option<Self> {
        let bytes = bytes(&needle);
        let place = self
            .sorted
            .binary_search_by(|other| self::bytes(other).cmp(bytes))
            .err()?;
        let (first, second) = (bytes[0], bytes[1]);
        let mut sorted = Vec::with_capacity(self.sorted.len() + 1);
        sorted.extend_from_slice(&self.sorted[..place]);
        sorted.push(Arc::new(needle));
        sorted.extend_from_slice(&self.sorted[place..]);

        let (mut pairs, mut firsts) = (self.pairs.clone(), self.firsts);
        let pair = usize::from(u16::from_be_bytes([first, second]));
        pairs[pair / 64] |= 1 << (pair % 64);
        firsts[usize::from(first) / 64] |= 1 << (first % 64);
        Some(Self {
            generation: self.generation + 1,
            placeholder: placeholder::choose(sorted.iter().map(|secret| secret.expose_secret())),
            sorted,
            pairs,
            firsts,
        })
    }

    /// Where `text` is covered, and from where on it must wait for what follows.
    pub(crate) fn cover(&self, text: &[u8]) -> Coverage {
        let mut coverage = Coverage {
            runs: Vec::new(),
            open_from: text.len(),
        };
        if self.sorted.is_empty() {
            return coverage;
        }
        let mut from = 0;
        while let Some(start) = self.next_candidate(text, from) {
            let found = self.probe(&text[start..]);
            if found.open {
                coverage.open_from = coverage.open_from.min(start);
            }
            if let Some(length) = found.longest {
                coverage.add(start..start + length);
            }
            from = start + 1;
        }
        coverage
    }

    /// The next place at which a needle may begin.
    fn next_candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = &text[from..];
        if let Some(offset) = rest.windows(2).position(|pair| {
            let pair = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
            self.pairs[pair / 64] & (1 << (pair % 64)) != 0
        }) {
            return Some(from + offset);
        }
        let last = *rest.last()?;
        let may_begin = self.firsts[usize::from(last) / 64] & (1 << (last % 64)) != 0;
        may_begin.then_some(text.len() - 1)
    }

    /// What begins at the start of `text`: narrows the sorted needles byte by byte.
    fn probe(&self, text: &[u8]) -> Found {
        let mut found = Found::default();
        let mut range = self.sorted.as_slice();
        let mut depth = 0;
        loop {
            if let [only] = range {
                let rest = &bytes(only)[depth..];
                let text = &text[depth..];
                if text.starts_with(rest) {
                    found.longest = Some(depth + rest.len());
                } else {
                    found.open = rest.starts_with(text);
                }
                return found;
            }
            // All of `range` begins with `text[..depth]`; a needle of just that length comes first.
            if let Some((first, longer)) = range.split_first()
                && bytes(first).len() == depth
            {
                found.longest = Some(depth);
                range = longer;
                continue;
            }
            let Some(&next) = text.get(depth) else {
                found.open = !range.is_empty();
                return found;
            };
            let start = range.partition_point(|needle| bytes(needle)[depth] < next);
            let end = range.partition_point(|needle| bytes(needle)[depth] <= next);
            range = &range[start..end];
            if range.is_empty() {
                return found;
            }
            depth += 1;
        }
    }
}

impl Coverage {
    /// Adds a run that begins no earlier than those before it.
    fn add(&mut self, run: Range<usize>) {
        match self.runs.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => self.runs.push(run),
        }
    }
}

fn bytes(needle: &SecretString) -> &[u8] {
    needle.expose_secret().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(secrets: &[&str]) -> Needles {
        secrets.iter().fold(Needles::empty(), |set, &secret| {
            set.with(secret.into()).expect("distinct")
        })
    }

    #[test]
    fn probe_finds_the_longest_and_sees_open_ends() {
        let set = needles(&["abcdef", "abcdefghi", "abcxyz"]);
        let probe = |text: &str| {
            let found = set.probe(text.as_bytes());
            (found.longest, found.open)
        };
        assert_eq!(probe("abcdef"), (Some(6), true));
        assert_eq!(probe("abcdefgh!"), (Some(6), false));
        assert_eq!(probe("abcdefghi"), (Some(9), false));
        assert_eq!(probe("abcx"), (None, true));
        assert_eq!(probe("abd"), (None, false));
    }

    #[test]
    fn runs_of_overlapping_and_touching_needles_are_one() {
        let set = needles(&["abcdef", "defghi"]);
        let coverage = set.cover(b"..abcdefghiabcdef..abcd");
        assert_eq!(coverage.runs, [Range { start: 2, end: 17 }]);
        assert_eq!(coverage.open_from, 19);
    }

    #[test]
    fn a_single_last_byte_may_begin_a_needle() {
        assert_eq!(needles(&["abcdef"]).cover(b"xxa").open_from, 2);
        assert_eq!(needles(&["abcdef"]).cover(b"xxb").open_from, 3);
    }
}
