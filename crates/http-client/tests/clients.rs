//! What clients do on the wire.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::sync::Arc;

use http_client::{HttpClients, HttpUrl, Proxies, Settings};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

/// Answers everything with a redirect and remembers the first line of each request.
struct Sink {
    url: HttpUrl,
    seen: mpsc::Receiver<String>,
    _server: JoinSet<()>,
}

impl Sink {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = HttpUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (sender, seen) = mpsc::channel(16);
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                sender.send(redirect(stream).await).await.unwrap();
            }
        });
        Self {
            url,
            seen,
            _server: server,
        }
    }
}

async fn redirect(mut stream: TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = "HTTP/1.1 307 Away\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let head = String::from_utf8(head).unwrap();
    head.lines().next().unwrap().to_owned()
}

async fn get(clients: &HttpClients, url: &HttpUrl) -> reqwest::Result<reqwest::Response> {
    let client = clients.client_for(url).await.unwrap();
    client.get(url.as_url().clone()).send().await
}

#[tokio::test]
async fn a_proxy_is_used_but_never_for_loopback_or_exempt_hosts() {
    let (mut proxy, mut local) = (Sink::start().await, Sink::start().await);
    let clients = HttpClients::new(Proxies {
        http: Some(proxy.url.clone()),
        https: Some(proxy.url.clone()),
        exempt: Some("exempt.invalid".to_owned()),
    })
    .unwrap();

    let outside = HttpUrl::parse("http://manager.invalid/a").unwrap();
    get(&clients, &outside).await.unwrap();
    let seen = proxy.seen.recv().await.unwrap();
    assert_eq!(seen, "GET http://manager.invalid/a HTTP/1.1");

    let secure = HttpUrl::parse("https://api.invalid/a").unwrap();
    get(&clients, &secure).await.unwrap_err();
    let seen = proxy.seen.recv().await.unwrap();
    assert_eq!(seen, "CONNECT api.invalid:443 HTTP/1.1");

    get(&clients, &local.url).await.unwrap();
    assert_eq!(local.seen.recv().await.unwrap(), "GET / HTTP/1.1");

    let exempt = HttpUrl::parse("http://exempt.invalid/").unwrap();
    get(&clients, &exempt).await.unwrap_err();
    assert!(proxy.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut sink = Sink::start().await;
    let clients = HttpClients::new(Proxies::default()).unwrap();
    let answer = get(&clients, &sink.url).await.unwrap();
    assert_eq!(answer.status().as_u16(), 307);
    sink.seen.recv().await.unwrap();
    assert!(sink.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_ca_of_our_own_is_trusted_beside_the_systems() {
    let authority = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.cert.pem()).unwrap();
    let (url, _server) = tls_server(&authority).await;

    let stranger = HttpClients::new(Proxies::default()).unwrap();
    assert!(get(&stranger, &url).await.unwrap_err().is_connect());
    let clients = HttpClients::with_settings(Settings {
        ca_file: Some(ca_file),
        ..Settings::default()
    })
    .unwrap();
    let answer = get(&clients, &url).await.unwrap();
    assert_eq!(answer.status().as_u16(), 204);
}

/// Serves each connection one answer, on a thread: rustls alone needs no runtime.
async fn tls_server(
    certified: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> (HttpUrl, std::thread::JoinHandle<()>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = HttpUrl::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            // One that doesn't trust us hangs up.
            if stream.read(&mut [0; 4096]).is_ok() {
                let answer = b"HTTP/1.1 204 None\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
            }
        }
    });
    (url, server)
}
