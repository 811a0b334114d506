//! Messages and their lines.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error::RemoteError;

/// JSON-RPC: the method is not known.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC: the parameters are not understood.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC: it failed.
pub(crate) const INTERNAL_ERROR: i64 = -32603;

/// Codex's id of a request to us: opaque, a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A number.
    Number(i64),
    /// A string.
    Text(String),
}

impl fmt::Display for RequestId {
    /// Keeps `92` and `"92"` apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A message from codex. Borrows from its line: lines can be megabytes.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// The answer to one of our calls.
    Answer {
        id: u64,
        outcome: Result<&'a RawValue, RemoteError>,
    },
    /// Codex wants something from us.
    Request {
        id: RequestId,
        method: Cow<'a, str>,
        params: &'a RawValue,
    },
    /// Codex tells us something.
    Notification {
        method: Cow<'a, str>,
        params: &'a RawValue,
    },
}

/// A line that is no message. Doesn't quote the line, which may hold anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("not a JSON object of the expected shape (column {column})")]
    Json { column: usize },
    #[error("neither an answer nor a request nor a notification")]
    Shape,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<RequestId>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RemoteError>,
}

/// Tells `"result": null` (a result) from no result at all.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

const NULL: &str = "null";

impl<'a> Incoming<'a> {
    /// Reads a line. Members that nobody knows are ignored.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let envelope: Envelope<'a> =
            serde_json::from_slice(line).map_err(|error| Malformed::Json {
                column: error.column(),
            })?;
        let params = || match envelope.params {
            Some(params) => Ok(params),
            None => serde_json::from_str::<&RawValue>(NULL).map_err(|_| Malformed::Shape),
        };
        match envelope {
            Envelope {
                method: Some(method),
                id: Some(id),
                ..
            } => Ok(Self::Request {
                id,
                method,
                params: params()?,
            }),
            Envelope {
                method: Some(method),
                id: None,
                ..
            } => Ok(Self::Notification {
                method,
                params: params()?,
            }),
            Envelope {
                id: Some(RequestId::Number(id)),
                result,
                error,
                ..
            } => {
                let id = u64::try_from(id).map_err(|_| Malformed::Shape)?;
                match (result, error) {
                    (_, Some(error)) => Ok(Self::Answer {
                        id,
                        outcome: Err(error),
                    }),
                    (Some(result), None) => Ok(Self::Answer {
                        id,
                        outcome: Ok(result),
                    }),
                    (None, None) => Err(Malformed::Shape),
                }
            }
            _ => Err(Malformed::Shape),
        }
    }
}

#[derive(Serialize)]
struct Outgoing<'a, P> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

#[derive(Serialize)]
struct AnswerLine<'a, R> {
    id: &'a RequestId,
    result: R,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    id: &'a RequestId,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: i64,
    message: &'a str,
}

/// One message as a line, with its newline. JSON escapes newlines in strings, so there is no other in it.
fn line<T: Serialize>(message: &T) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line.into())
}

/// A call. Codex refuses requests without `params`, even for methods that have none.
pub(super) fn call<P: Serialize>(
    id: u64,
    method: &str,
    params: &P,
) -> Result<Bytes, serde_json::Error> {
    line(&Outgoing {
        id: Some(id),
        method,
        params: Some(params),
    })
}

/// A notification without parameters.
pub(super) fn notification(method: &str) -> Bytes {
    line(&Outgoing {
        id: None,
        method,
        params: None::<()>,
    })
    .expect("a string can always be written as JSON")
}

pub(super) fn answer<R: Serialize>(id: &RequestId, result: &R) -> Result<Bytes, serde_json::Error> {
    line(&AnswerLine { id, result })
}

pub(super) fn error(id: &RequestId, code: i64, message: &str) -> Bytes {
    line(&ErrorLine {
        id,
        error: ErrorBody { code, message },
    })
    .expect("strings can always be written as JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_kinds_are_told_apart() {
        type Case = (&'static str, fn(&Incoming<'_>) -> bool);
        let cases: [Case; 8] = [
            (r#"{"id":1,"result":{"a":1}}"#, |m| {
                matches!(
                    m,
                    Incoming::Answer {
                        id: 1,
                        outcome: Ok(_)
                    }
                )
            }),
            (
                r#"{"id":1,"result":null}"#,
                |m| matches!(m, Incoming::Answer { outcome: Ok(raw), .. } if raw.get() == "null"),
            ),
            (
                r#"{"id":1,"error":{"code":-32600,"message":"m"}}"#,
                |m| matches!(m, Incoming::Answer { outcome: Err(error), .. } if error.code == -32600),
            ),
            (r#"{"id":1,"result":{},"error":null,"new":[]}"#, |m| {
                matches!(m, Incoming::Answer { outcome: Ok(_), .. })
            }),
            (r#"{"method":"m","id":0,"params":{}}"#, |m| {
                matches!(
                    m,
                    Incoming::Request {
                        id: RequestId::Number(0),
                        ..
                    }
                )
            }),
            (
                r#"{"method":"m","id":"s"}"#,
                |m| matches!(m, Incoming::Request { id: RequestId::Text(_), params, .. } if params.get() == "null"),
            ),
            (r#"{"method":"m","params":{},"emittedAtMs":5}"#, |m| {
                matches!(m, Incoming::Notification { .. })
            }),
            (
                r#"{"jsonrpc":"2.0","method":"a\/b"}"#,
                |m| matches!(m, Incoming::Notification { method, .. } if method == "a/b"),
            ),
        ];
        for (line, is) in cases {
            let message = Incoming::parse(line.as_bytes()).unwrap();
            assert!(is(&message), "{line}: {message:?}");
        }
    }

    #[test]
    fn garbage_is_an_error_that_quotes_nothing() {
        for line in [
            "",
            "{",
            "[]",
            "7",
            r#"{"id":1}"#,
            r#"{"id":"x","result":1}"#,
            r#"{"id":-1,"result":1}"#,
            "secret",
        ] {
            let error = Incoming::parse(line.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("secret"));
        }
        assert!(
            Incoming::parse(b"{\"method\":\"\xff\"}").is_err(),
            "invalid UTF-8"
        );
    }

    #[test]
    fn ids_of_both_types_are_kept_apart() {
        assert_eq!(RequestId::Number(92).to_string(), "92");
        assert_eq!(RequestId::Text("92".into()).to_string(), "\"92\"");
    }

    #[test]
    fn outgoing_messages_are_single_lines() {
        let line = call(3, "m", &json!({"text": "a\nb\u{2028}c"})).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(
            &notification("initialized")[..],
            b"{\"method\":\"initialized\"}\n"
        );
        assert_eq!(
            &error(&RequestId::Number(0), -1, "m")[..],
            b"{\"id\":0,\"error\":{\"code\":-1,\"message\":\"m\"}}\n"
        );
        assert_eq!(
            &answer(&RequestId::Text("x".into()), &json!({})).unwrap()[..],
            b"{\"id\":\"x\",\"result\":{}}\n"
        );
    }
}
