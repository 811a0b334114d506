//! The Connect protocol, as far as it is needed: JSON messages, alone or in envelopes.
//!
//! An envelope is a byte of flags, the message's length in four bytes (big-endian), and the message.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::answer::{Code, Refusal};

/// The media type of a stream of envelopes.
pub(crate) const STREAM: &str = "application/connect+json";
/// The flag of a compressed message.
const COMPRESSED: u8 = 1;
/// The flag of a stream's last envelope.
const END: u8 = 2;
/// The bytes before a message.
const HEAD: usize = 5;

/// The first message of a request that may be a stream. One without an envelope counts too.
pub(crate) fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let message = match body.first() {
        // No JSON text begins with such a byte.
        Some(flags) if *flags < b' ' && !flags.is_ascii_whitespace() => opened(body)?,
        _ => body,
    };
    plain(message)
}

/// A message without an envelope; none at all is an empty one.
pub(crate) fn plain<T: DeserializeOwned>(message: &[u8]) -> Result<T, Refusal> {
    let message = match message.trim_ascii() {
        b"" => b"{}",
        message => message,
    };
    serde_json::from_slice(message)
        .map_err(|error| Refusal::invalid(format!("request body: {error}")))
}

fn opened(body: &[u8]) -> Result<&[u8], Refusal> {
    let cut = || Refusal::invalid("request body: the envelope is cut off");
    let (head, rest) = body.split_at_checked(HEAD).ok_or_else(cut)?;
    if head[0] & COMPRESSED != 0 {
        return Err(Refusal::invalid(
            "request body: compressed messages are not read here",
        ));
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or_else(cut)
}

/// A message in its envelope.
pub(crate) fn envelope(message: &impl Serialize) -> Bytes {
    sealed(0, message)
}

/// The end of a stream; with an error if it was cut short.
pub(crate) fn end(error: Option<(Code, &str)>) -> Bytes {
    #[derive(Serialize)]
    struct End<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Error<'a>>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        code: Code,
        message: &'a str,
    }
    let error = error.map(|(code, message)| Error { code, message });
    sealed(END, &End { error })
}

fn sealed(flags: u8, message: &impl Serialize) -> Bytes {
    let message = serde_json::to_vec(message).expect("our messages have text keys");
    let mut bytes = BytesMut::with_capacity(HEAD + message.len());
    bytes.put_u8(flags);
    bytes.put_u32(u32::try_from(message.len()).expect("messages are of one read of a pipe"));
    bytes.put_slice(&message);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn messages_are_read_with_and_without_an_envelope() {
        let wanted = json!({"a": 1});
        for body in [envelope(&wanted).to_vec(), wanted.to_string().into_bytes()] {
            assert_eq!(message::<Value>(&body).unwrap(), wanted);
        }
        assert_eq!(message::<Value>(b" ").unwrap(), json!({}));
    }

    #[test]
    fn what_is_cut_off_or_compressed_is_refused() {
        let whole = envelope(&json!({"a": 1}));
        for length in 1..whole.len() {
            assert!(message::<Value>(&whole[..length]).is_err(), "{length}");
        }
        let mut compressed = whole.to_vec();
        compressed[0] = COMPRESSED;
        let refused = message::<Value>(&compressed).unwrap_err();
        assert!(refused.message.contains("compressed"));
        let mut huge = whole.to_vec();
        huge[1..5].fill(0xff);
        assert!(message::<Value>(&huge).is_err());
    }

    #[test]
    fn the_end_is_marked() {
        assert_eq!(&end(None)[..], b"\x02\0\0\0\x02{}");
    }
}
