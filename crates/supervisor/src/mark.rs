//! The mark that every process of a session carries in its environment.

use std::fmt::{self, Write as _};

/// Name of the environment variable that marks every process of a session.
pub const SESSION_MARK: &str = "WEGENT_EXECUTOR_SESSION";

/// Whose session it is, and which: `"<owner>.<random>"`.
///
/// The owner is written such that two owners never look alike and none contains the dot: letters, digits, `_` and `-`
/// stand for themselves, every other byte is written as `%XX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionMark(String);

impl SessionMark {
    /// A mark that no other session has. `owner` is the name of the executor whose processes these are.
    pub fn new(owner: &str) -> Self {
        let mut mark = owner_prefix(owner);
        write!(mark, "{:016x}", rand::random::<u64>()).expect("writing to a string can't fail");
        Self(mark)
    }

    /// The value of [`SESSION_MARK`].
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole environment entry, `NAME=value`.
    pub(crate) fn entry(&self) -> Vec<u8> {
        format!("{SESSION_MARK}={}", self.0).into_bytes()
    }
}

impl fmt::Display for SessionMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What every mark of `owner` starts with, its dot included.
pub(crate) fn owner_prefix(owner: &str) -> String {
    let mut safe = String::with_capacity(owner.len() + 17);
    for byte in owner.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            safe.push(char::from(byte));
        } else {
            write!(safe, "%{byte:02X}").expect("writing to a string can't fail");
        }
    }
    safe.push('.');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_marks_of_one_owner_differ() {
        assert_ne!(SessionMark::new("a"), SessionMark::new("a"));
    }

    #[test]
    fn owners_never_look_alike() {
        assert_eq!(owner_prefix("wegent-task_1"), "wegent-task_1.");
        let names = ["a", "a.", "a.b", "a_b", "a/b", "a%2Fb", "ä", ""];
        for (i, one) in names.iter().enumerate() {
            for other in &names[i + 1..] {
                let (one, other) = (owner_prefix(one), owner_prefix(other));
                assert!(
                    !one.starts_with(&other) && !other.starts_with(&one),
                    "{one} {other}"
                );
            }
        }
    }

    #[test]
    fn a_mark_starts_with_its_owner() {
        assert!(SessionMark::new("x y").as_str().starts_with("x%20y."));
    }
}
