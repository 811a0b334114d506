//! A git server over HTTP: git's own `http-backend` behind a name and a password, with faults on request.
//!
//! Its repositories are bare ones in a temporary folder. It listens on loopback, over plain HTTP and over TLS with a
//! certificate authority of its own, whose certificate is a file that git can be told to trust.

mod cgi;
mod repository;
pub(crate) mod tls;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tempfile::TempDir;

use crate::http::Server;
pub use repository::{Repository, git};
use tls::Tls;

/// What happens to requests.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Every request is sent elsewhere: to this URL, followed by the request's own path and query.
    pub redirect_to: Option<String>,
    /// Of a pack, no more than this many bytes are sent; then nothing more comes.
    pub stall_after: Option<usize>,
}

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRequest {
    /// Its path with its query.
    pub target: String,
    /// Its `Authorization` header.
    pub authorization: Option<String>,
}

/// A git server. It ends with this value.
#[derive(Debug)]
pub struct GitServer {
    shared: Arc<Shared>,
    server: Server,
    tls: Tls,
}

#[derive(Debug)]
struct Shared {
    root: TempDir,
    /// What `Authorization` has to be.
    login: Mutex<Option<String>>,
    faults: Mutex<Faults>,
    requests: Mutex<Vec<GitRequest>>,
}

impl GitServer {
    /// A server without repositories that asks nobody for a name.
    ///
    /// # Errors
    /// If it can't listen, or a folder can't be made.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            root: tempfile::tempdir()?,
            login: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
        });
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        let server = Server::start(0, router).await?;
        let tls = Tls::start(
            server.address(),
            shared.root.path(),
            &["localhost", "127.0.0.1"],
        )
        .await?;
        Ok(Self {
            shared,
            server,
            tls,
        })
    }

    /// From now on, asks for this name and password.
    pub fn require(&self, user: &str, password: &str) {
        let login = format!("{user}:{password}");
        *lock(&self.shared.login) = Some(format!("Basic {}", base64(login.as_bytes())));
    }

    /// From now on, does this to requests.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// A new bare repository, `name` being its path such as `shop/web.git`.
    ///
    /// # Panics
    /// If git fails.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::create(self.shared.root.path(), name)
    }

    /// The server's URL over plain HTTP, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The server's `host:port` over plain HTTP.
    pub fn domain(&self) -> String {
        self.server.address().to_string()
    }

    /// The server's URL over TLS.
    pub fn tls_url(&self) -> String {
        format!("https://{}", self.tls.domain())
    }

    /// The server's `host:port` over TLS.
    pub fn tls_domain(&self) -> String {
        self.tls.domain()
    }

    /// The certificate of the authority behind the TLS address, in PEM.
    pub fn authority(&self) -> &Path {
        self.tls.authority()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<GitRequest> {
        lock(&self.shared.requests).clone()
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let target = request
        .uri()
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    lock(&shared.requests).push(GitRequest {
        target: target.clone(),
        authorization: authorization.clone(),
    });
    let faults = lock(&shared.faults).clone();
    if let Some(elsewhere) = faults.redirect_to {
        let place = format!("{elsewhere}{target}");
        return (StatusCode::FOUND, [(header::LOCATION, place)]).into_response();
    }
    let login = lock(&shared.login).clone();
    if login.is_some() && login != authorization {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, ask, "who are you").into_response();
    }
    let root: PathBuf = shared.root.path().to_owned();
    match cgi::answer(&root, request, faults.stall_after).await {
        Ok(response) => response,
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Body::from(error.to_string()),
        )
            .into_response(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For the `Authorization` header.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_pads() {
        for (text, expected) in [
            ("", ""),
            ("a", "YQ=="),
            ("ab", "YWI="),
            ("abc", "YWJj"),
            ("user:p@ss", "dXNlcjpwQHNz"),
        ] {
            assert_eq!(super::base64(text.as_bytes()), expected);
        }
    }
}
