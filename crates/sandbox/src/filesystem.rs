//! `/filesystem.Filesystem/*`: folders and what is in them.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use axum::{Json, body::Bytes, extract::State};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Sandbox,
    answer::{Code, Refusal},
    connect,
};

/// How many folders deep a listing goes at most.
const DEEPEST: u32 = 64;
/// How many entries a listing has at most.
const MOST: usize = 100_000;

/// A file or a folder as the SDK wants it.
#[derive(Debug, Serialize)]
pub(crate) struct FsEntry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    path: String,
    size: u64,
    mode: u32,
    permissions: String,
    owner: &'static str,
    group: &'static str,
    modified_time: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Entries {
    entries: Vec<FsEntry>,
}

#[derive(Debug, Serialize)]
pub(crate) struct One {
    entry: FsEntry,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    path: String,
    #[serde(default)]
    depth: Option<u32>,
}

#[derive(Deserialize)]
struct Moved {
    source: String,
    destination: String,
}

pub(crate) async fn list(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<Entries>, Refusal> {
    let asked: Asked = connect::plain(&body)?;
    let folder = sandbox.path(&asked.path, None)?;
    let depth = asked.depth.unwrap_or(1).clamp(1, DEEPEST);
    let entries = blocking(move || {
        let mut entries = Vec::new();
        below(&folder, depth, &mut entries).map_err(|error| Refusal::io(&asked.path, &error))?;
        Ok(entries)
    });
    Ok(Json(Entries {
        entries: entries.await?,
    }))
}

/// What is in a folder, and in its folders; links are not followed.
fn below(folder: &Path, depth: u32, entries: &mut Vec<FsEntry>) -> io::Result<()> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    names.sort();
    for path in names {
        // What has gone meanwhile was never there.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if entries.len() == MOST {
            return Ok(());
        }
        entries.push(described(&path, &metadata));
        if depth > 1 && metadata.is_dir() {
            // One that can't be read has nothing to show.
            let _ = below(&path, depth - 1, entries);
        }
    }
    Ok(())
}

pub(crate) async fn stat(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<One>, Refusal> {
    let asked: Asked = connect::plain(&body)?;
    let path = sandbox.path(&asked.path, None)?;
    entry(&asked.path, &path)
}

pub(crate) async fn make(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<One>, Refusal> {
    let asked: Asked = connect::plain(&body)?;
    let path = sandbox.path(&asked.path, None)?;
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {
            let message = format!("path `{}`: the folder is there already", asked.path);
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        Ok(_) => {
            let message = format!("path `{}`: there is a file of that name", asked.path);
            return Err(Refusal::invalid(message));
        }
        Err(_) => {}
    }
    fs::create_dir_all(&path).map_err(|error| Refusal::io(&asked.path, &error))?;
    entry(&asked.path, &path)
}

pub(crate) async fn rename(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<One>, Refusal> {
    let asked: Moved = connect::plain(&body)?;
    let from = sandbox.path(&asked.source, None)?;
    let to = sandbox.path(&asked.destination, None)?;
    if let Some(parent) = to.parent() {
        let made = fs::create_dir_all(parent);
        made.map_err(|error| Refusal::io(&asked.destination, &error))?;
    }
    fs::rename(&from, &to).map_err(|error| Refusal::io(&asked.source, &error))?;
    entry(&asked.destination, &to)
}

#[derive(Serialize)]
pub(crate) struct Nothing {}

/// That nothing is there is as good.
pub(crate) async fn remove(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<Nothing>, Refusal> {
    let asked: Asked = connect::plain(&body)?;
    let path = sandbox.path(&asked.path, None)?;
    blocking(move || {
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Refusal::io(&asked.path, &error))
            }
            _ => Ok(()),
        }
    })
    .await?;
    Ok(Json(Nothing {}))
}

fn entry(asked: &str, path: &Path) -> Result<Json<One>, Refusal> {
    let metadata = fs::metadata(path).map_err(|error| Refusal::io(asked, &error))?;
    Ok(Json(One {
        entry: described(path, &metadata),
    }))
}

fn described(path: &Path, metadata: &Metadata) -> FsEntry {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let mode = metadata.permissions().mode();
    FsEntry {
        name: name.to_string_lossy().into_owned(),
        kind: if metadata.is_dir() {
            "FILE_TYPE_DIRECTORY"
        } else if metadata.is_symlink() {
            "FILE_TYPE_SYMLINK"
        } else {
            "FILE_TYPE_FILE"
        },
        path: path.to_string_lossy().into_owned(),
        size: metadata.size(),
        mode: mode & 0o7777,
        permissions: permissions(mode, metadata),
        owner: "",
        group: "",
        modified_time: metadata.modified().ok().and_then(rfc3339),
    }
}

/// `drwxr-xr-x`
fn permissions(mode: u32, metadata: &Metadata) -> String {
    let first = if metadata.is_dir() {
        'd'
    } else if metadata.is_symlink() {
        'l'
    } else {
        '-'
    };
    let bits = (0..9).map(|bit| match mode & (0o400 >> bit) {
        0 => '-',
        _ => ['r', 'w', 'x'][bit % 3],
    });
    std::iter::once(first).chain(bits).collect()
}

fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "the work broke off")))
}
