//! The guard against pushes to protected branches: a folder of hooks that tools' git is told to use.
//!
//! It's a guard against mistakes: `git push --no-verify` goes past it, as past any hook. What must not happen has to be
//! refused by the server.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::{BranchPattern, GitError};

/// Hooks that git runs on its user's side, each of which runs the repository's own.
const HOOKS: &[&str] = &[
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
];
/// Hooks that run many times within one command. They stand in only for a repository that has them.
const BUSY: &[&str] = &["reference-transaction", "post-index-change"];

/// Makes the folder of hooks, new, in `folder`. `own` are the folders in which the repository may have hooks of its own.
///
/// # Errors
/// [`GitError::Io`] if it can't be made.
pub(super) fn install(
    folder: &Path,
    protected: &[BranchPattern],
    own: &[PathBuf],
) -> Result<PathBuf, GitError> {
    let hooks = folder.join("hooks");
    write(&hooks, protected, own).map_err(GitError::io(&hooks))?;
    Ok(hooks)
}

fn write(hooks: &Path, protected: &[BranchPattern], own: &[PathBuf]) -> io::Result<()> {
    match fs::create_dir(hooks) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let script = hooks.join("run");
    let next = hooks.join("run.next");
    fs::write(&next, script_for(protected))?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o700))?;
    // A hook of an earlier turn may be running.
    fs::rename(&next, &script)?;
    let busy = BUSY
        .iter()
        .filter(|name| own.iter().any(|own| own.join(name).is_file()));
    for name in HOOKS.iter().chain(busy) {
        match symlink("run", hooks.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    Ok(())
}

fn script_for(protected: &[BranchPattern]) -> String {
    let patterns: Vec<String> = protected
        .iter()
        .map(|pattern| format!("refs/heads/{}", pattern.as_str()))
        .collect();
    // A pattern that no branch has, where none is protected.
    let patterns = if patterns.is_empty() {
        "refs/heads/..".to_owned()
    } else {
        patterns.join("|")
    };
    include_str!("hooks.sh").replace("@PROTECTED@", &patterns)
}
