//! Wegent's messages: requests decoded into turns, events encoded into callbacks.
//!
//! # How it works
//!
//! [`decode`] turns the body of a dispatch into a [`Dispatch`]: a typed [`Turn`](agent_core::Turn) to run, and
//! the [`Envelope`] that its callbacks repeat. While the turn runs the executor keeps a journal of
//! [`TurnRecord`]s. An [`Encoder`] folds these into the callbacks that Wegent's manager takes.
//!
//! The journal holds events, not callbacks, and the encoder sits behind it: what piled up while the network
//! was away is merged into few messages, and what a message needs of the past (the `offset` of a text, the
//! output of a tool so far) is the encoder's state, rebuilt by replaying the journal.
//!
//! # Guarantees
//!
//! * Pure functions: no clock, no I/O. Times come with the records.
//! * The same records give the same bytes. The state after a record does not depend on how the records before
//!   it were batched.
//! * Nothing after a terminal message, and exactly one of those per turn.
//! * Keys and tokens are `SecretString`s from the decoder on, and [`Dispatch::secrets`] names them all.
//!
//! # Example
//!
//! ```
//! let dispatch = wegent_protocol::decode(br#"{
//!     "input": "Say hello.",
//!     "metadata": {"task_id": 7, "subtask_id": "9", "bot": {"name": "b", "shell_type": "Codex"}}
//! }"#)?;
//! assert_eq!(dispatch.key.to_string(), "7-9");
//! assert_eq!(dispatch.turn().unwrap().prompt.joined_text(), "Say hello.");
//!
//! let refused = wegent_protocol::decode(br#"{"metadata": {"task_id": "abc"}}"#).unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     r#"metadata.task_id: expected an integer or a string of digits, got "abc""#
//! );
//! # Ok::<(), wegent_protocol::DecodeError>(())
//! ```
#![warn(missing_docs)]

pub mod backend;
mod class;
mod encode;
mod fingerprint;
mod protocol;
mod record;
mod request;

pub use class::{EXECUTOR_RESTARTED, WORKSPACE_UNSUPPORTED, limit_code, ui_code};
pub use encode::{
    Allowance, CodexEvents, CumulativeEncoder, Encoder, Message, Recorded, ResponsesEncoder, Rest,
    Step, encoder,
};
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use protocol::Protocol;
pub use record::{EndKind, RecordBody, TurnEnd, TurnHeader, TurnRecord, response_id};
pub use request::{
    AttachmentSync, Check, CheckStatus, DecodeError, Dispatch, Envelope, FlatRules, Refused,
    SkillSync, TaskFacts, Validation, ValidationReport, Work, decode, decode_attachment_sync,
    decode_flat, decode_kept, decode_skill_sync, decode_task_info,
};
