//! Tells a repeated request from a changed one.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// SHA-256 over a request, but for the fields that Wegent's manager fills in on its way
/// (`metadata.executor_name`, `metadata.executor_namespace`).
///
/// Equal fingerprints mean that the platform repeats itself; a retry by a person differs at least in
/// its tokens. The order of fields and white space don't count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits")]
pub struct BadFingerprint;

const FILLED_IN_BY_THE_MANAGER: [&str; 2] = ["executor_name", "executor_namespace"];

impl Fingerprint {
    /// The fingerprint of a request's body.
    pub fn of(body: &Value) -> Self {
        let mut digest = Digester(Sha256::new());
        match body {
            Value::Object(fields) => digest.object(fields, |digest, name, value| match value {
                Value::Object(metadata) if name == "metadata" => {
                    digest.object_without(metadata, &FILLED_IN_BY_THE_MANAGER);
                }
                other => digest.value(other),
            }),
            other => digest.value(other),
        }
        Self(digest.0.finalize().into())
    }
}

struct Digester(Sha256);

impl Digester {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => self.object_without(fields, &[]),
            Value::Array(items) => {
                self.0.update(b"[");
                for item in items {
                    self.value(item);
                    self.0.update(b",");
                }
                self.0.update(b"]");
            }
            scalar => self.scalar(scalar),
        }
    }

    fn scalar(&mut self, value: &Value) {
        serde_json::to_writer(Sink(&mut self.0), value)
            .expect("a scalar serialises and a digest takes every byte");
    }

    fn object_without(&mut self, fields: &Map<String, Value>, left_out: &[&str]) {
        self.0.update(b"{");
        for (name, value) in sorted(fields) {
            if !left_out.contains(&name.as_str()) {
                self.name(name);
                self.value(value);
            }
        }
        self.0.update(b"}");
    }

    fn object(
        &mut self,
        fields: &Map<String, Value>,
        mut member: impl FnMut(&mut Self, &str, &Value),
    ) {
        self.0.update(b"{");
        for (name, value) in sorted(fields) {
            self.name(name);
            member(self, name, value);
        }
        self.0.update(b"}");
    }

    fn name(&mut self, name: &str) {
        self.scalar(&Value::String(name.to_owned()));
        self.0.update(b":");
    }
}

/// Sorted here, because a `serde_json` feature somewhere in a build decides whether its maps are.
fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

struct Sink<'a>(&'a mut Sha256);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(BadFingerprint);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, BadFingerprint> {
    let value = (digit as char).to_digit(16).ok_or(BadFingerprint)?;
    Ok(u8::try_from(value).expect("a hexadecimal digit is below 16"))
}

impl TryFrom<String> for Fingerprint {
    type Error = BadFingerprint;

    fn try_from(text: String) -> Result<Self, BadFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Fingerprint {
        Fingerprint::of(&serde_json::from_str(body).unwrap())
    }

    #[test]
    fn what_the_manager_fills_in_does_not_count() {
        let bare = of(r#"{"input":"x","metadata":{"task_id":1}}"#);
        let named = of(
            r#"{ "metadata": {"executor_namespace":"", "executor_name":"box-1", "task_id":1}, "input":"x" }"#,
        );
        assert_eq!(bare, named);
    }

    #[test]
    fn everything_else_counts() {
        let bodies = [
            r#"{"input":"x","metadata":{"task_id":1,"auth_token":"a"}}"#,
            r#"{"input":"x","metadata":{"task_id":1,"auth_token":"b"}}"#,
            r#"{"input":"y","metadata":{"task_id":1,"auth_token":"b"}}"#,
            r#"{"input":"y","metadata":{"task_id":1,"auth_token":"b"},"executor_name":"top level"}"#,
            r#"{"input":["y"],"metadata":{"task_id":1,"auth_token":"b"}}"#,
            r#"{"input":[["y"]],"metadata":{"task_id":1,"auth_token":"b"}}"#,
            r#"{"input":"y","metadata":{"task_id":"1","auth_token":"b"}}"#,
            r#"{"input":"y","metadata":{"task_id":1,"auth_token":"b","bot":[{"executor_name":"inner"}]}}"#,
        ];
        let mut seen = std::collections::HashSet::new();
        for body in bodies {
            assert!(seen.insert(of(body)), "{body} is taken for another one");
        }
    }

    #[test]
    fn it_survives_a_journal() {
        let fingerprint = of("{}");
        let text = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(text, format!("\"{fingerprint}\""));
        assert_eq!(
            serde_json::from_str::<Fingerprint>(&text).unwrap(),
            fingerprint
        );
        assert!(serde_json::from_str::<Fingerprint>("\"abc\"").is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
    }
}
