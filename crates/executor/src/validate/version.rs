//! Version numbers as programs tell them.

use std::fmt;

/// Three numbers with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The first version in what a program says: `v20.19.2`, `Python 3.12.1`, `2.1.329 (Claude Code)`.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|character: char| !(character.is_ascii_digit() || character == '.'))
            .find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let mut numbers = word.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self(next()?, next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        for (text, version) in [
            ("v20.19.2\n", Some(Version(20, 19, 2))),
            ("Python 3.12.1", Some(Version(3, 12, 1))),
            ("codex-cli 0.169.0", Some(Version(0, 169, 0))),
            ("2.1.329 (Claude Code)", Some(Version(2, 1, 329))),
            ("git version 2.47.3", Some(Version(2, 47, 3))),
            ("x86.64 1.2", None),
            ("", None),
        ] {
            assert_eq!(Version::find(text), version, "{text}");
        }
        assert!(Version(3, 9, 18) < Version(3, 12, 0));
    }
}
