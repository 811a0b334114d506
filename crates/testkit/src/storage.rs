//! A storage for archives that takes presigned uploads, as strict as S3 is about them.
//!
//! An upload without a `Content-Length`, or in chunks, is refused with 411, as is one whose signature is not that of its
//! URL. Objects lie on disk, so that large ones cost no memory.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::Server;

/// What every presigned URL has in its query.
pub const SIGNATURE: &str = "X-Amz-Signature=9f1c0de5";

/// An upload as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object's name.
    pub name: String,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its `Content-Length`.
    pub length: Option<u64>,
    /// What it was answered.
    pub status: u16,
}

/// A storage. It ends with this value.
#[derive(Debug)]
pub struct Storage {
    shared: Arc<Shared>,
    server: Server,
}

#[derive(Debug)]
struct Shared {
    root: TempDir,
    uploads: Mutex<Vec<Upload>>,
}

impl Storage {
    /// An empty one, on loopback.
    ///
    /// # Errors
    /// If it can't listen, or a folder can't be made.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            root: tempfile::tempdir()?,
            uploads: Mutex::default(),
        });
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        let server = Server::start(0, router).await?;
        Ok(Self { shared, server })
    }

    /// The presigned URL of an object; for uploads and downloads.
    pub fn url(&self, name: &str) -> String {
        format!(
            "http://{}/archives/{name}?{SIGNATURE}",
            self.server.address()
        )
    }

    /// Where an object lies, if it is there.
    pub fn object(&self, name: &str) -> PathBuf {
        self.shared.root.path().join(name)
    }

    /// Every upload so far.
    pub fn uploads(&self) -> Vec<Upload> {
        let uploads = self.shared.uploads.lock();
        uploads.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let name = request
        .uri()
        .path()
        .trim_start_matches("/archives/")
        .to_owned();
    if request.uri().query() != Some(SIGNATURE) || name.contains('/') {
        return StatusCode::FORBIDDEN.into_response();
    }
    let path = shared.root.path().join(&name);
    match *request.method() {
        Method::GET => download(path).await,
        Method::PUT => upload(&shared, name, path, request).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn download(path: PathBuf) -> Response {
    let Ok(file) = tokio::fs::File::open(&path).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let chunks = futures::stream::try_unfold(file, |mut file| async {
        let mut chunk = vec![0; 64 << 10];
        let count = file.read(&mut chunk).await?;
        chunk.truncate(count);
        Ok::<_, io::Error>((count > 0).then_some((chunk, file)))
    });
    Body::from_stream(chunks).into_response()
}

async fn upload(shared: &Shared, name: String, path: PathBuf, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let text = |name| {
        let value = head.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let content_type = text(header::CONTENT_TYPE);
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
    let status = match length {
        Some(length) if !chunked => keep(path, length, body).await,
        _ => StatusCode::LENGTH_REQUIRED,
    };
    let upload = Upload {
        name,
        content_type,
        length,
        status: status.as_u16(),
    };
    let mut uploads = shared
        .uploads
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    uploads.push(upload);
    status.into_response()
}

/// Keeps an object if it is as long as was announced.
async fn keep(path: PathBuf, length: u64, body: Body) -> StatusCode {
    let written = async {
        let mut file = tokio::fs::File::create(&path).await?;
        let mut chunks = body.into_data_stream();
        let mut written = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(io::Error::other)?;
            written += chunk.len() as u64;
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok::<_, io::Error>(written)
    };
    match written.await {
        Ok(written) if written == length => StatusCode::OK,
        Ok(_) => StatusCode::BAD_REQUEST,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
