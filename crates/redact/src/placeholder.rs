//! What stands where a secret was.

use std::borrow::Cow;

/// What stands where a secret was.
///
/// If a secret begins, ends or lies in this text, text beside a placeholder could complete it. Then another
/// placeholder stands in for this one.
pub const PLACEHOLDER: &str = "[redacted]";

/// Tried when [`PLACEHOLDER`] doesn't do.
const SECOND: &str = "<redacted>";

/// The first placeholder that can't be part of any of `secrets`, whatever text stands beside it.
pub(crate) fn choose<'a>(secrets: impl Iterator<Item = &'a str> + Clone) -> Cow<'static, str> {
    for candidate in [PLACEHOLDER, SECOND] {
        if !secrets.clone().any(|secret| meets(secret, candidate)) {
            return Cow::Borrowed(candidate);
        }
    }
    // One character that is in no secret can't be part of one either. The blocks and shapes from here on are
    // visible and rare.
    let unused =
        ('\u{2588}'..=char::MAX).find(|&c| !secrets.clone().any(|secret| secret.contains(c)));
    Cow::Owned(unused.unwrap_or(char::REPLACEMENT_CHARACTER).to_string())
}

/// Whether an occurrence of `secret` can share a byte with `placeholder` in some text.
fn meets(secret: &str, placeholder: &str) -> bool {
    let (secret, placeholder) = (secret.as_bytes(), placeholder.as_bytes());
    // What shares only a part with it has its first or its last byte.
    let edges = memchr::memchr2(placeholder[0], placeholder[placeholder.len() - 1], secret);
    if edges.is_none() && secret.len() >= placeholder.len() {
        return false;
    }
    let within =
        |outer: &[u8], inner: &[u8]| outer.windows(inner.len()).any(|window| window == inner);
    within(secret, placeholder)
        || within(placeholder, secret)
        || (1..placeholder.len()).any(|n| {
            secret.ends_with(&placeholder[..n])
                || secret.starts_with(&placeholder[placeholder.len() - n..])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_gives_way_to_secrets_that_touch_it() {
        let chosen = |secrets: &[&'static str]| choose(secrets.iter().copied()).into_owned();
        assert_eq!(chosen(&["hunter22"]), PLACEHOLDER);
        assert_eq!(chosen(&["hunter22["]), SECOND);
        assert_eq!(chosen(&["]hunter22"]), SECOND);
        assert_eq!(chosen(&["a[redacted]b"]), SECOND);
        assert_eq!(chosen(&["redacted"]), "\u{2588}");
        assert_eq!(chosen(&["redacted", "\u{2588}\u{2588}"]), "\u{2589}");
    }
}
