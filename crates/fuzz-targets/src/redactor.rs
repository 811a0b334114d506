//! Secrets in streams.

use redact::{Added, Secrets, Stream};

/// Up to four secrets, each ended by a zero byte, then a text: no split of it changes what comes out, and no secret does.
pub(crate) fn redactor(data: &[u8]) {
    let mut parts: Vec<&[u8]> = data.splitn(5, |byte| *byte == 0).collect();
    let text = String::from_utf8_lossy(parts.pop().unwrap_or_default()).into_owned();
    let secrets = Secrets::new();
    let mut guarded = Vec::new();
    for secret in parts {
        let secret = String::from_utf8_lossy(secret).trim().to_owned();
        if secrets.add(secret.clone()) == Added::Guarded {
            guarded.push(secret);
        }
    }
    let whole = shown(&secrets, [text.as_str()]);
    assert_eq!(shown(&secrets, pieces(&text, data)), whole, "by pieces");
    let letters = text
        .char_indices()
        .map(|(at, letter)| &text[at..at + letter.len_utf8()]);
    assert_eq!(shown(&secrets, letters), whole, "by letters");
    for secret in guarded {
        assert!(!whole.contains(&secret), "{secret:?} in {whole:?}");
    }
}

fn shown<'a>(secrets: &Secrets, pieces: impl IntoIterator<Item = &'a str>) -> String {
    let mut stream = Stream::new(secrets);
    let mut shown = String::new();
    for piece in pieces {
        shown.push_str(&stream.push(piece));
    }
    shown.push_str(&stream.finish());
    shown
}

/// The text in pieces whose lengths are the bytes of `lengths`.
fn pieces<'a>(text: &'a str, lengths: &[u8]) -> Vec<&'a str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    for length in lengths {
        let most = usize::from(length % 24).min(rest.len());
        let at = (0..=most).rev().find(|at| rest.is_char_boundary(*at));
        let at = at.unwrap_or_default();
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}
