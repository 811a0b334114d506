//! A sandbox that listens, and a caller that reads streams as they come.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::http::client::{self, Answer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) root: TempDir,
    pub(crate) sandbox: Sandbox,
    address: SocketAddr,
    _server: JoinSet<()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        // Keeps the guard in this binary.
        testkit::init();
        let root = tempfile::tempdir().unwrap();
        let variables = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("IMAGE", "yes"),
            ("_PYI_X", "no"),
        ];
        let environment =
            variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let sandbox = Sandbox::new(SandboxConfig {
            owner: "test".to_owned(),
            environment: environment.into_iter().collect(),
            homes: vec!["/nonexistent".into(), root.path().to_path_buf()],
            largest_download: 1 << 20,
            temporary: root.path().to_path_buf(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = sandbox.routes();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            root,
            sandbox,
            address,
            _server: server,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        client::get(&self.url(target), SOON).await.unwrap()
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        client::post(&self.url(target), body, SOON).await.unwrap()
    }

    /// Starts a shell and gives the stream of what it says.
    pub(crate) async fn shell(&self, script: &str, headers: &str) -> Streamed {
        let process = json!({"cmd": "/bin/sh", "args": ["-c", script]});
        self.start(&json!({"process": process, "stdin": true}), headers)
            .await
    }

    pub(crate) async fn start(&self, body: &Value, headers: &str) -> Streamed {
        let message = body.to_string();
        let length = message.len();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST /process.Process/Start HTTP/1.1\r\nhost: a\r\nconnect-protocol-version: 1\r\n{headers}\
             content-type: application/connect+json\r\ncontent-length: {}\r\n\r\n",
            length + 5
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        stream
            .write_all(&u32::try_from(length).unwrap().to_be_bytes())
            .await
            .unwrap();
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut streamed = Streamed {
            stream,
            bytes: Vec::new(),
        };
        let head = streamed.line_end(b"\r\n\r\n").await;
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(
            head.contains("content-type: application/connect+json"),
            "{head}"
        );
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        streamed
    }
}

/// An answer that comes in chunks, one envelope each.
pub(crate) struct Streamed {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Streamed {
    async fn more(&mut self) {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(SOON, self.stream.read(&mut buffer)).await;
        let count = read.expect("something should have come").unwrap();
        assert_ne!(count, 0, "the stream broke off");
        self.bytes.extend_from_slice(&buffer[..count]);
    }

    async fn line_end(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.bytes.windows(end.len()).position(|bytes| bytes == end) {
                let rest = self.bytes.split_off(at + end.len());
                return std::mem::replace(&mut self.bytes, rest);
            }
            self.more().await;
        }
    }

    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.bytes.len() < count {
            self.more().await;
        }
        let rest = self.bytes.split_off(count);
        std::mem::replace(&mut self.bytes, rest)
    }

    /// The next envelope: its flags and its message. hyper makes a chunk of each.
    pub(crate) async fn next(&mut self) -> (u8, Value) {
        let size = self.line_end(b"\r\n").await;
        let size = std::str::from_utf8(&size).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        assert!(size >= 5, "an envelope in a chunk");
        let chunk = self.exactly(size + 2).await;
        let length = u32::from_be_bytes(chunk[1..5].try_into().unwrap());
        let message = &chunk[5..size];
        assert_eq!(message.len(), usize::try_from(length).unwrap());
        (chunk[0], serde_json::from_slice(message).unwrap())
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        let (flags, mut message) = self.next().await;
        assert_eq!(flags, 0, "{message}");
        message["event"].take()
    }

    pub(crate) async fn pid(&mut self) -> i64 {
        self.event().await["start"]["pid"].as_i64().unwrap()
    }

    /// Everything to the end: stdout, stderr, and the end's event.
    pub(crate) async fn rest(&mut self) -> (String, String, Value) {
        let (mut out, mut err) = (String::new(), String::new());
        loop {
            let event = self.event().await;
            if event.get("end").is_some() {
                let (flags, end) = self.next().await;
                assert_eq!((flags, end), (2, json!({})));
                return (out, err, event["end"].clone());
            }
            out += &text(&event, "stdout");
            err += &text(&event, "stderr");
        }
    }
}

/// What a data event says on a stream.
pub(crate) fn text(event: &Value, stream: &str) -> String {
    let text = event["data"][stream].as_str().unwrap_or_default();
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}
