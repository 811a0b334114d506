//! The search for needles in one text.
//!
//! A needle has at least [`MIN_LENGTH`] bytes. So of every [`STRIDE`]th place of a text, one lies at most `STRIDE - 1` bytes
//! after a needle's beginning, and the [`GRAM`] bytes there are bytes of the needle. Only those places are looked at: a bit
//! map tells nearly all of them from the needles' bytes at once, a table tells where a needle would have begun, and only there
//! the sorted needles are searched.

use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

use crate::{MIN_LENGTH, runs, squeeze::Squeezed};

/// How many bytes of a text are looked at at once.
const GRAM: usize = 4;
/// How far apart the places are that are looked at.
const STRIDE: usize = MIN_LENGTH - GRAM + 1;
/// Bits of a hash that pick a bit of [`Marks`].
const MARK_BITS: u32 = 18;
/// Bits of a hash that pick a bucket of [`Grams`].
const BUCKET_BITS: u32 = 14;

/// Needles, made ready to be found.
pub(crate) struct Search {
    /// Sorted by bytes, each once. So needles with a common beginning are neighbours, the shortest first.
    sorted: Vec<SecretString>,
    /// The length of the longest needle.
    longest: usize,
    /// Which bytes lie within the first [`MIN_LENGTH`] bytes of needles, and where.
    grams: Grams,
    /// The first bytes of needles.
    beginnings: Beginnings,
}

/// What begins at one place of a text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The length of the longest needle that lies there whole.
    longest: Option<usize>,
    /// Whether the text ends within a needle that begins there.
    open: bool,
}

impl Search {
    /// The search for these needles, which have [`MIN_LENGTH`] bytes or more. `None` if there are none.
    pub(crate) fn of(needles: Vec<SecretString>) -> Option<Self> {
        let mut sorted = needles;
        sorted.sort_unstable_by(|one, other| bytes(one).cmp(bytes(other)));
        sorted.dedup_by(|one, other| bytes(one) == bytes(other));
        Some(Self {
            longest: sorted.iter().map(|needle| bytes(needle).len()).max()?,
            grams: Grams::of(&sorted),
            beginnings: Beginnings::of(&sorted),
            sorted,
        })
    }

    /// The places that needles cover, in order; they neither overlap nor touch.
    pub(crate) fn find(&self, text: &Squeezed<'_>) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let bytes = text.bytes();
        for at in (0..(bytes.len() + 1).saturating_sub(GRAM)).step_by(STRIDE) {
            let here = gram(&bytes[at..]);
            if !self.grams.may_have(here) {
                continue;
            }
            for start in self.grams.starts(here, at) {
                if let Some(length) = self.probe(&bytes[start..]).longest {
                    runs::add(&mut runs, text.original(start..start + length));
                }
            }
        }
        runs
    }

