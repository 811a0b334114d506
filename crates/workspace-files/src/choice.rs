//! What goes into an archive, by name.

use std::{
    ffi::OsStr,
    path::{Component, Path},
};

/// The name of the folder in which the executor keeps what belongs to a task.
pub const STATE: &str = ".wegent-executor";

/// Folders whose content can be made again, at any depth.
const FOLDERS: [&str; 15] = [
    "node_modules",
    "__pycache__",
    ".venv",
    "venv",
    "target",
    "build",
    "dist",
    ".next",
    ".nuxt",
    ".npm",
    ".pnpm-store",
    ".yarn",
    "vendor",
    ".cache",
    "code-server",
];

/// Endings of files that can be made again.
const ENDINGS: [&str; 2] = ["pyc", "log"];

/// What of the executor's state is the agents' conversations: which one a bot goes on with, Codex's rollouts, Claude Code's
/// transcripts with what belongs to them. Databases, settings, skills and locks are made again.
const CONVERSATIONS: [&str; 5] = [
    "sessions",
    "codex/sessions",
    "claude/projects",
    "claude/todos",
    "claude/plans",
];

/// Files and folders of a home that hold logins.
const LOGINS: [&str; 9] = [
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".git-credentials",
    ".netrc",
    ".ssh",
    ".gnupg",
    ".config/gh/hosts.yml",
    ".docker/config.json",
    ".aws/credentials",
];

/// Which part of a home folder belongs to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HomePart {
    /// Claude Code's folder.
    Claude,
    /// Everything: the home is a sandbox's user's.
    All,
}

/// Whether a folder's content can be made again.
pub(crate) fn is_made_again(folder: &Path) -> bool {
    match folder.file_name().and_then(OsStr::to_str) {
        Some("code-server") => folder.ends_with(".local/share/code-server"),
        Some(name) => FOLDERS.contains(&name),
        None => false,
    }
}

/// Whether a file can be made again.
pub(crate) fn is_ballast(file: &Path) -> bool {
    let ending = file.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// Whether this lies in a repository's own folder, where names mean nothing.
pub(crate) fn is_gits(path: &Path) -> bool {
    path.components()
        .any(|part| part == Component::Normal(OsStr::new(".git")))
}

/// Where `path` lies in the executor's state, if it does.
fn in_state(path: &Path) -> Option<&Path> {
    path.strip_prefix(STATE).ok()
}

/// Whether something of the workspace is the task's to take along.
pub(crate) fn of_workspace(path: &Path) -> bool {
    in_state(path).is_none_or(is_conversation)
}

/// Whether the path is one of the executor's conversations.
pub(crate) fn holds_conversation(path: &Path) -> bool {
    in_state(path).is_some_and(|inner| inner.components().count() > 1 && is_conversation(inner))
}

/// Whether this is in one of the folders with conversations, or on the way to one.
fn is_conversation(inner: &Path) -> bool {
    let database = inner
        .extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| ending.starts_with("sqlite") || ending.starts_with("db"));
    !database
        && CONVERSATIONS.iter().any(|folder| {
            let folder = Path::new(folder);
            inner.starts_with(folder) || folder.starts_with(inner)
        })
}

impl HomePart {
    /// Whether something of the home folder is the task's to take along.
    pub(crate) fn has(self, path: &Path) -> bool {
        let login = LOGINS.iter().any(|login| path.starts_with(login));
        let ours = match self {
            Self::Claude => path.starts_with(".claude"),
            Self::All => true,
        };
        ours && !login && !path.starts_with(STATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_state_only_conversations_are_taken() {
        for path in [
            "sessions/codex-1.json",
            "codex",
            "codex/sessions/2026/01/02/rollout-x.jsonl",
            "claude/projects/-workspace-1/x.jsonl",
        ] {
            assert!(of_workspace(&Path::new(STATE).join(path)), "{path}");
        }
        for path in [
            "claude/.claude.json",
            "claude/settings.json",
            "claude/skills/a/SKILL.md",
            "codex/state_5.sqlite",
            "codex/sessions/x.sqlite-wal",
            "codex-events.jsonl",
            "elsewhere",
        ] {
            assert!(!of_workspace(&Path::new(STATE).join(path)), "{path}");
        }
        assert!(of_workspace(Path::new("repo/.wegent-executor-notes")));
        assert!(holds_conversation(Path::new(
            ".wegent-executor/sessions/a.json"
        )));
        assert!(!holds_conversation(Path::new(".wegent-executor/codex")));
    }

    #[test]
    fn a_login_is_never_taken() {
        assert!(HomePart::Claude.has(Path::new(".claude/projects/x.jsonl")));
        assert!(!HomePart::Claude.has(Path::new(".claude/.credentials.json")));
        assert!(!HomePart::Claude.has(Path::new("notes.md")));
        assert!(HomePart::All.has(Path::new("notes.md")));
        assert!(!HomePart::All.has(Path::new(".ssh/id_ed25519")));
    }

    #[test]
    fn names_count_as_wholes() {
        assert!(is_made_again(Path::new("a/node_modules")));
        assert!(!is_made_again(Path::new("a/node_modules2")));
        assert!(is_made_again(Path::new(".local/share/code-server")));
        assert!(!is_made_again(Path::new("code-server")));
        assert!(is_ballast(Path::new("x.pyc")) && !is_ballast(Path::new("log")));
    }
}
