//! Sockets that speak just enough HTTP.

use std::{io, time::Duration};

use claude_code_agent::key_proxy::Lease;
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// More than anything here can take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The head of a streamed answer.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Listens; each connection is a test's to answer.
pub(crate) struct Api {
    pub(crate) url: String,
    connections: mpsc::Receiver<TcpStream>,
    _accepting: JoinSet<()>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, connections) = mpsc::channel(64);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            while sender
                .send(listener.accept().await.unwrap().0)
                .await
                .is_ok()
            {}
        });
        Self {
            url,
            connections,
            _accepting: accepting,
        }
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> Wire {
        let stream = timeout(PATIENCE, self.connections.recv()).await;
        Wire::new(stream.unwrap().unwrap())
    }

    /// The next connection, however long it takes.
    pub(crate) async fn next_or_end(&mut self) -> Option<Wire> {
        self.connections.recv().await.map(Wire::new)
    }

    /// Nobody has connected but those that were taken.
    pub(crate) fn is_unused(&mut self) -> bool {
        self.connections.try_recv().is_err()
    }
}

/// One end of a connection.
pub(crate) struct Wire(BufReader<TcpStream>);

/// The head of a message.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// A header's value; names are in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn length(&self) -> usize {
        self.get("content-length").unwrap().parse().unwrap()
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.first.contains(text) || self.headers.iter().any(|(_, value)| value.contains(text))
    }
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Connects to the host of a URL.
    pub(crate) async fn connect(url: &str) -> Self {
        let host = url.split('/').nth(2).unwrap();
        Self::new(TcpStream::connect(host).await.unwrap())
    }

    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        let written = self.0.write_all(text.as_ref());
        timeout(PATIENCE, written).await.unwrap().unwrap();
    }

    pub(crate) async fn write_chunk(&mut self, data: &str) {
        self.write(format!("{:x}\r\n{data}\r\n", data.len())).await;
    }

    pub(crate) async fn head(&mut self) -> Head {
        let first = self.line().await.unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await.unwrap();
            let Some((name, value)) = line.split_once(':') else {
                return Head { first, headers };
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        let read = self.0.read_exact(&mut data);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        data
    }

    /// The next chunk; `None` at the proper end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<String>> {
        let size = usize::from_str_radix(&self.line().await?, 16).unwrap();
        let mut data = vec![0; size + 2];
        timeout(PATIENCE, self.0.read_exact(&mut data))
            .await
            .unwrap()?;
        data.truncate(size);
        Ok((size > 0).then(|| String::from_utf8(data).unwrap()))
    }

    /// A whole answer with a length.
    pub(crate) async fn answer(&mut self) -> (Head, String) {
        let head = self.head().await;
        let body = self.take(head.length()).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// Reads until the other side is gone.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 4096];
        let gone = async { while self.0.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
        timeout(PATIENCE, gone).await.unwrap();
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.0.get_ref().set_zero_linger().unwrap();
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line))
            .await
            .unwrap()?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A request as the CLI makes it.
pub(crate) fn request(lease: &Lease, path: &str, body: &str) -> String {
    let token = lease.token().expose_secret();
    let key = format!("x-api-key: {token}\r\n");
    raw_request("POST", &full_path(lease, path), &key, body)
}

/// Any request; `headers` are whole lines.
pub(crate) fn raw_request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: cli\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// The path on the proxy.
pub(crate) fn full_path(lease: &Lease, path: &str) -> String {
    let base_url = lease.base_url();
    let own = base_url.splitn(4, '/').nth(3).unwrap();
    format!("/{own}{path}")
}

/// An answer with a length.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n{body}")
}
