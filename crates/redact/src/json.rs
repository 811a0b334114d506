//! Secrets in JSON values.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::Secrets;

impl Secrets {
    /// Replaces secrets in every string of `value`, object keys included. Numbers stay as they are.
    ///
    /// Keys that become equal are kept apart by repeating the placeholder.
    pub fn redact_json(&self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact_str(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(fields) => {
                fields
                    .values_mut()
                    .for_each(|field| self.redact_json(field));
                if fields
                    .keys()
                    .any(|key| matches!(self.redact_str(key), Cow::Owned(_)))
                {
                    self.redact_keys(fields);
                }
            }
        }
    }

    fn redact_keys(&self, fields: &mut Map<String, Value>) {
        let placeholder = &self.snapshot().placeholder;
        for (key, field) in std::mem::take(fields) {
            let mut key = self.redact_str(&key).into_owned();
            while fields.contains_key(&key) {
                key.push_str(placeholder);
            }
            fields.insert(key, field);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_and_keys_are_redacted_and_nothing_else() {
        let secrets = Secrets::new();
        secrets.add("hunter22");
        secrets.add("12345678");
        let mut value = json!({
            "list": [1, "a hunter22", {"x-hunter22": null, "hunter22": true, "hunter22hunter22": 0.5}],
            "number": 12345678,
            "text": "12345678",
        });
        secrets.redact_json(&mut value);
        assert_eq!(
            value,
            json!({
                "list": [1, "a [redacted]", {
                    "x-[redacted]": null,
                    "[redacted]": true,
                    "[redacted][redacted]": 0.5,
                }],
                "number": 12345678,
                "text": "[redacted]",
            })
        );
    }
}
