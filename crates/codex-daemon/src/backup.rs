//! Backups: the sessions, the history, and the conversations that Codex keeps, in one archive for its owner only.
//!
//! The daemon replaces `sessions.json` as a whole, so a backup of a running daemon is a state that it had.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tar::{Archive, Builder, EntryType};

use crate::{
    config::Config,
    owner::{Owner, OwnerError},
    paths::{self, PathError},
    sessions::Table,
};

/// The longest file that is restored, in bytes.
const LONGEST: u64 = 1 << 30;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The archive can't be written or read.
    #[error("the archive `{archive}` can't be used")]
    Archive {
        /// The archive.
        archive: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive is none of ours, or was tampered with.
    #[error("the archive has an entry that does not belong there: `{0}`; nothing was restored")]
    Entry(String),
    /// A daemon is running, or a folder can't be trusted.
    #[error("{0}")]
    Owner(#[from] OwnerError),
    /// A file can't be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The sessions can't be read.
    #[error("the sessions can't be read: {0}")]
    Sessions(String),
}

fn broken(archive: &Path) -> impl Fn(io::Error) -> BackupError + use<> {
    let archive = archive.display().to_string();
    move |source| BackupError::Archive {
        archive: archive.clone(),
        source,
    }
}

/// Where Codex keeps its files.
fn codex_home(home: &Path, codex_home: Option<PathBuf>) -> PathBuf {
    codex_home.unwrap_or_else(|| home.join(".codex"))
}

/// The two folders a backup is of.
#[derive(Clone, Debug)]
pub struct Places {
    state: PathBuf,
    codex: PathBuf,
}

impl Places {
    /// As the configuration and the environment say.
    pub fn of(config: &Config, home: &Path, codex: Option<PathBuf>) -> Self {
        Self {
            state: config.state_dir.clone(),
            codex: codex_home(home, codex),
        }
    }

    fn under(&self, top: &str) -> Option<&Path> {
        match top {
            "state" => Some(&self.state),
            "codex" => Some(&self.codex),
            _ => None,
        }
    }
}

/// Writes an archive that isn't there yet. Says how many files it holds.
///
/// # Errors
/// [`BackupError`]; no half archive is left.
pub fn backup(places: &Places, archive: &Path) -> Result<usize, BackupError> {
    let files = files(places)?;
    let broken = broken(archive);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(archive)
        .map_err(&broken)?;
    let written = write(file, &files);
    if written.is_err() {
        let _ = fs::remove_file(archive);
    }
    written.map_err(&broken)?;
    Ok(files.len())
}

fn write(file: File, files: &[(PathBuf, PathBuf)]) -> io::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    for (path, name) in files {
        archive.append_path_with_name(path, name)?;
    }
    archive.into_inner()?.finish()?.sync_all()
}

/// The files of a backup with their names in it.
fn files(places: &Places) -> Result<Vec<(PathBuf, PathBuf)>, BackupError> {
    let records = Table::in_folder(&places.state)
        .read()
        .map_err(|error| BackupError::Sessions(host::error_chain(&error)))?;
    let mut files = Vec::new();
    let sessions = places.state.join("sessions.json");
    if sessions.exists() {
        files.push((sessions, "state/sessions.json".into()));
    }
    for entry in fs::read_dir(places.state.join("history"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = Path::new("state/history").join(entry.file_name());
        files.push((entry.path(), name));
    }
    for rollout in records.into_iter().filter_map(|record| record.rollout) {
        if let Ok(name) = rollout.strip_prefix(&places.codex)
            && rollout.is_file()
        {
            let name = Path::new("codex").join(name);
            files.push((rollout, name));
        }
    }
    Ok(files)
}

/// Restores an archive. No daemon may run. What is there already of Codex's conversations stays.
///
/// # Errors
/// [`BackupError`]. The whole archive is looked at before anything is written.
pub fn restore(config: &Config, places: &Places, archive: &Path) -> Result<usize, BackupError> {
    let _alone = Owner::claim(config, false)?;
    let broken = broken(archive);
    let mut names = 0;
    each(archive, &mut |name, _| {
        names += 1;
        place(places, name).map(|_| ())
    })
    .map_err(|error| error.of(&broken))?;
    each(archive, &mut |name, content| {
        let path = place(places, name)?;
        let is_codex = path.starts_with(&places.codex);
        if is_codex && path.exists() {
            return Ok(());
        }
        let folder = crate::config::folder_of(&path);
        let text = {
            let mut text = Vec::new();
            content.take(LONGEST).read_to_end(&mut text)?;
            text
        };
        if is_codex {
            fs::create_dir_all(folder)?;
        } else {
            paths::private_folder(folder).map_err(io::Error::other)?;
        }
        Ok(paths::replace_file(&path, &text, paths::Durable::Yes)?)
    })
    .map_err(|error| error.of(&broken))?;
    Ok(names)
}

enum Wrong {
    Io(io::Error),
    Entry(String),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Wrong {
    fn of(self, broken: impl Fn(io::Error) -> BackupError) -> BackupError {
        match self {
            Self::Io(error) => broken(error),
            Self::Entry(name) => BackupError::Entry(name),
        }
    }
}

/// Goes through the files of an archive.
fn each(
    archive: &Path,
    take: &mut dyn FnMut(&Path, &mut dyn io::Read) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let mut archive = Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        if entry.header().entry_type() != EntryType::Regular {
            return Err(Wrong::Entry(name.display().to_string()));
        }
        take(&name, &mut entry)?;
    }
    Ok(())
}

/// Where a file of an archive goes: below one of the two folders, and nowhere else.
fn place(places: &Places, name: &Path) -> Result<PathBuf, Wrong> {
    let wrong = || Wrong::Entry(name.display().to_string());
    if !name
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(wrong());
    }
    let mut parts = name.iter();
    let top = parts
        .next()
        .and_then(|top| top.to_str())
        .ok_or_else(wrong)?;
    let below: PathBuf = parts.collect();
    let allowed = match top {
        "state" => below == Path::new("sessions.json") || below.starts_with("history"),
        "codex" => below.starts_with("sessions") || below.starts_with("archived_sessions"),
        _ => false,
    };
    let folder = places.under(top).filter(|_| allowed).ok_or_else(wrong)?;
    Ok(folder.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_places_are_restored_to() {
        let places = Places {
            state: "/s".into(),
            codex: "/c".into(),
        };
        let placed = |name: &str| place(&places, Path::new(name)).ok();
        assert_eq!(
            placed("state/sessions.json"),
            Some("/s/sessions.json".into())
        );
        assert_eq!(
            placed("codex/sessions/2026/x.jsonl"),
            Some("/c/sessions/2026/x.jsonl".into())
        );
        for bad in [
            "../x",
            "state/../x",
            "/etc/passwd",
            "state/config.toml",
            "codex/auth.json",
            "other/x",
            "",
        ] {
            assert_eq!(placed(bad), None, "{bad}");
        }
    }
}