    /// The first place from which on the text is the proper beginning of a needle.
    pub(crate) fn open_from(&self, text: &Squeezed<'_>) -> usize {
        let bytes = text.bytes();
        let first = (bytes.len() + 1).saturating_sub(self.longest);
        let open = (first..bytes.len()).find(|&at| {
            let rest = &bytes[at..];
            self.beginnings.may_have(rest) && self.probe(rest).open
        });
        match open {
            Some(at) => text.original(at..at + 1).start,
            None => text.original_len(),
        }
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

/// A bit map of hashes of grams.
struct Marks(Box<[u64]>);

impl Marks {
    fn new() -> Self {
        Self(vec![0; 1 << (MARK_BITS - 6)].into_boxed_slice())
    }

    fn mark(&mut self, gram: u32) {
        set(&mut self.0, hash(gram, MARK_BITS));
    }

    fn has(&self, gram: u32) -> bool {
        has(&self.0, hash(gram, MARK_BITS))
    }
}

/// How needles begin.
struct Beginnings {
    /// With which gram.
    grams: Marks,
    /// With which two bytes; a bit for each pair.
    pairs: Box<[u64]>,
    /// With which byte.
    firsts: [u64; 4],
}

impl Beginnings {
    fn of(needles: &[SecretString]) -> Self {
        let mut beginnings = Self {
            grams: Marks::new(),
            pairs: vec![0; (1 << 16) / 64].into_boxed_slice(),
            firsts: [0; 4],
        };
        for needle in needles {
            let bytes = bytes(needle);
            beginnings.grams.mark(gram(bytes));
            set(&mut beginnings.pairs, pair(bytes));
            set(&mut beginnings.firsts, bytes[0].into());
        }
        beginnings
    }

    /// `false` if no needle begins with the first bytes of `text`, which is not empty.
    fn may_have(&self, text: &[u8]) -> bool {
        match text {
            [first] => has(&self.firsts, usize::from(*first)),
            [_, _] | [_, _, _] => has(&self.pairs, pair(text)),
            _ => self.grams.has(gram(text)),
        }
    }
}

/// The first two bytes as a number.
fn pair(bytes: &[u8]) -> usize {
    u16::from_le_bytes([bytes[0], bytes[1]]).into()
}

fn set(bits: &mut [u64], bit: usize) {
    bits[bit / 64] |= 1 << (bit % 64);
}

fn has(bits: &[u64], bit: usize) -> bool {
    bits[bit / 64] & (1 << (bit % 64)) != 0
}

/// The grams within the first [`MIN_LENGTH`] bytes of needles.
struct Grams {
    marks: Marks,
    /// By bucket: where its entries begin. One more than there are buckets.
    buckets: Box<[u32]>,
    /// Grams with their distance from the needle's beginning; by bucket, the larger distance first.
    entries: Vec<(u32, u8)>,
}

impl Grams {
    fn of(needles: &[SecretString]) -> Self {
        let mut marks = Marks::new();
        let mut entries: Vec<(u32, u8)> = Vec::with_capacity(needles.len() * STRIDE);
        for needle in needles {
            for (at, distance) in (0..STRIDE).zip(0..) {
                let gram = gram(&bytes(needle)[at..]);
                marks.mark(gram);
                entries.push((gram, distance));
            }
        }
        entries.sort_unstable_by_key(|&(gram, distance)| {
            (hash(gram, BUCKET_BITS), gram, std::cmp::Reverse(distance))
        });
        entries.dedup();
        let mut buckets = vec![0; (1 << BUCKET_BITS) + 1].into_boxed_slice();
        for &(gram, _) in &entries {
            buckets[hash(gram, BUCKET_BITS) + 1] += 1;
        }
        for bucket in 1..buckets.len() {
            buckets[bucket] += buckets[bucket - 1];
        }
        Self {
            marks,
            buckets,
            entries,
        }
    }

    /// `false` if no needle has the gram.
    fn may_have(&self, gram: u32) -> bool {
        self.marks.has(gram)
    }

    /// Where a needle would have begun that has the gram at `at`, in order.
    fn starts(&self, gram: u32, at: usize) -> impl Iterator<Item = usize> {
        let bucket = hash(gram, BUCKET_BITS);
        let range = self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize;
        self.entries[range]
            .iter()
            .filter(move |&&(other, _)| other == gram)
            .filter_map(move |&(_, distance)| at.checked_sub(usize::from(distance)))
    }
}

/// The first bytes as a number.
fn gram(bytes: &[u8]) -> u32 {
    let first = bytes
        .first_chunk::<GRAM>()
        .expect("at least a gram is left");
    u32::from_le_bytes(*first)
}

/// A number of `bits` bits that spreads grams evenly (Knuth's multiplicative hash).
fn hash(gram: u32, bits: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> (32 - bits)) as usize
}

fn bytes(needle: &SecretString) -> &[u8] {
    needle.expose_secret().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_finds_the_longest_and_sees_open_ends() {
        let needles = ["abcdefgh", "abcdefghijk", "abcxyzuvw"];
        let set = Search::of(needles.map(Into::into).into()).unwrap();
        let probe = |text: &str| {
            let found = set.probe(text.as_bytes());
            (found.longest, found.open)
        };
        assert_eq!(probe("abcdefgh"), (Some(8), true));
        assert_eq!(probe("abcdefghij!"), (Some(8), false));
        assert_eq!(probe("abcdefghijk"), (Some(11), false));
        assert_eq!(probe("abcx"), (None, true));
        assert_eq!(probe("abd"), (None, false));
    }
}
