//! What each side gets to see.

use claude_code_agent::key_proxy::Target;
use secrecy::ExposeSecret;

use crate::{
    KEY, Scene,
    wire::{STREAM, Wire, answer, full_path, raw_request, request},
};

#[tokio::test]
async fn the_api_gets_the_key_and_the_clis_headers_but_not_the_connections() {
    let mut scene = Scene::new().await;
    let headers = [("x-api-key", KEY), ("X-Gateway", "gateway-secret")];
    let headers = headers.map(|(name, value)| (name, value.into()));
    scene
        .lease
        .retarget(Target::new(&scene.api.url, headers).unwrap());
    let token = scene.lease.token().expose_secret();
    let own = format!(
        "x-api-key: {token}\r\nauthorization: Bearer {token}\r\nx-gateway: from the cli\r\n\
         connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nte: trailers\r\n\
         proxy-authorization: Basic x\r\naccept-encoding: gzip, br\r\nexpect: 100-continue\r\n\
         anthropic-version: 2023-06-01\r\nanthropic-beta: a,b\r\nuser-agent: claude-cli/2\r\naccept: application/json\r\n"
    );
    let path = full_path(&scene.lease, "/v1/messages");
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    cli.write(raw_request("POST", &path, &own, "{}")).await;
    let head = scene.api.next().await.head().await;

    assert!(!head.shows(token), "{head:?}");
    for (name, value) in [
        ("x-api-key", Some(KEY)),
        ("x-gateway", Some("gateway-secret")),
        ("anthropic-version", Some("2023-06-01")),
        ("anthropic-beta", Some("a,b")),
        ("user-agent", Some("claude-cli/2")),
        ("accept", Some("application/json")),
        ("content-length", Some("2")),
        ("authorization", None),
        ("connection", None),
        ("x-hop", None),
        ("keep-alive", None),
        ("te", None),
        ("proxy-authorization", None),
        ("accept-encoding", None),
        ("expect", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(head.get(name), value, "{name}");
    }
}

#[tokio::test]
async fn the_cli_gets_the_answers_headers_but_not_the_connections_or_the_key() {
    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    let headers = format!(
        "content-type: application/json\r\nrequest-id: req_1\r\nretry-after: 3\r\n\
         anthropic-ratelimit-requests-remaining: 7\r\nconnection: x-hop\r\nx-hop: 1\r\n\
         keep-alive: timeout=5\r\nx-echo: {KEY}\r\n"
    );
    api.write(answer(202, &headers, "{\"a\":1}")).await;
    let (head, body) = cli.answer().await;
    assert_eq!((head.status(), body.as_str()), (202, "{\"a\":1}"));
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("request-id", Some("req_1")),
        ("retry-after", Some("3")),
        ("anthropic-ratelimit-requests-remaining", Some("7")),
        ("connection", None),
        ("x-hop", None),
        ("keep-alive", None),
        ("x-echo", None),
    ] {
        assert_eq!(head.get(name), value, "{name}");
    }
}

#[tokio::test]
async fn an_error_that_repeats_the_key_is_passed_on_without_it() {
    for (key, header) in [(KEY, "x-api-key"), (KEY, "authorization")] {
        let mut scene = Scene::new().await;
        let value = if header == "authorization" {
            format!("Bearer {key}")
        } else {
            key.to_owned()
        };
        let target = Target::new(&scene.api.url, [(header, value.into())]).unwrap();
        scene.lease.retarget(target);
        let (mut cli, mut api) = scene.exchange().await;
        let message = format!(r#"{{"type":"error","error":{{"message":"no such key: {key}"}}}}"#);
        let headers = format!("retry-after: 9\r\nx-seen: {key}\r\n");
        api.write(answer(401, &headers, &message)).await;
        let (head, body) = cli.answer().await;
        assert_eq!(head.status(), 401);
        assert_eq!(head.get("retry-after"), Some("9"));
        assert_eq!(body, message.replace(key, redact::PLACEHOLDER));
        assert!(!head.shows(key));
    }
}

#[tokio::test]
async fn an_error_that_cannot_be_read_keeps_its_status_only() {
    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    api.write(answer(429, "content-encoding: gzip\r\n", "\u{1f}"))
        .await;
    let (head, body) = cli.answer().await;
    assert_eq!(head.status(), 429);
    assert!(body.contains("compressed"), "{body}");

    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    api.write(STREAM.replace("200 OK", "529 Busy")).await;
    api.write_chunk("half").await;
    drop(api);
    let (head, body) = cli.answer().await;
    assert_eq!(head.status(), 529);
    assert!(body.contains("broke off"), "{body}");
}

#[tokio::test]
async fn an_api_that_is_down_is_named_without_credentials() {
    let scene = Scene::new().await;
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let base = format!("http://user:pass-word@127.0.0.1:{port}/x");
    let target = Target::new(&base, [("x-api-key", KEY.into())]).unwrap();
    scene.lease.retarget(target);
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    // Larger than what sockets hold: the answer comes although nobody wanted the body.
    let body = " ".repeat(16 << 20);
    cli.write(request(&scene.lease, "/v1/messages", &body))
        .await;
    let (head, body) = cli.answer().await;
    assert_eq!(head.status(), 502);
    let message: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(message["error"]["type"], "api_error");
    assert!(
        body.contains(&format!("http://127.0.0.1:{port} ")),
        "{body}"
    );
    assert!(body.contains("refused"), "{body}");
    assert!(!body.contains("pass-word") && !body.contains(KEY), "{body}");
}
