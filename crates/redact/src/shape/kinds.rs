//! The kinds of secrets that have a shape of their own.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

/// How a certain shape goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// With characters of a class.
    Run(Class),
    /// With the claims of a web token and, after a dot, its signature.
    Claims,
}

/// Characters that a shape is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `_`.
    Word,
    /// Letters, digits, `_`, `-`: URL-safe base64 among others.
    Dashed,
    /// Capital letters and digits.
    Capital,
    /// Base64 with line breaks, also with ones that are escaped (`\n`).
    Body,
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Dashed => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Capital => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Body => {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b'\r' | b'\n')
            }
        }
    }

    /// How many bytes of the class `text` begins with, counting no further than `most`.
    pub(super) fn run(self, text: &[u8], most: usize) -> usize {
        let end = text.len().min(most);
        text[..end]
            .iter()
            .position(|&byte| !self.has(byte))
            .unwrap_or(end)
    }
}

/// A kind of secret with a shape of its own.
pub(super) struct Shape {
    /// How it begins.
    prefix: &'static str,
    /// What may not stand before it.
    not_after: NotAfter,
    /// What makes it certain.
    rest: Rest,
}

/// What may not stand before a shape, because it is a part of something else then.
#[derive(Clone, Copy)]
enum NotAfter {
    /// Anything may.
    Nothing,
    /// A letter (`task-ant-…` holds `sk-ant-`).
    Letter,
    /// A character of the class.
    OneOf(Class),
}

/// What follows a shape's prefix.
#[derive(Clone, Copy)]
enum Rest {
    /// At least so many characters of a class.
    AtLeast(usize, Class),
    /// A web token's header and claims.
    Claims,
    /// A private key's label and body.
    Key,
}

const fn token(prefix: &'static str, least: usize, class: Class) -> Shape {
    Shape {
        prefix,
        not_after: NotAfter::Nothing,
        rest: Rest::AtLeast(least, class),
    }
}

/// Where their makers say how they look: GitHub, GitLab, Anthropic, OpenAI, AWS, RFC 7519, RFC 7468.
pub(super) const SHAPES: [Shape; 13] = [
    token("ghp_", 36, Class::Alphanumeric),
    token("gho_", 36, Class::Alphanumeric),
    token("ghu_", 36, Class::Alphanumeric),
    token("ghs_", 36, Class::Alphanumeric),
    token("ghr_", 36, Class::Alphanumeric),
    token("github_pat_", 22, Class::Word),
    token("glpat-", 20, Class::Dashed),
    token("gloas-", 20, Class::Dashed),
    Shape {
        prefix: "sk-ant-",
        not_after: NotAfter::Letter,
        rest: Rest::AtLeast(20, Class::Dashed),
    },
    Shape {
        prefix: "sk-proj-",
        not_after: NotAfter::Letter,
        rest: Rest::AtLeast(20, Class::Dashed),
    },
    Shape {
        prefix: "AKIA",
        not_after: NotAfter::OneOf(Class::Capital),
        rest: Rest::AtLeast(16, Class::Capital),
    },
    Shape {
        prefix: "eyJ",
        not_after: NotAfter::OneOf(Class::Dashed),
        rest: Rest::Claims,
    },
    Shape {
        prefix: "-----BEGIN ",
        not_after: NotAfter::Nothing,
        rest: Rest::Key,
    },
];

/// The length of the longest prefix.
pub(super) const LONGEST_PREFIX: usize = 11;
/// A web token's header has no more characters than this.
const LONGEST_HEADER: usize = 2048;
/// So many characters of the claims make a web token certain.
const CLAIMS: usize = 8;
/// A private key's label (`RSA PRIVATE KEY`) has no more characters than this.
const LONGEST_LABEL: usize = 48;
/// So many characters of the body make a private key certain.
const BODY: usize = 40;

/// Finds prefixes in long texts; `None` where this machine can't.
static SEARCHER: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new(SHAPES.iter().map(|shape| shape.prefix)));

impl Shape {
    pub(super) fn may_follow(&self, before: [u8; 2]) -> bool {
        let [escape, last] = before;
        // `\n` in JSON is a line break and no letter.
        let escaped = escape == b'\\' && matches!(last, b'n' | b'r' | b't');
        escaped
            || match self.not_after {
                NotAfter::Nothing => true,
                NotAfter::Letter => !last.is_ascii_alphabetic(),
                NotAfter::OneOf(class) => !class.has(last),
            }
    }

