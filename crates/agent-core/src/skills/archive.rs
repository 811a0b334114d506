//! A skill's zip archive, unpacked into a folder that nobody looks into yet.
//!
//! Everything that an archive can do beyond putting files into its own folder is refused, naming the member: paths that
//! lead out, links, devices, doubles, names that are no text, more bytes or members than a skill can need. No link is ever
//! made, so nothing can be written through one.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use zip::{ZipArchive, result::ZipError};

// What a member is, in its mode as Unix has it.
const FORMAT: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// What an archive may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many members.
    pub(super) members: usize,
    /// How many bytes all together, unpacked.
    pub(super) bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members: 10_000,
            bytes: 256 << 20,
        }
    }
}

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("not a zip archive")]
    NotAZip(#[source] ZipError),
    #[error("the archive can't be read")]
    Read(#[source] io::Error),
    #[error("more than {0} members")]
    TooMany(usize),
    #[error("without a SKILL.md")]
    NoSkill,
    #[error("member `{member}`: {problem}")]
    Member {
        /// Its name, with what can't be printed escaped.
        member: String,
        problem: Problem,
    },
    #[error("member `{member}` can't be unpacked")]
    Unpack {
        member: String,
        #[source]
        source: io::Error,
    },
}

/// What is wrong with a member.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("an absolute path")]
    Absolute,
    #[error("a path that leads out of the skill")]
    Outside,
    #[error("a name that is not UTF-8")]
    NotUtf8,
    #[error("a name with a backslash or control character")]
    Letters,
    #[error("a symbolic link")]
    Link,
    #[error("neither a file nor a folder")]
    Special,
    #[error("there twice")]
    Double,
    #[error("encrypted")]
    Encrypted,
    #[error("more than {} MiB in all", .0 >> 20)]
    TooLarge(u64),
}

/// One file or folder to be made.
struct Member {
    index: usize,
    /// Parts of its path, at least one.
    parts: Vec<String>,
    folder: bool,
    executable: bool,
}

/// Unpacks `archive` into `folder`, which exists and is empty. Gives the files' paths in it, sorted.
///
/// # Errors
/// [`ArchiveError`]; what has been unpacked until then stays for the caller to remove.
pub(super) fn unpack(
    archive: File,
    folder: &Path,
    limits: Limits,
) -> Result<Vec<PathBuf>, ArchiveError> {
    let mut archive = open(archive, limits)?;
    let members = check(&mut archive, limits)?;
    let depth = shared_top(&members);
    let mut files = BTreeSet::new();
    let mut left = limits.bytes;
    for member in &members {
        let path: PathBuf = member.parts[depth.min(member.parts.len())..]
            .iter()
            .collect();
        if path.as_os_str().is_empty() {
            continue;
        }
        let made = make(&mut archive, member, &folder.join(&path), &mut left);
        made.map_err(|source| ArchiveError::Unpack {
            member: member.parts.join("/"),
            source,
        })?;
        if left == 0 {
            let problem = Problem::TooLarge(limits.bytes);
            return Err(refused(member.parts.join("/").as_bytes(), problem));
        }
        if !member.folder {
            files.insert(path);
        }
    }
    if files.contains(Path::new("SKILL.md")) {
        Ok(files.into_iter().collect())
    } else {
        Err(ArchiveError::NoSkill)
    }
}

/// Opens an archive, unless it announces too many members: each costs memory as soon as it is opened.
fn open(mut file: File, limits: Limits) -> Result<ZipArchive<File>, ArchiveError> {
    if announced_members(&mut file).map_err(ArchiveError::Read)? > limits.members {
        return Err(ArchiveError::TooMany(limits.members));
    }
    let directory = file.try_clone().map_err(ArchiveError::Read)?;
    let archive = ZipArchive::new(file).map_err(ArchiveError::NotAZip)?;
    if archive.len() > limits.members {
        return Err(ArchiveError::TooMany(limits.members));
    }
    // The library keeps only the last of two members with one name.
    if archive.has_duplicate_names() {
        let name = double(directory, archive.central_directory_start());
        return Err(refused(&name.map_err(ArchiveError::Read)?, Problem::Double));
    }
    Ok(archive)
}

/// How many members the end of the central directory announces: a number of 16 bits at its tenth byte. An archive with
/// more says 65,535 there. 0 if there is no such end; then it is no archive.
fn announced_members(file: &mut File) -> io::Result<usize> {
    const SIGNATURE: &[u8] = b"PK\x05\x06";
    const RECORD: usize = 22;
    /// The record and the longest comment after it.
    const LONGEST: u64 = RECORD as u64 + 0xffff;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut end = Vec::new();
    Read::by_ref(file).take(LONGEST).read_to_end(&mut end)?;
    file.rewind()?;
    let most = end
        .windows(RECORD)
        .filter(|record| record.starts_with(SIGNATURE))
        .map(|record| usize::from(u16::from_le_bytes([record[10], record[11]])))
        .max();
    Ok(most.unwrap_or(0))
}

