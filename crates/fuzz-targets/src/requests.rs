//! What Wegent sends.

use agent_core::{Attempt, substitute::substitute};
use wegent_protocol::{
    DecodeError, Dispatch, FlatRules, TurnHeader, decode, decode_flat, decode_task_info,
};

/// A body in any of the forms of a request: what can be read can be recorded, what can't be is told.
pub(crate) fn request(data: &[u8]) {
    let rules = FlatRules::default();
    let read: [Result<Dispatch, DecodeError>; 3] = [
        decode(data),
        decode_flat(data, rules),
        decode_task_info(data, rules),
    ];
    for read in read {
        match read {
            Ok(dispatch) => {
                let header = TurnHeader::new(&dispatch, Attempt(1), None, 0);
                let text = serde_json::to_string(&header).expect("a header is plain JSON");
                let again: TurnHeader = serde_json::from_str(&text).expect("it is read back");
                assert_eq!(again.fingerprint, header.fingerprint);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// A text, then after a zero byte the JSON that its placeholders name.
pub(crate) fn substitution(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
    let root = halves.next().unwrap_or_default();
    let root = serde_json::from_slice(root).unwrap_or_default();
    let made = substitute(&text, &root);
    if !text.contains("${{") {
        assert_eq!(made, text);
    }
    // Nothing can be found in nothing.
    assert_eq!(substitute(&text, &serde_json::Value::Null), text);
}
