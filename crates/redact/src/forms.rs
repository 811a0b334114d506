//! The forms in which a secret may appear: itself and what encoders make of it.

use std::fmt::Write as _;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

use crate::{MIN_LENGTH, secrets::refusal};

/// The secret itself and its encoded forms, each once. The encoded forms have no line breaks, and [`plain`] ones hardly ever.
pub(crate) fn of(secret: &SecretString) -> Vec<SecretString> {
    let secret = secret.expose_secret();
    let mut forms = Forms(Vec::new());
    plain(secret, &mut forms);
    json(secret, &mut forms);
    url(secret, &mut forms);
    base64(secret.as_bytes(), &mut forms);
    hex(secret.as_bytes(), &mut forms);
    forms.0
}

/// A collection of forms.
struct Forms(Vec<SecretString>);

impl Forms {
    fn add(&mut self, form: String) {
        let known = self.0.iter().any(|known| known.expose_secret() == form);
        if form.len() >= MIN_LENGTH && !known {
            self.0.push(form.into());
        }
    }
}

/// Whether texts are searched without this character.
pub(crate) fn is_line_break(character: char) -> bool {
    matches!(character, '\r' | '\n')
}

/// As it is, without its line breaks: it is found in any layout then.
///
/// If that would be refused as a secret, the line breaks are what tells it from ordinary text. So they stay, also as a terminal
/// or an editor would change them.
fn plain(secret: &str, forms: &mut Forms) {
    let squeezed = secret.replace(is_line_break, "");
    if refusal(&squeezed).is_none() {
        return forms.add(squeezed);
    }
    let unix = secret.replace("\r\n", "\n");
    forms.add(secret.to_owned());
    forms.add(unix.replace('\n', "\r\n"));
    forms.add(unix);
}

/// As a string in JSON, also in JSON that is itself a string in JSON, with and without escapes for what isn't ASCII.
fn json(secret: &str, forms: &mut Forms) {
    let escaped = json_escaped(secret);
    forms.add(json_escaped(&escaped));
    forms.add(escaped.replace('/', "\\/"));
    if !escaped.is_ascii() {
        forms.add(ascii_only(&escaped));
    }
    forms.add(escaped);
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// `text` with `\u` escapes for everything that isn't ASCII.
fn ascii_only(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("a string takes everything");
            }
        }
    }
    escaped
}

/// As part of a URL: what JavaScript leaves as it is, what RFC 3986 does, and a form's fields; each in both cases of hex.
fn url(secret: &str, forms: &mut Forms) {
    for (kept, plus) in [
        ("-_.~!*'()", false),
        ("-_.~", false),
        ("-_.*", true),
        ("-_.~/:@", false),
    ] {
        for upper in [true, false] {
            forms.add(percent(secret, kept, plus, upper));
        }
    }
}

fn percent(text: &str, kept: &str, plus: bool, upper: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match char::from(byte) {
            kept_one if byte.is_ascii_alphanumeric() || kept.contains(kept_one) => {
                encoded.push(kept_one)
            }
            ' ' if plus => encoded.push('+'),
            _ if upper => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
            _ => write!(encoded, "%{byte:02x}").expect("a string takes everything"),
        }
    }
    encoded
}

/// Within base64 of something longer, at each of the three places where it can begin in a group: the characters that depend on
/// the secret alone.
fn base64(secret: &[u8], forms: &mut Forms) {
    for offset in 0..3 {
        let mut padded = vec![0; offset];
        padded.extend_from_slice(secret);
        let first = (offset * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let mut encoded = engine.encode(&padded);
            encoded.truncate(last);
            forms.add(encoded.split_off(first.min(encoded.len())));
        }
    }
}

fn hex(secret: &[u8], forms: &mut Forms) {
    let of = |upper: bool| {
        secret.iter().fold(String::new(), |mut text, byte| {
            let written = if upper {
                write!(text, "{byte:02X}")
            } else {
                write!(text, "{byte:02x}")
            };
            written.expect("a string takes everything");
            text
        })
    };
    forms.add(of(false));
    forms.add(of(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(secret: &str) -> Vec<String> {
        of(&secret.into())
            .iter()
            .map(|form| form.expose_secret().to_owned())
            .collect()
    }

    #[test]
    fn a_plain_secret_has_base64_and_hex_beside_itself() {
        assert_eq!(
            all("hunter2hunter2"),
            [
                "hunter2hunter2",
                "aHVudGVyMmh1bnRlcj",
                "h1bnRlcjJodW50ZXIy",
                "odW50ZXIyaHVudGVyM",
                "68756e7465723268756e74657232",
                "68756E7465723268756E74657232",
            ]
        );
    }

    #[test]
    fn what_needs_escapes_has_a_form_for_each_encoder() {
        let all = all("p\"ä/s s+w\\d");
        for form in [
            r#"p\"ä/s s+w\\d"#,
            r#"p\\\"ä/s s+w\\\\d"#,
            r#"p\"\u00e4/s s+w\\d"#,
            r#"p\"ä\/s s+w\\d"#,
            "p%22%C3%A4%2Fs%20s%2Bw%5Cd",
            "p%22%c3%a4%2fs%20s%2bw%5cd",
            "p%22%C3%A4%2Fs+s%2Bw%5Cd",
        ] {
            assert!(
                all.iter().any(|one| one == form),
                "{form} is not in {all:?}"
            );
        }
    }

    #[test]
    fn forms_have_no_line_breaks() {
        let all = all("first-line\r\nsecond-line\n");
        assert_eq!(all[0], "first-linesecond-line");
        assert!(!all.iter().any(|form| form.contains(is_line_break)));
    }

    #[test]
    fn line_breaks_stay_where_they_make_the_secret() {
        for (secret, forms) in [
            ("abc\ndef\ng", ["abc\ndef\ng", "abc\r\ndef\r\ng"]),
            ("Pass\r\nword", ["Pass\r\nword", "Pass\nword"]),
        ] {
            let all = all(secret);
            assert_eq!(all[..2], forms);
            assert!(!all[2..].iter().any(|form| form.contains(is_line_break)));
        }
    }

    #[test]
    fn base64_of_a_text_with_the_secret_has_one_of_its_forms() {
        let secret = "s3cr3t-värde?";
        for before in ["", "u:", "user"] {
            for after in ["", "!", "and more"] {
                let text = format!("{before}{secret}{after}");
                for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(&text);
                    assert!(
                        all(secret).iter().any(|form| encoded.contains(form)),
                        "{text}"
                    );
                }
            }
        }
    }
}
