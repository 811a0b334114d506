//! What every agent shares: the [`Agent`] trait, turns and events, and the services around a turn.
//!
//! # How it works
//!
//! A platform's request is decoded elsewhere into a [`Turn`]. A [`prepare::Preparer`] makes the place it runs in and
//! fetches what it needs.
//! An [`Agent`] runs it: what happens goes to an [`EventSink`] as [`AgentEvent`]s, in order; how it ended
//! is the return value, [`Outcome`] or [`AgentError`]. So an agent can't say twice that a turn is over, and
//! can't go on talking afterwards. A question to the person ends the turn too: the answer comes with a later one
//! ([`interaction`]). Events pass the [`redaction::EventRedactor`] before anybody else sees them.
//!
//! # Guarantees
//!
//! * Nothing here knows a platform's messages, HTTP, or how events are stored.
//! * Text only grows: [`void_text`] is the one rule for streams that break and start over.
//! * A [`redaction::Redacted`] value has been through the redactor, or was read back from where one was stored.
//! * Keys are `SecretString`s from the decoder on; tools see the image's environment without them
//!   ([`environment`]).
//!
//! # Example
//!
//! ```
//! use agent_core::{AgentEvent, BlockId, EventSink};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (sink, mut events) = EventSink::new(16);
//! let block = BlockId::new("message-1").unwrap();
//! sink.emit(AgentEvent::Text { block, parent: None, delta: "Hello".into() }).await.unwrap();
//! assert!(matches!(events.recv().await, Some(AgentEvent::Text { delta, .. }) if delta == "Hello"));
//! # });
//! ```
#![warn(missing_docs)]

mod agent;
pub mod attachments;
pub mod confine;
pub mod downloads;
pub mod environment;
mod event;
pub mod git;
pub mod hook;
mod id;
pub mod interaction;
pub mod prepare;
pub mod program;
pub mod redaction;
pub mod scratch;
mod session;
mod sink;
pub mod skills;
pub mod substitute;
mod team;
mod turn;
pub mod void_text;
pub mod workspace;

pub use agent::*;
pub use event::*;
pub use host::error_chain;
pub use id::*;
pub use interaction::{
    AnswerStatus, AnswerValue, Choice, FORM_TOOL, Field, Form, FormAnswer, Permission, Question,
};
pub use session::{Resume, SessionStore, SessionStoreError};
pub use sink::{Emitted, EventSink, Events, Mark, NotDelivered, SinkClosed};
pub use team::Member;
pub use turn::*;
pub use workspace::{Layout, StateHome, Workspace};
