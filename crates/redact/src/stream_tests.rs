//! What a stream promises, as examples.

#[path = "stream_properties.rs"]
mod properties;

use super::*;

fn secrets(all: &[impl AsRef<str>]) -> Secrets {
    let secrets = Secrets::new();
    for secret in all {
        secrets.add(secret.as_ref());
    }
    secrets
}

/// The output for `pieces`, with the end.
fn stream(secrets: &Secrets, pieces: &[&str]) -> String {
    let mut stream = Stream::new(secrets);
    let mut output: String = pieces
        .iter()
        .map(|piece| stream.push(piece).into_owned())
        .collect();
    output.push_str(&stream.finish());
    output
}

#[test]
fn a_secret_in_single_bytes_is_replaced() {
    let secrets = secrets(&["hunter22"]);
    let pieces: Vec<String> = "a hunter22 b".chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    assert_eq!(stream(&secrets, &pieces), "a [redacted] b");
}

#[test]
fn only_what_may_begin_a_secret_is_held_back() {
    let mut stream = Stream::new(&secrets(&["hunter22"]));
    assert_eq!(stream.push("go hunting hu"), "go hunting ");
    assert!(stream.is_holding());
    assert_eq!(stream.push("ge"), "huge");
    assert!(!stream.is_holding());
    assert_eq!(stream.push("hunter2"), "");
    assert_eq!(stream.finish(), "hunter2");
}

#[test]
fn a_complete_secret_is_released_at_once() {
    let mut stream = Stream::new(&secrets(&["hunter22", "hunter2222"]));
    assert_eq!(stream.push("hunter22"), "[redacted]");
    assert_eq!(stream.push("22"), "");
    assert_eq!(stream.push("x"), "x");
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    assert_eq!(
        stream(&secrets(&["abcdefgh", "efghijkl"]), &["xabcde", "fghijklx"]),
        "x[redacted]x"
    );
}

#[test]
fn a_secret_within_the_beginning_of_a_longer_one_is_replaced() {
    let secrets = secrets(&["abcdefgh", "xxabcdefghyy"]);
    assert_eq!(
        stream(&secrets, &["xxabc", "defgh", "yz"]),
        "xx[redacted]yz"
    );
    assert_eq!(stream(&secrets, &["xxabc", "defgh", "yy"]), "[redacted]");
}

#[test]
fn an_added_secret_counts_from_the_next_push_on() {
    let secrets = secrets(&["hunter22"]);
    let mut stream = Stream::new(&secrets);
    assert_eq!(stream.push("s3cr3t-2 hunter"), "s3cr3t-2 ");
    secrets.add("s3cr3t-2");
    secrets.add("hunter33");
    assert_eq!(stream.push("33 s3cr3t-2"), "[redacted] [redacted]");
}

#[test]
fn a_flush_shows_a_beginning_but_never_the_whole() {
    let mut stream = Stream::new(&secrets(&["hunter22"]));
    assert_eq!(stream.push("a hunter"), "a ");
    assert_eq!(stream.flush(), "hunter");
    assert_eq!(stream.push("22 b"), "[redacted] b");
}

#[test]
fn a_flush_ends_the_reach_of_a_placeholder() {
    let mut stream = Stream::new(&secrets(&["abcdefgh", "efghijkl"]));
    assert_eq!(stream.push("abcdefgh"), "[redacted]");
    assert_eq!(stream.flush(), "");
    assert_eq!(stream.push("ijkl"), "[redacted]");
}

#[test]
fn a_stream_can_be_used_again_after_its_end() {
    let mut stream = Stream::new(&secrets(&["hunter22"]));
    stream.push("hunter");
    assert_eq!(stream.finish(), "hunter");
    assert_eq!(stream.push("22"), "22");
}

#[test]
fn a_secret_across_line_breaks_is_replaced_and_nothing_around_it() {
    let secrets = secrets(&["hunter22"]);
    assert_eq!(
        stream(&secrets, &["a\nhun\r\nter", "\n", "22\nb"]),
        "a\n[redacted]\nb"
    );
    assert_eq!(stream(&secrets, &["hun", "\nt"]), "hun\nt");
}

