//! A code host as the real `gh` finds it: GitHub Enterprise's API over TLS, by an authority of its own, behind a proxy that
//! makes its name known.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{git_server::tls::Tls, http::Server, procs};

/// The host's name; nobody but its proxy knows it.
pub const DOMAIN: &str = "github.example";
/// Who a token is taken to be.
pub const LOGIN: &str = "alice";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct HostRequest {
    /// Its path.
    pub path: String,
    /// Its `Authorization` header.
    pub authorization: Option<String>,
    /// The arguments of all processes while it waited for its answer.
    pub arguments: Vec<String>,
}

/// The host. It ends with this value.
#[derive(Debug)]
pub struct CodeHost {
    requests: Arc<Mutex<Vec<HostRequest>>>,
    proxy: String,
    tls: Tls,
    _folder: TempDir,
    _server: Server,
    _proxying: JoinSet<()>,
}

struct Shared {
    requests: Arc<Mutex<Vec<HostRequest>>>,
    scopes: String,
}

impl CodeHost {
    /// A host where every token has these scopes, such as `repo, read:org`.
    ///
    /// # Errors
    /// If it can't listen, or a folder can't be made.
    pub async fn start(scopes: &str) -> io::Result<Self> {
        let requests = Arc::default();
        let shared = Shared {
            requests: Arc::clone(&requests),
            scopes: scopes.to_owned(),
        };
        let router = Router::new().fallback(answer).with_state(Arc::new(shared));
        let server = Server::start(0, router).await?;
        let folder = tempfile::tempdir()?;
        let tls = Tls::start(server.address(), folder.path(), &[DOMAIN]).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = format!("http://{}", listener.local_addr()?);
        let behind = tls.address();
        let mut proxying = JoinSet::new();
        proxying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    // Who hangs up is noticed where an answer is missing.
                    let _ = connect(stream, behind).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            requests,
            proxy,
            tls,
            _folder: folder,
            _server: server,
            _proxying: proxying,
        })
    }

    /// The proxy that leads to it, for `HTTPS_PROXY`.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// The certificate of its authority, in PEM.
    pub fn authority(&self) -> &Path {
        self.tls.authority()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<HostRequest> {
        lock(&self.requests).clone()
    }
}

/// Answers one `CONNECT` for our name, and passes on what follows.
async fn connect(stream: TcpStream, behind: std::net::SocketAddr) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while stream.read_line(&mut line).await? > 0 && !line.trim().is_empty() {
        head.push_str(&line);
        line.clear();
    }
    if !head.starts_with(&format!("CONNECT {DOMAIN}:443 ")) {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let mut inside = TcpStream::connect(behind).await?;
    copy_bidirectional(&mut stream, &mut inside).await?;
    Ok(())
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let path = request.uri().path().to_owned();
    let arguments = procs::all().into_iter().map(|process| process.command);
    lock(&shared.requests).push(HostRequest {
        path: path.clone(),
        authorization,
        arguments: arguments.collect(),
    });
    let content = match path.as_str() {
        "/api/v3/" => json!({}),
        "/api/v3/user" => json!({ "login": LOGIN }),
        "/api/graphql" => json!({ "data": { "viewer": { "login": LOGIN } } }),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-oauth-scopes", shared.scopes.clone()),
    ];
    (headers, content.to_string()).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
