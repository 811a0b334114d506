//! `/files`: files in and out.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::{Multipart, Query, State, multipart::Field},
    http::{HeaderValue, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use workspace_files::{FileBody, Tree, ZipError, ZipLimits, blocking, zip};

use crate::{
    Sandbox,
    answer::{Code, Refusal},
};

/// What is to be free on a disk for anything to be written to it, in bytes.
const KEPT_FREE: u64 = 100 << 20;
/// How long it may take to zip a folder.
const ZIP_TIME: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
pub(crate) struct Asked {
    path: Option<String>,
    username: Option<String>,
}

pub(crate) async fn download(
    State(sandbox): State<Sandbox>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let named = asked.path.unwrap_or_default();
    let path = sandbox.path(&named, asked.username.as_deref())?;
    let opened = blocking(move |stop| {
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&named, &error))?;
        if metadata.is_dir() {
            return sandbox.zipped(&named, &path, &stop);
        }
        if !metadata.is_file() {
            let message = format!("path `{named}`: neither a file nor a folder");
            return Err(Refusal::invalid(message));
        }
        if metadata.len() > sandbox.0.config.largest_download {
            return Err(too_large(sandbox.0.config.largest_download));
        }
        let file = File::open(&path).map_err(|error| unreadable(&named, &error))?;
        Ok((file, metadata.len(), "application/octet-stream"))
    });
    let broken = || Refusal::new(Code::Internal, "the work broke off");
    let (file, length, kind) = opened.await.ok_or_else(broken)??;
    let mut response = Response::new(Body::new(FileBody::new(file, length)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

impl Sandbox {
    fn zipped(
        &self,
        named: &str,
        path: &Path,
        stop: &workspace_files::Stop,
    ) -> Result<(File, u64, &'static str), Refusal> {
        let limits = ZipLimits {
            size: self.0.config.largest_download,
            time: ZIP_TIME,
        };
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| "files".to_owned());
        let tree = Tree::open(path).map_err(|error| failed(named, &error))?;
        let out = self.unnamed().map_err(|error| Refusal::io(named, &error))?;
        let file = zip(&tree, &name, out, limits, stop).map_err(|error| match error {
            ZipError::TooLarge { limit } => too_large(limit),
            ZipError::TooSlow { .. } => Refusal::new(Code::DeadlineExceeded, error.to_string()),
            ZipError::Link(_) => Refusal::invalid(format!("path `{named}`: {error}")),
            error => failed(named, &error),
        })?;
        let length = file
            .metadata()
            .map_err(|error| Refusal::io(named, &error))?;
        Ok((file, length.len(), "application/zip"))
    }

    /// A file that is gone when nobody has it open any more.
    fn unnamed(&self) -> io::Result<File> {
        let path = temporary_in(&self.0.config.temporary);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }
}

fn unreadable(named: &str, error: &io::Error) -> Refusal {
    let refusal = Refusal::io(named, error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => Refusal {
            code: Code::Unauthenticated,
            ..refusal
        },
        _ => refusal,
    }
}

fn failed(named: &str, error: &dyn std::error::Error) -> Refusal {
    let message = format!("path `{named}`: {}", host::error_chain(error));
    Refusal::new(Code::Internal, message)
}

fn too_large(limit: u64) -> Refusal {
    let message = format!("larger than {} MiB", limit >> 20);
    Refusal::new(Code::ResourceExhausted, message)
}

/// A file that was written.
#[derive(Serialize)]
pub(crate) struct Written {
    path: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Every part named `file` is written: to `path` if that is given, else to where its own name says.
pub(crate) async fn upload(
    State(sandbox): State<Sandbox>,
    Query(asked): Query<Asked>,
    mut parts: Multipart,
) -> Result<Json<Vec<Written>>, Refusal> {
    let mut written = Vec::new();
    let user = asked.username.as_deref();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        if part.name() != Some("file") {
            continue;
        }
        let given = asked.path.as_deref().filter(|path| !path.is_empty());
        let named = given
            .or_else(|| part.file_name())
            .unwrap_or_default()
            .to_owned();
        let path = sandbox.path(&named, user)?;
        write(&named, &path, part).await?;
        let name = path.file_name().unwrap_or_default();
        written.push(Written {
            name: name.to_string_lossy().into_owned(),
            path: path.to_string_lossy().into_owned(),
            kind: "file",
        });
    }
    match written.is_empty() {
        true => Err(Refusal::invalid("request body: no part is named `file`")),
        false => Ok(Json(written)),
    }
}

/// Writes a part to disk as it comes; a reader sees the old file or the new one.
async fn write(named: &str, path: &Path, mut part: Field<'_>) -> Result<(), Refusal> {
    let refused = |error: io::Error| Refusal::io(named, &error);
    if path.is_dir() {
        return Err(Refusal::invalid(format!("path `{named}`: it is a folder")));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(refused)?;
    let temporary = Temporary(temporary_in(folder));
    let file = tokio::fs::File::create_new(&temporary.0).await;
    let mut file = file.map_err(refused)?;
    enough_room(folder)?;
    while let Some(chunk) = part.chunk().await.map_err(malformed)? {
        file.write_all(&chunk).await.map_err(refused)?;
    }
    file.flush().await.map_err(refused)?;
    if let Ok(before) = fs::metadata(path) {
        fs::set_permissions(&temporary.0, before.permissions()).map_err(refused)?;
    }
    fs::rename(&temporary.0, path).map_err(refused)
}

fn enough_room(folder: &Path) -> Result<(), Refusal> {
    let disk = nix::sys::statvfs::statvfs(folder);
    let free = disk.map(|disk| disk.blocks_available() * disk.fragment_size());
    match free {
        Ok(free) if free < KEPT_FREE => {
            let message = "less than 100 MiB are free on the disk";
            Err(Refusal::new(Code::Full, message))
        }
        _ => Ok(()),
    }
}

fn malformed(error: axum::extract::multipart::MultipartError) -> Refusal {
    Refusal::invalid(format!("request body: {}", error.body_text()))
}

/// A file that goes with this value, unless it has got another name.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A name that nothing else has.
fn temporary_in(folder: &Path) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    folder.join(format!(".upload-{:x}-{number:x}", std::process::id()))
}
