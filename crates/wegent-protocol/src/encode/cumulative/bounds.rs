//! How much of what others say goes into callbacks that are sent again and again.

use serde_json::Value;

use super::super::text::{ceil_boundary, floor_boundary};

/// The first `limit` bytes of `text` at most, up to a place between characters.
pub(super) fn beginning(text: &str, limit: usize) -> &str {
    &text[..floor_boundary(text, limit)]
}

/// `text` without its middle if it is longer than `limit` bytes, saying how much is missing.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = floor_boundary(text, limit / 2);
    let tail = ceil_boundary(text, text.len() - limit / 2);
    format!(
        "{}\n… {} bytes left out …\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
    )
}

/// A JSON value in which no text is longer than `limit` bytes, and no array longer than 100.
pub(super) fn bounded_value(value: &Value, limit: usize) -> Value {
    const MAX_ITEMS: usize = 100;
    match value {
        Value::String(text) => Value::String(bounded(text, limit)),
        Value::Array(items) => items
            .iter()
            .take(MAX_ITEMS)
            .map(|item| bounded_value(item, limit))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), bounded_value(value, limit)))
            .collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_lose_their_middle_wherever_they_stand() {
        assert_eq!(bounded("short", 10), "short");
        let cut = bounded(&"é".repeat(100), 20);
        assert!(cut.starts_with("ééééé\n… 180 bytes"), "{cut}");
        assert!(cut.ends_with("ééééé"), "{cut}");
        let value = bounded_value(&json!({"a": ["x".repeat(50)], "n": 1}), 20);
        assert!(value["a"][0].as_str().unwrap().contains("left out"));
        assert_eq!(value["n"], 1);
    }
}
