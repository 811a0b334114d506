//! Codex's dialect of JSON-RPC: one JSON object per line, no `jsonrpc` member, requests in both directions.
//!
//! [`connect`] gives a cheap handle ([`Peer`]) and the [`Driver`] that reads and writes. Reader and writer are separate
//! tasks and **the reader never waits for the writer**: codex stops reading while nobody reads its stdout, so a client
//! in which one waits for the other can hang for ever.
//!
//! Two id spaces: ours (numbers from 1) and codex's (its own counter from 0, or strings). They collide and are never
//! mixed: an answer is looked up among our calls, a request carries its id back in its [`Reply`].

mod driver;
mod message;
mod peer;
mod pending;
mod reply;

pub(crate) use self::{
    driver::{Closer, Driver, Handler, connect},
    message::{INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND},
    peer::Peer,
    reply::Reply,
};
pub use self::{message::RequestId, peer::Limits};
