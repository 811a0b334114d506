//! Names of branches, by git's own rules.

use std::{fmt, str::FromStr};

use super::GitError;

/// The name of a branch: what `git check-ref-format --branch` takes, and never an option or an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch(String);

impl Branch {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Branch {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let name = text.trim();
        match broken_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(why) => Err(GitError::Branch {
                name: name.chars().filter(|c| !c.is_control()).take(100).collect(),
                why,
            }),
        }
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let rules: [(bool, &'static str); 8] = [
        (name.is_empty(), "it is empty"),
        (name.starts_with('-'), "it begins with a dash"),
        (name.len() > 250, "it is too long"),
        (
            name.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c)),
            "it contains a character that git does not allow",
        ),
        (
            name.contains("..") || name.contains("@{") || name == "@",
            "it is an expression",
        ),
        (
            name.split('/')
                .any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")),
            "a part of it is empty, begins with a dot or ends with .lock",
        ),
        (name.ends_with('.'), "it ends with a dot"),
        (name == "HEAD", "it is a word of git's own"),
    ];
    rules
        .into_iter()
        .find_map(|(broken, why)| broken.then_some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_by_gits_rules() {
        for name in ["main", "feature/x-1", "wegent-task_7", "v1.2", "发布"] {
            assert_eq!(name.parse::<Branch>().unwrap().as_str(), name);
        }
        for name in [
            "", " ", "--foo", "-b", "a b", "a..b", "a@{1}", "@", "a~1", "a^", "a:b", "a?", "a*",
            "a[", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a\nb",
            "HEAD",
        ] {
            assert!(name.parse::<Branch>().is_err(), "{name:?} was taken");
        }
    }
}
