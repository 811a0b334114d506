//! Reads variables one by one and remembers everything that is wrong with them.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use super::{HttpUrl, ImageEnvironment};

/// What is wrong with one variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {kind}")]
pub struct Problem {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// A way for a variable to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// The value isn't text.
    #[error("not valid UTF-8")]
    NotUnicode,
    /// The value isn't what it should be.
    #[error("expected {expected}, got {got:?}")]
    Unexpected {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// The value isn't what it should be, and may be secret.
    #[error("expected {expected}")]
    UnexpectedSecret {
        /// What it should be.
        expected: &'static str,
    },
    /// The variable is needed but not set.
    #[error("not set, and {without}")]
    Missing {
        /// Why it can't be done without.
        without: &'static str,
    },
}

/// Everything that is wrong with an environment; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid configuration")?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Reads variables of one environment. A blank value counts as not set.
pub(super) struct Reader<'a> {
    environment: &'a ImageEnvironment,
    /// Everything that was wrong so far.
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a ImageEnvironment) -> Self {
        Self {
            environment,
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, variable: &'static str, kind: ProblemKind) {
        self.problems.push(Problem { variable, kind });
    }

    /// Whether a variable is set, whatever its value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let value = self.environment.get(name);
        value.is_some_and(|value| !value.as_encoded_bytes().trim_ascii().is_empty())
    }

    /// A variable's value without the white space around it.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.environment.get(name)?;
        match value.to_str() {
            Some(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            None => {
                self.problem(name, ProblemKind::NotUnicode);
                None
            }
        }
    }

    /// The first of several variables that is set, with its name.
    pub(super) fn first(&mut self, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
        names
            .iter()
            .find_map(|&name| self.text(name).map(|text| (name, text)))
    }

    /// A variable that `parse` understands; `None` if it isn't set or wrong.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(text);
        if value.is_none() {
            let got = text.to_owned();
            self.problem(name, ProblemKind::Unexpected { expected, got });
        }
        value
    }

    pub(super) fn number<T: FromStr>(
        &mut self,
        name: &'static str,
        expected: &'static str,
    ) -> Option<T> {
        self.parsed(name, expected, |text| text.parse().ok())
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.parsed(name, "true or false", |text| {
            match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Some(true),
                "0" | "false" | "no" | "off" => Some(false),
                _ => None,
            }
        })
    }

    pub(super) fn seconds(&mut self, name: &'static str) -> Option<Duration> {
        self.parsed(name, "a number of seconds above 0", |text| {
            let seconds: f64 = text.parse().ok()?;
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|duration| !duration.is_zero())
        })
    }

    /// The first of several variables that is set, as an absolute path. Paths needn't be text.
    pub(super) fn path(&mut self, names: &[&'static str]) -> Option<PathBuf> {
        let name = names.iter().copied().find(|name| self.is_set(name))?;
        let path = PathBuf::from(self.environment.get(name)?);
        if path.is_absolute() {
            return Some(path);
        }
        let got = path.display().to_string();
        let expected = "an absolute path";
        self.problem(name, ProblemKind::Unexpected { expected, got });
        None
    }

    /// The first of several variables that is set, as a URL. The value isn't repeated: it may hold a password.
    pub(super) fn url(&mut self, names: &[&'static str]) -> Option<HttpUrl> {
        let (name, text) = self.first(names)?;
        let url = HttpUrl::parse(text);
        if url.is_err() {
            let expected = "an http or https URL";
            self.problem(name, ProblemKind::UnexpectedSecret { expected });
        }
        url.ok()
    }
}
