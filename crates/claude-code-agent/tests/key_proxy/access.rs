//! Who passes, and where to.

use claude_code_agent::key_proxy::{Lease, Target};
use secrecy::ExposeSecret;

use crate::{
    Scene, target,
    wire::{Api, Head, Wire, answer, full_path, raw_request, request},
};

async fn ask(lease: &Lease, request: &str) -> (Head, String) {
    let mut cli = Wire::connect(&lease.base_url()).await;
    cli.write(request).await;
    cli.answer().await
}

fn is_error(answer: &(Head, String), status: u16, kind: &str) -> bool {
    let body: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
    answer.0.status() == status
        && answer.0.get("content-type") == Some("application/json")
        && body["type"] == "error"
        && body["error"]["type"] == kind
}

#[tokio::test]
async fn only_the_leases_own_token_passes_in_either_header() {
    let mut scene = Scene::new().await;
    let other = scene.proxy.open(target(&scene.api.url));
    let _other_turn = other.allow();
    let token = scene.lease.token().expose_secret();
    let path = full_path(&scene.lease, "/v1/messages");
    for headers in [
        String::new(),
        "x-api-key: \r\n".to_owned(),
        format!("x-api-key: {}\r\n", other.token().expose_secret()),
        format!("x-api-key: {}\r\n", &token[1..]),
        format!("x-api-key: Bearer {token}\r\n"),
        format!("authorization: Basic {token}\r\n"),
        format!("authorization: {token}\r\n"),
        format!("x-other: {token}\r\n"),
    ] {
        let answer = ask(&scene.lease, &raw_request("POST", &path, &headers, "{}")).await;
        assert!(is_error(&answer, 401, "authentication_error"), "{headers}");
    }
    for path in ["/v1/messages", "/", "/77/v1/messages", "/x/v1/messages"] {
        let headers = format!("x-api-key: {token}\r\n");
        let answer = ask(&scene.lease, &raw_request("POST", path, &headers, "{}")).await;
        assert!(is_error(&answer, 401, "authentication_error"), "{path}");
    }
    assert!(scene.api.is_unused());

    for headers in [
        format!("x-api-key: {token}\r\n"),
        format!("authorization: Bearer {token}\r\n"),
        format!("x-api-key: other\r\nAuthorization: bearer {token}\r\n"),
    ] {
        let mut cli = Wire::connect(&scene.lease.base_url()).await;
        cli.write(raw_request("POST", &path, &headers, "{}")).await;
        let head = scene.api.next().await.head().await;
        assert!(!head.shows(token) && !head.shows("other"), "{head:?}");
    }
}

#[tokio::test]
async fn only_posts_to_the_messages_paths_pass() {
    let mut scene = Scene::new().await;
    let key = format!("x-api-key: {}\r\n", scene.lease.token().expose_secret());
    for (method, path) in [
        ("POST", "/v1/models"),
        ("POST", "/v1/messages/"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/messages/../models"),
        ("POST", "/v1/messages%2Fcount_tokens"),
        ("POST", "/v1//messages"),
        ("POST", "//v1/messages"),
        ("POST", "/"),
        ("GET", "/v1/messages"),
        ("DELETE", "/v1/messages"),
    ] {
        let request = raw_request(method, &full_path(&scene.lease, path), &key, "{}");
        let answer = ask(&scene.lease, &request).await;
        assert!(
            is_error(&answer, 403, "permission_error"),
            "{method} {path}"
        );
    }
    assert!(scene.api.is_unused());

    for (path, first) in [
        ("/v1/messages", "POST /v1/messages HTTP/1.1"),
        (
            "/v1/messages?beta=true",
            "POST /v1/messages?beta=true HTTP/1.1",
        ),
        (
            "/v1/messages/count_tokens",
            "POST /v1/messages/count_tokens HTTP/1.1",
        ),
    ] {
        let mut cli = Wire::connect(&scene.lease.base_url()).await;
        cli.write(request(&scene.lease, path, "{}")).await;
        assert_eq!(scene.api.next().await.head().await.first, first);
    }
}

#[tokio::test]
async fn requests_pass_only_while_a_turn_runs() {
    let mut scene = Scene::new().await;
    let asked = request(&scene.lease, "/v1/messages", "{}");
    drop(scene.turn);
    let refused = ask(&scene.lease, &asked).await;
    assert!(is_error(&refused, 403, "permission_error"), "{refused:?}");
    assert!(scene.api.is_unused());

    let _turn = scene.lease.allow();
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    cli.write(asked).await;
    let mut api = scene.api.next().await;
    api.head().await;
    api.write(answer(200, "", "{}")).await;
    assert_eq!(cli.answer().await.0.status(), 200);
}

#[tokio::test]
async fn leases_reach_their_own_targets_and_new_ones_from_the_next_request_on() {
    let mut scene = Scene::new().await;
    let mut second = Api::start().await;
    let base = format!("{}/gateway/", second.url);
    let bearer = |key: &str| [("Authorization", format!("Bearer {key}").into())];
    let other = scene
        .proxy
        .open(Target::new(&base, bearer("second-key")).unwrap());
    let _other_turn = other.allow();

    let (mut first_cli, mut first_api) = scene.exchange().await;
    let mut cli = Wire::connect(&other.base_url()).await;
    cli.write(request(&other, "/v1/messages", "{}")).await;
    let mut api = second.next().await;
    let head = api.head().await;
    assert_eq!(head.first, "POST /gateway/v1/messages HTTP/1.1");
    assert_eq!(head.get("authorization"), Some("Bearer second-key"));
    assert_eq!(head.get("x-api-key"), None);
    assert!(second.url.ends_with(head.get("host").unwrap()));

    scene
        .lease
        .retarget(Target::new(&base, bearer("third-key")).unwrap());
    // What is under way stays where it is.
    first_api.write(answer(200, "", "first")).await;
    assert_eq!(first_cli.answer().await.1, "first");
    first_cli
        .write(request(&scene.lease, "/v1/messages", "{}"))
        .await;
    let head = second.next().await.head().await;
    assert_eq!(head.get("authorization"), Some("Bearer third-key"));
}

#[tokio::test]
async fn a_dropped_leases_token_is_worth_nothing() {
    let mut scene = Scene::new().await;
    let asked = request(&scene.lease, "/v1/messages", "{}");
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    drop(scene.lease);
    cli.write(asked).await;
    assert!(is_error(&cli.answer().await, 401, "authentication_error"));
    assert!(scene.api.is_unused());
}
