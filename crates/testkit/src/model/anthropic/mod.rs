//! Anthropic's Messages API, as far as Claude Code needs it.

mod errors;
mod request;
mod stream;

pub(super) use errors::{body as error_body, refusal};
pub(super) use request::{SEARCH, read};
pub(super) use stream::*;
