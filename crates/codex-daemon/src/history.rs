//! Questions and answers kept on disk, if the user wants that: compressed, private, for some days.
//!
//! One file per session and day. Each question is a gzip member of its own, appended; tools read such a file as one.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;

use crate::{
    paths,
    protocol::{Outcome, SessionName},
    sessions::now,
};

/// The history's folder.
pub(crate) struct History {
    folder: PathBuf,
    keep: Duration,
}

#[derive(Serialize)]
struct Entry<'a> {
    time: u64,
    session: &'a SessionName,
    question: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl History {
    pub(crate) fn new(state: &Path, keep: Duration) -> Self {
        Self {
            folder: state.join("history"),
            keep,
        }
    }

    /// Adds a question. A failure is logged: it's not worth a question's answer.
    pub(crate) fn add(&self, session: SessionName, question: String, outcome: &Outcome) {
        let time = now();
        let entry = Entry {
            time,
            session: &session,
            question: &question,
            outcome,
        };
        if let Err(error) = self.append(&entry) {
            tracing::error!(%error, "the history can't be written");
        }
    }

    fn append(&self, entry: &Entry<'_>) -> io::Result<()> {
        paths::private_folder(&self.folder).map_err(io::Error::other)?;
        let name = format!("{}-{}.jsonl.gz", slug(entry.session), entry.time / 86_400);
        let file = paths::private_file(&self.folder.join(name)).map_err(io::Error::other)?;
        let mut member = GzEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut member, entry)?;
        member.write_all(b"\n")?;
        // In one write, so that a crash leaves a whole member or none.
        (&file).write_all(&member.finish()?)
    }

    /// Removes what is too old.
    pub(crate) fn clean(&self) {
        let Some(oldest) = SystemTime::now().checked_sub(self.keep) else {
            return;
        };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|changed| changed < oldest);
            if old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A session's name as a part of a file's name. Two names never share one.
fn slug(name: &SessionName) -> String {
    let mut slug = String::new();
    for byte in name.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            slug.push(char::from(byte));
        } else {
            slug.push_str(&format!("%{byte:02x}"));
        }
    }
    if slug.len() <= 180 {
        return slug;
    }
    // Longer than a file's name may be: its end, and a sum of all of it.
    let end = slug.split_off(slug.len() - 120);
    let sum = name
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{sum:016x}{end}")
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::fs::PermissionsExt as _};

    use flate2::read::MultiGzDecoder;

    use super::*;

    #[test]
    fn what_is_added_can_be_read_and_goes_in_time() {
        let state = tempfile::tempdir().unwrap();
        let history = History::new(state.path(), Duration::from_secs(60));
        let name = SessionName::try_from("/w/a b".to_owned()).unwrap();
        for question in ["one", "two"] {
            let outcome = Outcome::Completed {
                text: format!("re: {question}"),
            };
            history.add(name.clone(), question.to_owned(), &outcome);
        }
        history.clean();
        let mut files = fs::read_dir(state.path().join("history")).unwrap();
        let file = files.next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut text = String::new();
        let mut reader = MultiGzDecoder::new(fs::File::open(file.path()).unwrap());
        reader.read_to_string(&mut text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains(r#""question":"two","outcome":"completed","text":"re: two""#));

        let old = SystemTime::now() - Duration::from_secs(61);
        fs::File::open(file.path())
            .unwrap()
            .set_modified(old)
            .unwrap();
        history.clean();
        assert!(!file.path().exists());
    }
}