    /// How many bytes make it certain in a text that begins with its prefix, and how it goes on after them.
    pub(super) fn certain_after(&self, text: &[u8]) -> Result<(usize, Going), Unclear> {
        let rest = &text[self.prefix.len()..];
        let (length, going) = match self.rest {
            Rest::AtLeast(least, class) => (at_least(rest, 0, least, class)?, Going::Run(class)),
            Rest::Claims => (web_token(rest)?, Going::Claims),
            Rest::Key => (private_key(rest)?, Going::Run(Class::Body)),
        };
        Ok((self.prefix.len() + length, going))
    }

    /// Whether the text ends within the prefix.
    pub(super) fn may_begin_as(&self, rest: &[u8]) -> bool {
        self.prefix.as_bytes().starts_with(rest)
    }
}

/// Why a shape isn't certain.
pub(super) enum Unclear {
    /// The text ends too early.
    Open,
    /// It is something else.
    No,
}

/// Where `text`, from `at` on, has had `least` characters of the class.
fn at_least(text: &[u8], at: usize, least: usize, class: Class) -> Result<usize, Unclear> {
    let rest = text.get(at..).unwrap_or_default();
    match class.run(rest, least) {
        enough if enough == least => Ok(at + least),
        all if all == rest.len() => Err(Unclear::Open),
        _ => Err(Unclear::No),
    }
}

/// The rest of a web token's header, a dot, and the beginning of claims (`eyJ`, which is `{"`).
fn web_token(text: &[u8]) -> Result<usize, Unclear> {
    let header = Class::Dashed.run(text, LONGEST_HEADER);
    let dot = match text.get(header) {
        None if header < LONGEST_HEADER => return Err(Unclear::Open),
        Some(b'.') => header + 1,
        _ => return Err(Unclear::No),
    };
    let claims = literal(text, dot, b"eyJ")?;
    at_least(text, claims, CLAIMS, Class::Dashed)
}

/// The rest of a private key's label, its dashes, and the beginning of its body.
fn private_key(text: &[u8]) -> Result<usize, Unclear> {
    let label = text
        .iter()
        .take(LONGEST_LABEL)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b' ')
        .count();
    if label == text.len() && label < LONGEST_LABEL {
        return Err(Unclear::Open);
    }
    if !text[..label].ends_with(b"PRIVATE KEY") {
        return Err(Unclear::No);
    }
    let body = literal(text, label, b"-----")?;
    at_least(text, body, BODY, Class::Body)
}

/// Where `word` ends, which has to be at `at`.
fn literal(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Unclear> {
    let rest = &text[at..];
    if rest.starts_with(word) {
        Ok(at + word.len())
    } else if word.starts_with(rest) {
        Err(Unclear::Open)
    } else {
        Err(Unclear::No)
    }
}

/// The next prefix from `from` on.
pub(super) fn next(text: &[u8], from: usize) -> Option<(usize, &'static Shape)> {
    match &*SEARCHER {
        Some(searcher) if text.len() - from >= searcher.minimum_len() => {
            let found = searcher.find_in(text, (from..text.len()).into())?;
            Some((found.start(), &SHAPES[found.pattern().as_usize()]))
        }
        _ => (from..text.len()).find_map(|at| {
            let rest = &text[at..];
            may_begin(rest).then_some(())?;
            let shape = SHAPES
                .iter()
                .find(|shape| rest.starts_with(shape.prefix.as_bytes()))?;
            Some((at, shape))
        }),
    }
}

/// Whether a prefix may begin where `text` does; by two bytes, because the first ones are common.
pub(super) fn may_begin(text: &[u8]) -> bool {
    match text {
        [b'g', second, ..] => matches!(second, b'h' | b'i' | b'l'),
        [b's', second, ..] => *second == b'k',
        [b'A', second, ..] => *second == b'K',
        [b'e', second, ..] => *second == b'y',
        [b'-', second, ..] => *second == b'-',
        [only] => matches!(only, b'g' | b's' | b'A' | b'e' | b'-'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_passes_the_quick_test() {
        for shape in &SHAPES {
            assert!(may_begin(shape.prefix.as_bytes()), "{}", shape.prefix);
            assert!(may_begin(&shape.prefix.as_bytes()[..1]), "{}", shape.prefix);
            assert!(shape.prefix.len() <= LONGEST_PREFIX);
        }
    }
}
