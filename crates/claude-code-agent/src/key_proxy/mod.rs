//! Keeps the model's key out of sight of the shells that Claude starts.
//!
//! Every shell command of Claude Code sees the CLI's whole environment. So the CLI gets no key but a token, and
//! as its API a [`KeyProxy`] on loopback, which puts the key in the token's place.
//!
//! # Theory of operation
//! [`KeyProxy::open`] gives a CLI process a [`Lease`]: a base URL with a path of its own and a random token. A
//! request passes when its token (`x-api-key` or `authorization: Bearer`) is the lease's, when it is a `POST` to
//! one of the Messages paths, and while a turn runs, that is while a [`TurnPass`] of the lease lives. The token
//! is taken off, the headers of the lease's [`Target`] are put on, and request and answer are streamed as they
//! are, without looking into them.
//!
//! A stolen token is thus good for what the agent itself does all the time, model calls while a turn runs, and
//! for nothing else: neither other paths of the provider nor another time or place.
//!
//! # Guarantees
//! * The token never reaches the model's API. Values of the target's headers never reach the CLI: not in the
//!   proxy's own errors, and not when the API repeats them in a header or in the body of an error answer (those
//!   are read whole and redacted; answers that succeed are not looked into).
//! * What was admitted may finish: the end of a pass stops new requests only. The end of the lease breaks
//!   everything off at once.
//! * When one side hangs up, so does the other. A stream that breaks at the API breaks at the CLI, too; it never
//!   looks finished. [`Lease::broke_off`] says so of the last one, as the CLI can't always tell.
//! * A refusal is JSON in the form of Anthropic's errors: 401 for the token, 403 for the path or when no turn
//!   runs, 502 when the API can't be reached.
//!
//! # Limits
//! Providers that sign requests (Bedrock, Vertex) take no key in a header: nothing can be hidden for them.
//! The API is asked not to compress its answers.
//!
//! ```
//! # use claude_code_agent::key_proxy::{KeyProxy, Target, UpstreamConfig};
//! # use secrecy::SecretString;
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = KeyProxy::start(UpstreamConfig::default()).await?;
//! let key = SecretString::from("the real key");
//! let lease = proxy.open(Target::new("https://api.anthropic.com", [("x-api-key", key)])?);
//! // The CLI's ANTHROPIC_BASE_URL is `lease.base_url()`, its ANTHROPIC_API_KEY `lease.token()`.
//! let turn = lease.allow();
//! // … the turn runs …
//! drop(turn);
//! # Ok(()) }
//! ```

mod admission;
mod answer;
mod forward;
mod headers;
mod lease;
mod listen;
mod relay;
mod target;
mod upload;

pub use lease::{Lease, TurnPass};
pub use listen::{KeyProxy, KeyProxyError, UpstreamConfig};
pub use target::{Target, TargetError};
