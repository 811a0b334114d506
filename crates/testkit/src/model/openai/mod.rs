//! OpenAI's Responses API, as far as Codex needs it.

mod errors;
mod request;
mod stream;

pub(super) use errors::refusal;
pub(super) use request::read;
pub(super) use stream::*;
