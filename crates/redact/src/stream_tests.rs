//! What a stream promises, as examples and as properties.

use proptest::prelude::*;

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
        stream(&secrets(&["abcdef", "defghi"]), &["xabcd", "efghix"]),
        "x[redacted]x"
    );
}

#[test]
fn a_secret_within_the_beginning_of_a_longer_one_is_replaced() {
    let secrets = secrets(&["abcdef", "xxabcdefyy"]);
    assert_eq!(stream(&secrets, &["xxabc", "def", "yz"]), "xx[redacted]yz");
    assert_eq!(stream(&secrets, &["xxabc", "def", "yy"]), "[redacted]");
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
    let mut stream = Stream::new(&secrets(&["abcdef", "defghi"]));
    assert_eq!(stream.push("abcdef"), "[redacted]");
    assert_eq!(stream.flush(), "");
    assert_eq!(stream.push("ghi"), "[redacted]");
}

#[test]
fn a_stream_can_be_used_again_after_its_end() {
    let mut stream = Stream::new(&secrets(&["hunter22"]));
    stream.push("hunter");
    assert_eq!(stream.finish(), "hunter");
    assert_eq!(stream.push("22"), "22");
}

/// Secrets and a text made of fragments of them, over few characters so that everything overlaps.
fn case() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let alphabet = prop_oneof![
        Just("[ab]{6,9}"),
        Just("[abc]{6,12}"),
        Just("[aé漢]{3,7}"),
        Just("[a\\]\\[redt]{6,12}"),
        Just("[\\]\\[<>redact█]{6,10}"),
    ];
    let secrets = proptest::collection::vec(alphabet.prop_flat_map(|pattern| pattern), 1..5);
    (secrets, any::<bool>()).prop_flat_map(|(mut secrets, nested)| {
        if nested {
            let inner: String = secrets[0].chars().skip(1).take(6).collect();
            let joined = format!("{}{}", secrets[0], inner);
            secrets.extend([inner, joined]);
        }
        let known = secrets.clone();
        let fragment = (
            0..known.len(),
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
        )
            .prop_map(move |(which, start, end)| {
                let characters: Vec<char> = known[which].chars().collect();
                let start = start.index(characters.len());
                let end = start + 1 + end.index(characters.len() - start);
                characters[start..end].iter().collect::<String>()
            });
        let piece = prop_oneof![
            8 => fragment,
            2 => "[abcé漢]{0,3}",
            1 => "\\[redacted\\]|\\[red|acted\\]|█",
            1 => "\\PC{0,4}",
        ];
        (Just(secrets), proptest::collection::vec(piece, 0..14))
    })
}

/// The rule, written down naively: covered bytes are those in any occurrence of any secret.
fn naive(secrets: &[String], text: &str, placeholder: &str) -> String {
    let mut covered = vec![false; text.len()];
    for secret in secrets
        .iter()
        .filter(|secret| secret.len() >= crate::MIN_LENGTH)
    {
        for start in 0..text.len() {
            if text.as_bytes()[start..].starts_with(secret.as_bytes()) {
                covered[start..start + secret.len()].fill(true);
            }
        }
    }
    let mut output = String::new();
    for (at, character) in text.char_indices() {
        match covered[at] {
            false => output.push(character),
            true if at == 0 || !covered[at - 1] => output.push_str(placeholder),
            true => {}
        }
    }
    output
}

fn survivors<'a>(all: &'a [String], output: &str) -> Vec<&'a String> {
    all.iter()
        .filter(|secret| secret.len() >= crate::MIN_LENGTH && output.contains(secret.as_str()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_split_gives_what_the_rule_says((all, pieces) in case()) {
        let secrets = secrets(&all);
        let text = pieces.concat();
        let expected = naive(&all, &text, &secrets.snapshot().placeholder);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        prop_assert_eq!(&stream(&secrets, &[&text]), &expected);
        prop_assert_eq!(&stream(&secrets, &pieces), &expected);
        prop_assert_eq!(&stream(&secrets, &characters), &expected);
        prop_assert_eq!(secrets.redact_str(&text).into_owned(), expected.clone());
        prop_assert_eq!(survivors(&all, &expected), Vec::<&String>::new());
    }

    #[test]
    fn no_secret_survives_flushes((all, pieces) in case(), flushes in proptest::collection::vec(any::<bool>(), 14)) {
        let secrets = secrets(&all);
        let mut stream = Stream::new(&secrets);
        let (mut output, mut since_flush) = (String::new(), String::new());
        for (piece, flush) in pieces.iter().zip(flushes) {
            since_flush.push_str(&stream.push(piece));
            if flush {
                since_flush.push_str(&stream.flush());
                prop_assert!(!stream.is_holding());
                prop_assert_eq!(survivors(&all, &since_flush), Vec::<&String>::new());
                output.push_str(&mem::take(&mut since_flush));
            }
        }
        output.push_str(&since_flush);
        output.push_str(&stream.finish());
        prop_assert_eq!(survivors(&all, &output), Vec::<&String>::new());
    }
}
