//! What Wegent's backend keeps for executors: attachments and skills.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{Cursor, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use sha2::{Digest, Sha256};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::http::{Break, Link};

/// What goes wrong with a request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is answered with this HTTP status; the body repeats the request's token.
    Status(u16),
    /// The connection is reset in the middle of the body.
    Cut,
    /// It is sent on to this URL.
    Redirect(String),
    /// The body is another one than the `ETag` says.
    Damaged,
}

/// A request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub uri: String,
    /// The bearer token, if there was one.
    pub token: Option<String>,
    /// The `If-None-Match`, if there was one.
    pub condition: Option<String>,
}

/// The files of a [`Backend`](super::Backend).
#[derive(Debug, Default)]
pub struct Files(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    attachments: BTreeMap<i64, Bytes>,
    skills: BTreeMap<String, (String, Bytes)>,
    latency: Duration,
    troubles: Vec<Trouble>,
    asked: Vec<Asked>,
    open: usize,
    most_open: usize,
}

impl Files {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an attachment.
    pub fn keep_attachment(&self, id: i64, bytes: impl Into<Bytes>) {
        self.known().attachments.insert(id, bytes.into());
    }

    /// Keeps a skill's archive under an id, found by its name in every namespace.
    pub fn keep_skill(&self, id: &str, name: &str, archive: impl Into<Bytes>) {
        let skill = (name.to_owned(), archive.into());
        self.known().skills.insert(id.to_owned(), skill);
    }

    /// Lets every answer begin so much later.
    pub fn set_latency(&self, latency: Duration) {
        self.known().latency = latency;
    }

    /// Makes the next request go wrong; several calls, several requests.
    pub fn trouble(&self, trouble: Trouble) {
        self.known().troubles.push(trouble);
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.known().asked.clone()
    }

    /// How many requests were open at once, at most.
    pub fn most_open(&self) -> usize {
        self.known().most_open
    }
}

/// A skill's archive as Wegent makes it: one folder of the skill's name with these files, by path and mode.
///
/// # Panics
/// If a path is no name of a member.
pub fn skill_archive(name: &str, files: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, mode, content) in files {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        writer
            .start_file(format!("{name}/{path}"), options)
            .and_then(|()| Ok(writer.write_all(content.as_bytes())?))
            .expect("a member can be written to memory");
    }
    let archive = writer.finish().expect("an archive fits into memory");
    archive.into_inner()
}

/// The `ETag` of an archive.
pub fn etag(archive: &[u8]) -> String {
    let digits: String = Sha256::digest(archive)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"sha256:{digits}\"")
}

pub(super) fn router(files: Arc<Files>) -> Router {
    Router::new()
        .route("/api/attachments/{id}/executor-download", get(attachment))
        .route("/api/v1/kinds/skills", get(find))
        .route("/api/v1/kinds/skills/{id}/download", get(skill))
        .layer(middleware::from_fn_with_state(Arc::clone(&files), treat))
        .with_state(files)
}

/// Notes the request, waits, and lets it go wrong if it is to.
async fn treat(
    State(files): State<Arc<Files>>,
    ConnectInfo(link): ConnectInfo<Link>,
    request: Request,
    next: Next,
) -> Response {
    let asked = asked(&request);
    let token = asked.token.clone();
    let (latency, trouble) = {
        let mut known = files.known();
        known.asked.push(asked);
        known.open += 1;
        known.most_open = known.most_open.max(known.open);
        let trouble = (!known.troubles.is_empty()).then(|| known.troubles.remove(0));
        (known.latency, trouble)
    };
    tokio::time::sleep(latency).await;
    let response = match trouble {
        None if token.is_none() => StatusCode::UNAUTHORIZED.into_response(),
        None => next.run(request).await,
        Some(Trouble::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
            let detail = format!("refused on purpose\nfor {}", token.unwrap_or_default());
            (status, detail).into_response()
        }
        Some(Trouble::Cut) => cut(link),
        Some(Trouble::Redirect(url)) => {
            (StatusCode::FOUND, [(header::LOCATION, url)]).into_response()
        }
        Some(Trouble::Damaged) => ([(header::ETAG, etag(b"whole"))], "damaged").into_response(),
    };
    files.known().open -= 1;
    response
}

fn asked(request: &Request) -> Asked {
    let text = |name| {
        let value = request.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let authorization: Option<String> = text(header::AUTHORIZATION);
    Asked {
        uri: request.uri().to_string(),
        token: authorization.and_then(|value| Some(value.strip_prefix("Bearer ")?.to_owned())),
        condition: text(header::IF_NONE_MATCH),
    }
}

/// A body that ends, with its connection, after a few of the bytes announced.
fn cut(link: Link) -> Response {
    let mut first = Some(Bytes::from_static(b"half"));
    let body = stream::poll_fn(move |_| match first.take() {
        Some(bytes) => Poll::Ready(Some(Ok::<_, Infallible>(bytes))),
        None => {
            link.break_after_flush(Break::Reset);
            Poll::Pending
        }
    });
    ([(header::CONTENT_LENGTH, "64")], Body::from_stream(body)).into_response()
}

async fn attachment(State(files): State<Arc<Files>>, Path(id): Path<i64>) -> Response {
    match files.known().attachments.get(&id) {
        Some(bytes) => bytes.clone().into_response(),
        None => (
            StatusCode::NOT_FOUND,
            "{\"detail\":\"Attachment not found\"}",
        )
            .into_response(),
    }
}

async fn find(
    State(files): State<Arc<Files>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let known = files.known();
    let items: Vec<_> = known
        .skills
        .iter()
        .filter(|(_, (name, _))| query.get("name") == Some(name))
        .map(|(id, (name, _))| {
            json!({"metadata": {"name": name, "namespace": query.get("namespace"), "labels": {"id": id}}})
        })
        .collect();
    json!({"items": items}).to_string().into_response()
}

async fn skill(
    State(files): State<Arc<Files>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let known = files.known();
    let Some((_, archive)) = known.skills.get(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = etag(archive);
    let unchanged = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|condition| condition == etag.as_str());
    if unchanged {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    ([(header::ETAG, etag)], archive.clone()).into_response()
}
