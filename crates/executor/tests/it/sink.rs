//! A small HTTP server that remembers what it got.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use executor::config::HttpUrl;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

/// One request that a [`Sink`] got.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
}

/// Ends when it is dropped.
pub(crate) struct Sink {
    pub(crate) url: HttpUrl,
    pub(crate) seen: mpsc::Receiver<Seen>,
    status: Arc<AtomicU16>,
    _server: JoinSet<()>,
}

/// As a status: answer never.
pub(crate) const HANG: u16 = 0;

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = HttpUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (sender, seen) = mpsc::channel(1024);
        let status = Arc::new(AtomicU16::new(200));
        let router = Router::new()
            .fallback(take)
            .with_state((sender, status.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            seen,
            status,
            _server: server,
        }
    }

    /// What later requests are answered with; [`HANG`] for no answer at all.
    pub(crate) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }
}

type Shared = (mpsc::Sender<Seen>, Arc<AtomicU16>);

async fn take(
    State((sender, status)): State<Shared>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    sender.try_send(Seen { method, uri, body }).unwrap();
    let status = status.load(Ordering::Relaxed);
    if status == HANG {
        std::future::pending::<()>().await;
    }
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::LOCATION, "/elsewhere")]).into_response()
}
