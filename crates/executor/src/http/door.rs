//! Who may ask: whoever has the executor's token, if it has one.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::answer::Refusal;
use crate::config::DoorToken;

/// What anybody may ask: whether we are up.
const OPEN: [&str; 3] = ["/", "/ready", "/health"];
/// Carries the token where `Authorization` is taken already.
const OWN_HEADER: &str = "x-executor-token";

/// The door of the server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Door(Option<Arc<DoorToken>>);

impl Door {
    /// A door that `token` opens; one that is open to all without one.
    pub(super) fn new(token: Option<DoorToken>) -> Self {
        Self(token.map(Arc::new))
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// The refusal that says why not.
    pub(super) fn pass(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let open = OPEN.contains(&path) && matches!(*method, Method::GET | Method::HEAD);
        let Some(token) = self.0.as_ref().filter(|_| !open) else {
            return Ok(());
        };
        // All that were brought are tried: a proxy in between may have an `Authorization` of its own.
        let mut brought = brought(headers).peekable();
        if brought.peek().is_none() {
            return Err(refused(
                "this executor answers only with its token, as `Authorization: Bearer …`",
            ));
        }
        match brought.any(|given| token.opens(given)) {
            true => Ok(()),
            false => Err(refused("this is not the executor's token")),
        }
    }
}

fn brought(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter();
    let bearer = bearer.filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| token.trim_ascii())
    });
    let own = headers.get_all(OWN_HEADER).iter();
    bearer.chain(own.map(|value| value.as_bytes().trim_ascii()))
}

fn refused(detail: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, detail)
}
