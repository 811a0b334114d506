//! `GET /filesystem/list-dir` and `/filesystem/file`: what people see of a task's workspace.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use agent_core::scratch::Scratch;
use axum::{
    Router,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tracing::warn;
use workspace_files::{
    FileBody, Kind, Stop, Tree, TreeError, ZipError, ZipLimits, below, blocking, zip,
};

use super::answer::{self, Refusal};

/// What the workspaces' root is called from outside, wherever it is.
const SHOWN: &str = "/workspace";
/// How many folders are zipped at once.
const ZIPS: usize = 2;
/// How long it may take to zip one.
const ZIP_TIME: Duration = Duration::from_secs(120);

/// The tasks' workspaces, to be looked at.
#[derive(Clone, Debug)]
pub struct WorkspaceFiles {
    root: PathBuf,
    largest: u64,
    temporary: PathBuf,
    owner: String,
    zips: Arc<Semaphore>,
}

impl WorkspaceFiles {
    /// The workspaces below `root`. What is downloaded at once has `largest` bytes at most; zips are made in a folder of
    /// `owner`'s in `temporary`.
    pub fn new(root: PathBuf, largest: u64, temporary: PathBuf, owner: String) -> Self {
        Self {
            root,
            largest,
            temporary,
            owner,
            zips: Arc::new(Semaphore::new(ZIPS)),
        }
    }

    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/filesystem/list-dir", get(list))
            .route("/filesystem/file", get(file))
            .with_state(self)
    }

    fn tree(&self) -> Result<Tree, Refusal> {
        Tree::open(&self.root).map_err(refused)
    }

    /// Where a path of a request lies below the root.
    fn below(&self, asked: &str) -> Result<PathBuf, Refusal> {
        below(&self.root, Path::new(SHOWN), asked).ok_or_else(|| refused(TreeError::Outside))
    }
}

#[derive(Deserialize)]
struct Asked {
    path: Option<String>,
}

type AskedPath = Result<Query<Asked>, QueryRejection>;

fn path(asked: AskedPath) -> Result<Option<String>, Refusal> {
    let Query(asked) = asked.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    Ok(asked.path.filter(|path| !path.trim().is_empty()))
}

/// One line of a listing.
#[derive(Serialize)]
struct Listed {
    name: String,
    path: String,
    is_directory: bool,
    size: u64,
    /// In seconds since 1970.
    modified_at: Option<u64>,
    #[serde(rename = "type")]
    kind: &'static str,
}

async fn list(State(files): State<WorkspaceFiles>, asked: AskedPath) -> Result<Response, Refusal> {
    let asked = path(asked)?.unwrap_or_else(|| SHOWN.to_owned());
    let inner = files.below(&asked)?;
    let listed = blocking(move |_| -> Result<_, Refusal> {
        files
            .tree()?
            .folder(&inner)
            .and_then(|tree| tree.list())
            .map_err(refused)
    });
    let entries = listed.await.ok_or_else(Refusal::internal)??;
    let folder = asked.trim_end_matches('/');
    let listed = entries.into_iter().map(|entry| {
        let is_directory = entry.kind == Kind::Folder;
        Listed {
            path: format!("{folder}/{}", entry.name),
            name: entry.name,
            is_directory,
            size: entry.size,
            modified_at: entry.modified.and_then(seconds),
            kind: match is_directory {
                true => "FILE_TYPE_DIRECTORY",
                false => "FILE_TYPE_FILE",
            },
        }
    });
    let listed: Vec<Listed> = listed.collect();
    Ok(answer::json(StatusCode::OK, &listed))
}

fn seconds(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// What is sent of a path.
struct Download {
    name: String,
    content_type: &'static str,
    file: File,
    length: u64,
}

async fn file(State(files): State<WorkspaceFiles>, asked: AskedPath) -> Result<Response, Refusal> {
    let asked = path(asked)?;
    let asked = asked.ok_or_else(|| Refusal::bad_request("query parameter `path`: missing"))?;
    let inner = files.below(&asked)?;
    let download = blocking(move |stop| files.download(&inner, &stop));
    let download = download.await.ok_or_else(Refusal::internal)??;
    Ok(download.answer())
}

impl WorkspaceFiles {
    fn download(&self, path: &Path, stop: &Stop) -> Result<Download, Refusal> {
        let tree = self.tree()?;
        let entry = tree.entry(path).map_err(refused)?;
        if entry.kind == Kind::Folder {
            let folder = tree.folder(path).map_err(refused)?;
            let name = match entry.name.as_str() {
                "" | "." | ".." => "workspace",
                name => name,
            };
            return self.zipped(&folder, name, stop);
        }
        let (file, length) = tree.file(path).map_err(refused)?;
        if length > self.largest {
            return Err(too_large(self.largest));
        }
        Ok(Download {
            name: entry.name,
            content_type: "application/octet-stream",
            file,
            length,
        })
    }

    fn zipped(&self, folder: &Tree, name: &str, stop: &Stop) -> Result<Download, Refusal> {
        let Ok(_turn) = self.zips.try_acquire() else {
            let detail = "other folders are being zipped; try again in a moment";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail));
        };
        let limits = ZipLimits {
            size: self.largest,
            time: ZIP_TIME,
        };
        let out = self.unnamed().map_err(|error| {
            warn!(%error, folder = %self.temporary.display(), "no zip can be made");
            Refusal::internal()
        })?;
        let file = zip(folder, name, out, limits, stop).map_err(not_zipped)?;
        let length = file.metadata().map_err(|_| Refusal::internal())?.len();
        Ok(Download {
            name: format!("{name}.zip"),
            content_type: "application/zip",
            file,
            length,
        })
    }

    /// A file that is gone when nobody has it open any more.
    fn unnamed(&self) -> std::io::Result<File> {
        let scratch = Scratch::create(&self.temporary, &self.owner)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        options.open(scratch.path().join("zip"))
    }
}

impl Download {
    fn answer(self) -> Response {
        let mut response = Response::new(Body::new(FileBody::new(self.file, self.length)));
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(self.content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CONTENT_LENGTH, self.length.into());
        let disposition = format!("attachment; filename*=UTF-8''{}", percent(&self.name));
        if let Ok(disposition) = HeaderValue::try_from(disposition) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        response
    }
}

/// A name as RFC 8187 wants it.
fn percent(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn too_large(limit: u64) -> Refusal {
    let detail = format!("larger than {} MiB", limit >> 20);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn refused(error: TreeError) -> Refusal {
    let status = match &error {
        TreeError::NotFound => StatusCode::NOT_FOUND,
        TreeError::Outside => StatusCode::FORBIDDEN,
        TreeError::NotAFolder | TreeError::NotAFile => StatusCode::BAD_REQUEST,
        _ => {
            warn!(error = %agent_core::error_chain(&error), "a workspace can't be read");
            return Refusal::internal();
        }
    };
    Refusal::new(status, format!("path: {error}"))
}

fn not_zipped(error: ZipError) -> Refusal {
    let status = match error {
        ZipError::Tree(error) => return refused(error),
        ZipError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ZipError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        ZipError::Link(_) => StatusCode::BAD_REQUEST,
        _ => {
            warn!(error = %agent_core::error_chain(&error), "a folder can't be zipped");
            return Refusal::internal();
        }
    };
    Refusal::new(status, error.to_string())
}
