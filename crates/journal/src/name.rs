//! Names of logs.

use std::{fmt, path::PathBuf};

/// The name of a log: 1 to 120 characters of `A-Z a-z 0-9 . _ -`, the first one no dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName(String);

/// A text that can't name a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid log name `{0}`")]
pub struct InvalidLogName(pub String);

impl LogName {
    /// Makes a name.
    ///
    /// # Errors
    /// [`InvalidLogName`] for anything but what the type promises.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidLogName> {
        let name = name.into();
        let valid = (1..=120).contains(&name.len())
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if valid {
            Ok(Self(name))
        } else {
            Err(InvalidLogName(name))
        }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file that keeps `part` of this log.
    pub(crate) fn file(&self, part: Part) -> PathBuf {
        PathBuf::from(format!("{}.{}", self.0, part.extension()))
    }

    /// The log and the part that a file keeps; `None` for other files.
    pub(crate) fn of_file(file: &str) -> Option<(Self, Part)> {
        let (name, extension) = file.rsplit_once('.')?;
        let part = Part::ALL
            .into_iter()
            .find(|part| part.extension() == extension)?;
        Some((Self::new(name).ok()?, part))
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Log,
    Cursor,
    Damaged,
    Tombstone,
    /// A tombstone that is being written.
    NewTombstone,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Log,
        Self::Cursor,
        Self::Damaged,
        Self::Tombstone,
        Self::NewTombstone,
    ];

    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Cursor => "cursor",
            Self::Damaged => "damaged",
            Self::Tombstone => "tomb",
            Self::NewTombstone => "tomb-new",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_leave_the_folder() {
        for name in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "a b",
            "é",
            "a\0",
            ".hidden",
            &"a".repeat(121),
        ] {
            assert_eq!(LogName::new(name), Err(InvalidLogName(name.to_owned())));
        }
        for name in ["7-42-1", "a", "A_b.c-d", &"a".repeat(120)] {
            assert_eq!(LogName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn every_file_names_its_log() {
        let name = LogName::new("a.log").unwrap();
        for part in Part::ALL {
            let file = name.file(part);
            assert_eq!(
                LogName::of_file(file.to_str().unwrap()),
                Some((name.clone(), part))
            );
        }
        assert_eq!(LogName::of_file("lock"), None);
    }
}
