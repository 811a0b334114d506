//! A folder that outlives its task: the agent is told where it works, and what keeps the folder's history.

use std::path::Path;

use crate::{PromptPart, Turn};

/// Marks of a Perforce workspace.
const PERFORCE: [&str; 2] = [".p4config", ".p4ignore"];

/// Adds to the prompt what the agent has to know of the turn's lasting folder, if it has one, in the lines that the
/// platform's own executors use.
pub(super) fn tell(turn: &mut Turn, cwd: &Path) {
    let Some(folder) = &turn.lasting_folder else {
        return;
    };
    let (kept_by, perforce) = kept_by(folder);
    let mut lines = vec![format!("Current working directory: {}", cwd.display())];
    if let Some(remote) = turn
        .git
        .as_ref()
        .and_then(|git| git.url.parse::<crate::git::Remote>().ok())
    {
        lines.push(format!("Project url: {remote}"));
    }
    lines.extend([
        format!("Persistent repo directory: {}", folder.display()),
        format!("repo_vcs: {kept_by}"),
        format!("is_p4: {}", if perforce { "True" } else { "False" }),
    ]);
    let lines = lines.join("\n");
    match turn.prompt.0.iter_mut().rev().find_map(|part| match part {
        PromptPart::Text(text) => Some(text),
        _ => None,
    }) {
        Some(text) => {
            text.push('\n');
            text.push_str(&lines);
        }
        None => turn.prompt.0.push(PromptPart::Text(lines)),
    }
}

/// What keeps the folder's history, and whether that is Perforce.
fn kept_by(folder: &Path) -> (&'static str, bool) {
    let has = |name: &&str| folder.join(name).exists();
    if PERFORCE.iter().any(has) {
        return ("p4", true);
    }
    (if has(&".git") { "git" } else { "" }, false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folders_marks_say_what_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kept_by(folder.path()), ("", false));
        fs::create_dir(folder.path().join(".git")).unwrap();
        assert_eq!(kept_by(folder.path()), ("git", false));
        fs::write(folder.path().join(".p4ignore"), "").unwrap();
        assert_eq!(kept_by(folder.path()), ("p4", true));
    }
}
