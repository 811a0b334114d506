//! Whether this image has what an agent needs.
//!
//! [`Machine`] finds programs and asks them for their version; [`Machine::validate`] answers a request to check an image,
//! and `doctor` asks the same questions for a person. Each check says how to mend what it doesn't like.

mod machine;
mod version;

use std::{io, path::Path};

use agent_core::{AgentKind, confine::Confined, workspace::create_private};
use wegent_protocol::{Check, CheckStatus, Validation, ValidationReport};

pub use self::{
    machine::{Found, Machine, NotUsable},
    version::Version,
};

/// The oldest Node.js that Claude Code's package and the usual MCP servers run with.
pub(crate) const NODE: Version = Version(20, 0, 0);
/// The oldest Python that Wegent's skills are written for.
pub(crate) const PYTHON: Version = Version(3, 12, 0);

impl Machine {
    /// Looks for what the shell's agent needs. Takes as long as the programs take to tell their versions, 30 s each at
    /// most; they are asked side by side.
    pub async fn validate(&self, asked: Validation) -> ValidationReport {
        let checks = match asked.agent {
            AgentKind::ClaudeCode => {
                let (node, claude, python) =
                    tokio::join!(self.node(), self.claude(), self.python());
                vec![node, checked("claude-code", claude), python]
            }
            AgentKind::Codex => {
                let (node, codex, python, git, own) = tokio::join!(
                    self.node(),
                    self.codex(),
                    self.python(),
                    self.git(),
                    self.executor()
                );
                vec![
                    node,
                    checked("codex", codex),
                    python,
                    checked("git", git),
                    self.configuration(),
                    checked("executor", own),
                ]
            }
        };
        ValidationReport::new(asked, checks)
    }

    async fn node(&self) -> Check {
        let found = self.on_path("node").await;
        at_least("node", found, NODE, "Node.js")
    }

    async fn python(&self) -> Check {
        let found = self.on_path("python3").await;
        at_least("python", found, PYTHON, "Python")
    }

    /// Whether the folder with Codex's settings can be written.
    fn configuration(&self) -> Check {
        let folder = &self.executor_home;
        match is_writable(folder) {
            Ok(()) => passed("configuration", None),
            Err(error) => failed(
                "configuration",
                None,
                format!(
                    "`{}` can't be written: {error}. Set HOME or WEGENT_EXECUTOR_HOME to a folder that can",
                    folder.display()
                ),
            ),
        }
    }
}

/// Makes the folder if it isn't there, and a file in it for a moment.
pub(crate) fn is_writable(folder: &Path) -> io::Result<()> {
    create_private(folder)?;
    let folder = Confined::open(folder)?;
    let probe = Path::new(".writable");
    folder.replace(probe, b"", 0o600)?;
    folder.remove(probe)
}

fn checked(name: &str, found: Result<Found, NotUsable>) -> Check {
    match found {
        Ok(Found {
            version: Some(version),
            ..
        }) => passed(name, Some(version.to_string())),
        Ok(Found { said, .. }) => Check {
            message: Some(format!("its version can't be told from {said:?}")),
            ..passed(name, None)
        },
        Err(error) => failed(
            name,
            error.version.map(|v| v.to_string()),
            error.to_string(),
        ),
    }
}

fn at_least(
    name: &str,
    found: Result<Found, NotUsable>,
    least: Version,
    what: &'static str,
) -> Check {
    match found {
        Ok(Found {
            version: Some(version),
            ..
        }) if version < least => failed(
            name,
            Some(version.to_string()),
            format!(
                "Version {version} < required {least}: put {what} {least} or newer into the image"
            ),
        ),
        Err(error) => failed(
            name,
            None,
            format!("{error}: put {what} {least} or newer into the image"),
        ),
        found => checked(name, found),
    }
}

fn passed(name: &str, version: Option<String>) -> Check {
    Check {
        name: name.to_owned(),
        version,
        status: CheckStatus::Pass,
        message: None,
    }
}

fn failed(name: &str, version: Option<String>, message: String) -> Check {
    Check {
        name: name.to_owned(),
        version,
        status: CheckStatus::Fail,
        message: Some(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: Option<Version>) -> Result<Found, NotUsable> {
        Ok(Found {
            path: "/bin/x".into(),
            version,
            said: "x".into(),
        })
    }

    #[test]
    fn a_version_below_the_least_fails_and_says_what_mends_it() {
        let check = at_least("python", found(Some(Version(3, 11, 9))), PYTHON, "Python");
        assert_eq!(check.status, CheckStatus::Fail);
        assert_eq!(check.version.as_deref(), Some("3.11.9"));
        let message = check.message.unwrap();
        assert!(
            message.starts_with("Version 3.11.9 < required 3.12.0"),
            "{message}"
        );
        let check = at_least("python", found(Some(PYTHON)), PYTHON, "Python");
        assert_eq!((check.status, check.message), (CheckStatus::Pass, None));
    }

    #[test]
    fn a_version_that_cant_be_told_passes_with_a_word() {
        let check = at_least("node", found(None), NODE, "Node.js");
        assert_eq!(check.status, CheckStatus::Pass);
        assert!(check.version.is_none() && check.message.is_some());
    }

    #[test]
    fn only_a_folder_that_can_be_written_is_one() {
        let root = tempfile::tempdir().unwrap();
        is_writable(&root.path().join("new/folder")).unwrap();
        assert_eq!(
            std::fs::read_dir(root.path().join("new/folder"))
                .unwrap()
                .count(),
            0
        );
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(is_writable(&root.path().join("file/folder")).is_err());
    }
}
