//! How the API is reached.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    thread,
};

use claude_code_agent::key_proxy::{KeyProxy, Lease, Target, UpstreamConfig};
use http_client::{HttpUrl, Proxies};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivatePkcs8KeyDer};

use crate::{
    KEY, target,
    wire::{Api, Head, Wire, answer, request},
};

async fn ask(lease: &Lease) -> (Head, String) {
    let _turn = lease.allow();
    let mut cli = Wire::connect(&lease.base_url()).await;
    cli.write(request(lease, "/v1/messages", "{}")).await;
    cli.answer().await
}

#[tokio::test]
async fn the_operators_proxies_are_used() {
    let mut operators = Api::start().await;
    let url = HttpUrl::parse(&operators.url).unwrap();
    let config = UpstreamConfig {
        proxies: Proxies {
            http: Some(url.clone()),
            https: Some(url),
            exempt: None,
        },
        ca_file: None,
    };
    let proxy = KeyProxy::start(config).await.unwrap();
    let lease = proxy.open(target("http://model.invalid/a"));
    let plain = async {
        let mut seen = operators.next().await;
        let head = seen.head().await;
        assert_eq!(
            head.first,
            "POST http://model.invalid/a/v1/messages HTTP/1.1"
        );
        assert_eq!(head.get("x-api-key"), Some(KEY));
        seen.write(answer(200, "", "{}")).await;
    };
    assert_eq!(tokio::join!(ask(&lease), plain).0.0.status(), 200);

    lease.retarget(target("https://model.invalid"));
    let tunnel = async {
        let mut seen = operators.next().await;
        let head = seen.head().await;
        assert_eq!(head.first, "CONNECT model.invalid:443 HTTP/1.1");
        assert_eq!(head.get("x-api-key"), None);
        seen.write(answer(403, "", "")).await;
    };
    assert_eq!(tokio::join!(ask(&lease), tunnel).0.0.status(), 502);
}

#[tokio::test]
async fn an_api_with_a_certificate_of_our_own_ca_is_reached_over_tls() {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    let url = tls_api(&certified);

    let stranger = KeyProxy::start(UpstreamConfig::default()).await.unwrap();
    let (head, body) = ask(&stranger.open(target(&url))).await;
    assert_eq!(head.status(), 502);
    assert!(body.contains("certificate"), "{body}");

    let config = UpstreamConfig {
        ca_file: Some(ca_file),
        ..UpstreamConfig::default()
    };
    let proxy = KeyProxy::start(config).await.unwrap();
    let (head, body) = ask(&proxy.open(target(&url))).await;
    assert_eq!((head.status(), body.as_str()), (200, "as expected"));
}

#[tokio::test]
async fn credentials_in_the_base_url_become_a_header() {
    let mut api = Api::start().await;
    let proxy = KeyProxy::start(UpstreamConfig::default()).await.unwrap();
    let base = api.url.replace("http://", "http://user:p%40ss@");
    let none = std::iter::empty::<(&str, secrecy::SecretString)>();
    let lease = proxy.open(Target::new(&base, none).unwrap());
    let _turn = lease.allow();
    let mut cli = Wire::connect(&lease.base_url()).await;
    cli.write(request(&lease, "/v1/messages", "{}")).await;
    let head = api.next().await.head().await;
    // "user:p@ss" in base64.
    assert_eq!(head.get("authorization"), Some("Basic dXNlcjpwQHNz"));
    assert!(!head.get("host").unwrap().contains('@'));
}

/// Answers requests with the real key over TLS, on a thread: rustls alone needs no runtime.
fn tls_api(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, stream.unwrap());
            let mut request = [0; 4096];
            // One that doesn't trust us hangs up.
            let Ok(length) = stream.read(&mut request) else {
                continue;
            };
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let known = request.contains(&format!("x-api-key: {KEY}\r\n"));
            let body = if known { "as expected" } else { "who are you" };
            let _ = stream.write_all(answer(200, "", body).as_bytes());
        }
    });
    url
}
