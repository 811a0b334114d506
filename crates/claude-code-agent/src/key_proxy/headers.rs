//! Which headers pass.

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::target::Target;

/// Headers that belong to one connection (RFC 9110, 7.6.1), as far as this proxy can meet them.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The header in which Anthropic's API takes a key.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Whether a header describes the message's bytes or the connection, so that nobody else may set it.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || HOP_BY_HOP.contains(name)
}

/// The headers of a request to the API, made of the CLI's.
pub(super) fn for_api(mut headers: HeaderMap, target: &Target) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    for ours in [
        API_KEY,
        header::AUTHORIZATION,
        header::HOST,
        // Answered here already, when the body was asked for.
        header::EXPECT,
        // Error answers have to be read, and a compressed stream tends to come late.
        header::ACCEPT_ENCODING,
    ] {
        headers.remove(ours);
    }
    for (name, value) in target.headers() {
        headers.insert(name, value.clone());
    }
    headers
}

/// The headers of an answer to the CLI, made of the API's: those that repeat a secret are left out.
pub(super) fn for_cli(headers: &mut HeaderMap, target: &Target) {
    remove_hop_by_hop(headers);
    let needed = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
    ];
    let repeats = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        target.secrets.redact_str(&text) != text
    };
    let leaking: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, value)| !needed.contains(name) && repeats(value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in leaking {
        headers.remove(name);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // How long the body is isn't the connection's business.
        .filter(|name| *name != header::CONTENT_LENGTH)
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    fn target() -> Target {
        Target::new(
            "http://a",
            [("authorization", "Bearer sk-real-key-1234".into())],
        )
        .unwrap()
    }

    #[test]
    fn keys_and_what_belongs_to_the_connection_are_replaced_or_dropped() {
        let given = headers(&[
            ("authorization", "Bearer token"),
            ("x-api-key", "token"),
            ("host", "127.0.0.1:1"),
            ("connection", "keep-alive, X-Own"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic x"),
            ("accept-encoding", "gzip"),
            ("anthropic-version", "2023-06-01"),
            ("content-length", "3"),
        ]);
        let expected = headers(&[
            ("anthropic-version", "2023-06-01"),
            ("content-length", "3"),
            ("authorization", "Bearer sk-real-key-1234"),
        ]);
        assert_eq!(for_api(given, &target()), expected);
    }

    #[test]
    fn an_answers_header_that_repeats_the_key_is_left_out() {
        let mut given = headers(&[
            ("x-seen", "key sk-real-key-1234"),
            ("x-auth", "Bearer sk-real-key-1234"),
            ("request-id", "req_1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
        ]);
        for_cli(&mut given, &target());
        assert_eq!(given, headers(&[("request-id", "req_1")]));
    }
}
