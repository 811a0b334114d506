//! `${{path}}` in texts.
//!
//! The rules are the platform's own (its backend resolves the same syntax in other places): the path is trimmed and cut
//! at its dots; a part names a field of an object exactly, or counts from 0 in an array. What is found is put in as
//! text; objects and arrays as compact JSON. What is not found, or is `null`, leaves the placeholder as it stands; so
//! does a placeholder that doesn't end. What is put in is not looked at again, so nothing can go in circles.

use std::borrow::Cow;

use serde_json::Value;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// `text` with its placeholders resolved in `root`; borrowed if nothing was put in.
///
/// ```
/// # use agent_core::substitute::substitute;
/// # use serde_json::json;
/// let request = json!({"user": {"name": "alice"}, "bot": [{"id": 4}], "none": null});
/// assert_eq!(substitute("${{ user.name }}-${{bot.0.id}}", &request), "alice-4");
/// assert_eq!(substitute("${{none}} ${{bot.-1}} ${{bot.0", &request), "${{none}} ${{bot.-1}} ${{bot.0");
/// ```
pub fn substitute<'a>(text: &'a str, root: &Value) -> Cow<'a, str> {
    let mut made: Option<String> = None;
    // Up to where `text` is in `made`.
    let mut copied = 0;
    let mut from = 0;
    while let Some((start, end, path)) = next_placeholder(text, from) {
        from = end;
        if let Some(value) = lookup(root, path) {
            let made = made.get_or_insert_default();
            made.push_str(&text[copied..start]);
            made.push_str(&value);
            copied = end;
        }
    }
    match made {
        None => Cow::Borrowed(text),
        Some(mut made) => {
            made.push_str(&text[copied..]);
            Cow::Owned(made)
        }
    }
}

/// Where the next placeholder at or after `from` begins and ends, and its path.
fn next_placeholder(text: &str, from: usize) -> Option<(usize, usize, &str)> {
    let start = from + text[from..].find(OPEN)?;
    let inner = start + OPEN.len();
    let length = text[inner..].find(CLOSE)?;
    let path = text[inner..inner + length].trim();
    Some((start, inner + length + CLOSE.len(), path))
}

fn lookup(root: &Value, path: &str) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    let mut found = root;
    for part in path.split('.') {
        found = match found {
            Value::Object(fields) => fields.get(part)?,
            Value::Array(items) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                items.get(part.parse::<usize>().ok()?)?
            }
            _ => return None,
        };
    }
    match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn root() -> Value {
        json!({
            "a": {"b": [10, {"c": "deep"}], "": "blank"}, "n": 1.5, "t": true, "null": null,
            "again": "${{t}}", "o": {"x": [1, "y"]}, "é": "accent", "with space": "s", "0": "zero",
        })
    }

    #[test]
    fn what_is_found_is_put_in_as_text() {
        for (text, expected) in [
            ("${{a.b.0}}", "10"),
            ("<${{ a.b.1.c }}|${{n}}|${{t}}>", "<deep|1.5|true>"),
            ("${{o}}", r#"{"x":[1,"y"]}"#),
            ("${{o.x}}", r#"[1,"y"]"#),
            ("${{é}} ${{with space}} ${{0}}", "accent s zero"),
            // Not looked at again.
            ("${{again}}", "${{t}}"),
            ("${{a.}}", "blank"),
        ] {
            assert_eq!(substitute(text, &root()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_found_stays_as_it_stands() {
        for text in [
            "",
            "plain",
            "${{}}",
            "${{ }}",
            "${{missing}}",
            "${{null}}",
            "${{a.b.2}}",
            "${{a.b.-1}}",
            "${{a.b.+1}}",
            "${{a.b.}}",
            "${{n.0}}",
            "${{A}}",
            "${{t",
            "${{ t }",
            "$ {{t}}",
            "${t}",
            "}}${{",
            "${{${{t}}",
            "${{a.b.99999999999999999999999}}",
        ] {
            let result = substitute(text, &root());
            assert!(
                matches!(result, Cow::Borrowed(same) if same == text),
                "{text}: {result}"
            );
        }
        assert_eq!(
            substitute("${{x}}${{t}}${{x}} ${{t", &root()),
            "${{x}}true${{x}} ${{t"
        );
    }

    /// Plain text, placeholders of all kinds, and the pieces they are made of.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z$ {}.]{0,6}",
            prop::sample::select(vec![
                "${{",
                "}}",
                "${{t}}",
                "${{ n }}",
                "${{x}}",
                "${{again}}",
                "é"
            ])
            .prop_map(str::to_owned),
        ]
    }

    proptest! {
        /// The same as the obvious way to do it: cut at the placeholders, put each one's value in its place.
        #[test]
        fn it_is_what_the_rules_say(pieces in prop::collection::vec(piece(), 0..12)) {
            let text = pieces.concat();
            let mut expected = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once(OPEN) {
                let Some((path, after)) = after.split_once(CLOSE) else { break };
                expected.push_str(before);
                match lookup(&root(), path.trim()) {
                    Some(value) => expected.push_str(&value),
                    None => expected.push_str(&format!("{OPEN}{path}{CLOSE}")),
                }
                rest = after;
            }
            expected.push_str(rest);
            prop_assert_eq!(substitute(&text, &root()), expected);
        }

        /// Whatever stands in it: no panic, and text without an opening is what it was.
        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            let result = substitute(&text, &root());
            prop_assert!(text.contains(OPEN) || result == text);
        }
    }
}
