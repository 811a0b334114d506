//! The protocol types against codex's own schema.

use std::collections::BTreeSet;

use codex_app_server::protocol::{CodexErrorKind, Notification, ServerRequest, ThreadItem};

const SCHEMA: &str = include_str!("../schema/0.169.0.txt");

/// Requests of codex that are refused without anybody being asked: logins and modes that we never use, and the two
/// approvals of the first protocol.
const REFUSED: &[&str] = &[
    "account/chatgptAuthTokens/refresh",
    "applyPatchApproval",
    "attestation/generate",
    "execCommandApproval",
];

fn schema(kind: &str) -> BTreeSet<&'static str> {
    let names = SCHEMA
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))
        .collect();
    assert!(names != BTreeSet::new(), "the schema lists no {kind}");
    names
}

fn set(names: &[&'static str]) -> BTreeSet<&'static str> {
    names.iter().copied().collect()
}

#[test]
fn every_item_of_the_schema_is_typed() {
    assert_eq!(set(ThreadItem::KNOWN), schema("item"));
}

#[test]
fn every_request_of_the_schema_is_typed_or_refused_on_purpose() {
    let ours: BTreeSet<_> = set(ServerRequest::KNOWN)
        .union(&set(REFUSED))
        .copied()
        .collect();
    assert_eq!(ours, schema("request"));
}

#[test]
fn every_error_of_the_schema_is_named() {
    assert_eq!(set(CodexErrorKind::KNOWN), schema("error"));
}

#[test]
fn every_notification_that_is_read_is_in_the_schema() {
    let unknown: Vec<_> = set(Notification::KNOWN)
        .difference(&schema("notification"))
        .copied()
        .collect();
    assert_eq!(unknown, [""; 0]);
}