#[test]
fn a_secret_with_line_breaks_or_control_characters_is_replaced_in_any_split() {
    let secret_with = |between: &str| ["s3c", "re", "t"].join(between);
    for between in [
        "\n",
        "\r\n",
        "\r",
        "\t\t",
        "\n\u{1}\n",
        "\u{b}\n",
        "\n\n\n\n\n",
    ] {
        // Too short without its line breaks, a common word without them, and neither.
        for secret in [
            secret_with(between),
            format!("pass{between}word"),
            format!("long-enough{between}by-itself"),
        ] {
            let secrets = Secrets::new();
            assert_eq!(secrets.add(secret.as_str()), crate::Added::Guarded);
            let text = format!("a\n{secret}\nb");
            for at in (0..=text.len()).filter(|&at| text.is_char_boundary(at)) {
                let (one, other) = text.split_at(at);
                assert_eq!(
                    stream(&secrets, &[one, other]),
                    "a\n[redacted]\nb",
                    "{text:?}"
                );
            }
        }
    }
}

#[test]
fn line_breaks_that_make_a_secret_are_found_as_either_kind_and_nothing_without_them() {
    for secret in ["pass\nword", "pass\r\nword"] {
        let secrets = secrets(&[secret]);
        assert_eq!(
            stream(&secrets, &["a pass\r", "\nword, pass\nword: the password"]),
            "a [redacted], [redacted]: the password"
        );
    }
}

#[test]
fn encoded_forms_are_replaced_in_any_split() {
    let secrets = secrets(&["p@ss/wörd-17"]);
    for (text, clean) in [
        (r#"{"k":"p@ss\/wörd-17"}"#, r#"{"k":"[redacted]"}"#),
        (r"p@ss/w\u00f6rd-17.", "[redacted]."),
        ("?k=p%40ss%2Fw%C3%B6rd-17&x", "?k=[redacted]&x"),
        // base64 of "user:p@ss/wörd-17": the first character of the secret shares its group with the colon.
        ("Basic dXNlcjpwQHNzL3fDtnJkLTE3", "Basic dXNlcjp[redacted]"),
        (
            "70407373 7040 70407373 2f77c3b672642d3137",
            "70407373 7040 70407373 2f77c3b672642d3137",
        ),
        ("704073732f77c3b672642d3137", "[redacted]"),
    ] {
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(stream(&secrets, &pieces), clean);
        assert_eq!(stream(&secrets, &[text]), clean);
    }
}

const GITHUB: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
const CLAIMS: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0";
const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0123456789abcdefghijklmnop\nqrstuvwxyz+/ABC=\n-----END RSA PRIVATE KEY-----\n";

#[test]
fn shapes_are_replaced_in_any_split() {
    for (text, clean) in [
        (format!("t={GITHUB}, x"), "t=[redacted], x".to_owned()),
        (format!("\\n{GITHUB}XYZ"), "\\n[redacted]".to_owned()),
        (format!("Bearer {CLAIMS}."), "Bearer [redacted].".to_owned()),
        (format!("\\n{CLAIMS}\\n"), "\\n[redacted]\\n".to_owned()),
        (
            "a sk-ant-api03-0123456789abcdefghij b".to_owned(),
            "a [redacted] b".to_owned(),
        ),
        ("AKIA0123456789ABCDEF".to_owned(), "[redacted]".to_owned()),
        (
            format!("<\n{KEY}>"),
            "<\n[redacted]-----END RSA PRIVATE KEY-----\n>".to_owned(),
        ),
    ] {
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        let none = Secrets::new();
        assert_eq!(stream(&none, &[&text]), clean);
        assert_eq!(stream(&none, &characters), clean);
    }
}

#[test]
fn what_only_resembles_a_shape_stays() {
    let none = Secrets::new();
    for text in [
        "the task-ant-colony-optimisation-algorithm and sk-ant-short",
        "ghp_012345 github_pat_ glpat-<your-token> AKIA0123 eyJhbGciOiJIUzI1NiJ9 alone",
        "-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEA0123456789abcdefghijklmnopqrstuv\n",
        "It begins with -----BEGIN PRIVATE KEY----- and ends with its like.",
        "WAKIA0123456789ABCDEF",
    ] {
        assert_eq!(stream(&none, &[text]), text);
    }
}

#[test]
fn a_shape_that_goes_on_is_not_held_back() {
    let mut stream = Stream::new(&Secrets::new());
    assert_eq!(stream.push(GITHUB), "[redacted]");
    for _ in 0..1000 {
        assert_eq!(stream.push("abcdefgh"), "");
        assert!(!stream.is_holding());
    }
    assert_eq!(stream.push(" done"), " done");
}
