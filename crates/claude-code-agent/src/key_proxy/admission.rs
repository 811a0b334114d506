//! Who passes.

use std::sync::Arc;

use hyper::{Method, header, http::request};

use super::{
    answer::Refusal,
    headers::API_KEY,
    lease::{Grant, Leases},
};

/// A request that may pass.
pub(super) struct Admitted {
    pub(super) grant: Arc<Grant>,
    /// The path at the API, below its base URL.
    pub(super) path: &'static [&'static str],
}

/// Looks at the head of a request. Without a good token it says nothing about anything else.
pub(super) fn admit(leases: &Leases, head: &request::Parts) -> Result<Admitted, Refusal> {
    let (id, path) = split(head.uri.path()).ok_or(Refusal::Token)?;
    let grant = leases.find(id).ok_or(Refusal::Token)?;
    if !tokens(head).any(|token| grant.has_token(token)) {
        return Err(Refusal::Token);
    }
    let path = match path {
        _ if head.method != Method::POST => return Err(Refusal::Path),
        "/v1/messages" => &["v1", "messages"][..],
        "/v1/messages/count_tokens" => &["v1", "messages", "count_tokens"][..],
        _ => return Err(Refusal::Path),
    };
    if !grant.turn_runs() {
        return Err(Refusal::NoTurn);
    }
    Ok(Admitted { grant, path })
}

/// The lease's number and the path after it.
fn split(path: &str) -> Option<(u64, &str)> {
    let rest = path.strip_prefix('/')?;
    let (id, _) = rest.split_once('/')?;
    Some((id.parse().ok()?, &rest[id.len()..]))
}

fn tokens(head: &request::Parts) -> impl Iterator<Item = &[u8]> {
    let bearer = head
        .headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| value.as_bytes().split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, token)| token);
    let keys = head.headers.get_all(API_KEY).iter();
    keys.map(|value| value.as_bytes()).chain(bearer)
}