/// The first name that occurs a second time in the central directory, which begins at `start`.
fn double(file: File, start: u64) -> io::Result<Vec<u8>> {
    let mut file = BufReader::new(file);
    file.seek(SeekFrom::Start(start))?;
    let mut seen = HashSet::new();
    loop {
        let mut header = [0; 46];
        file.read_exact(&mut header)?;
        let length = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; usize::from(length(28))];
        file.read_exact(&mut name)?;
        file.seek_relative(i64::from(length(30)) + i64::from(length(32)))?;
        if !seen.insert(name.clone()) {
            return Ok(name);
        }
    }
}

/// Looks at every member before anything is written.
fn check(archive: &mut ZipArchive<File>, limits: Limits) -> Result<Vec<Member>, ArchiveError> {
    let mut members = Vec::with_capacity(archive.len());
    let mut paths: HashSet<Vec<String>> = HashSet::new();
    let mut bytes = 0_u64;
    for index in 0..archive.len() {
        let entry = archive
            .by_index_data(index)
            .map_err(ArchiveError::NotAZip)?;
        let raw = entry.name_raw();
        let refused = |problem| refused(raw, problem);
        let parts = parts(raw).map_err(refused)?;
        let mode = entry.unix_mode().unwrap_or(0);
        match mode & FORMAT {
            0 | FILE | FOLDER => {}
            LINK => return Err(refused(Problem::Link)),
            _ => return Err(refused(Problem::Special)),
        }
        if entry.encrypted() {
            return Err(refused(Problem::Encrypted));
        }
        bytes = bytes.saturating_add(entry.size());
        if bytes > limits.bytes {
            return Err(refused(Problem::TooLarge(limits.bytes)));
        }
        if is_ballast(&parts) {
            continue;
        }
        let folder = entry.is_dir();
        // `a` and `a/`, `a/b` and `a//b`: two names of one path.
        if !paths.insert(parts.clone()) {
            return Err(refused(Problem::Double));
        }
        members.push(Member {
            index,
            parts,
            folder,
            executable: mode & 0o111 != 0,
        });
    }
    Ok(members)
}

/// The parts of a member's path.
fn parts(raw: &[u8]) -> Result<Vec<String>, Problem> {
    let name = std::str::from_utf8(raw).map_err(|_| Problem::NotUtf8)?;
    if name.starts_with('/') {
        return Err(Problem::Absolute);
    }
    if name.contains(|letter: char| letter == '\\' || letter.is_control()) {
        return Err(Problem::Letters);
    }
    let parts: Vec<String> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .map(str::to_owned)
        .collect();
    if parts.is_empty() || parts.iter().any(|part| part == "..") {
        return Err(Problem::Outside);
    }
    Ok(parts)
}

/// What macOS adds to archives.
fn is_ballast(parts: &[String]) -> bool {
    parts[0] == "__MACOSX" || parts.last().is_some_and(|name| name == ".DS_Store")
}

/// 1 if everything lies in one folder, else 0: how many parts of the paths are left out.
fn shared_top(members: &[Member]) -> usize {
    let top = members.first().map(|member| &member.parts[0]);
    let shared = members
        .iter()
        .all(|member| Some(&member.parts[0]) == top && (member.folder || member.parts.len() > 1));
    usize::from(shared)
}

/// Makes a file or folder. `left` is how many bytes may still be written; 0 after it if there were more.
fn make(
    archive: &mut ZipArchive<File>,
    member: &Member,
    path: &Path,
    left: &mut u64,
) -> io::Result<()> {
    if member.folder {
        return fs::create_dir_all(path);
    }
    fs::create_dir_all(path.parent().expect("a member has a folder"))?;
    let mode = if member.executable { 0o755 } else { 0o644 };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    let content = archive.by_index(member.index).map_err(io::Error::other)?;
    // What a member says of its size need not be true.
    let written = io::copy(&mut content.take(*left), &mut file)?;
    *left -= written;
    Ok(())
}

fn refused(name: &[u8], problem: Problem) -> ArchiveError {
    const LONGEST: usize = 200;
    let name = String::from_utf8_lossy(name);
    ArchiveError::Member {
        member: name.escape_debug().take(LONGEST).collect(),
        problem,
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
