//! A repository's own rules for agents: into what the agent is told, and where it looks for them by itself.
//!
//! Codex reads `AGENTS.md`, Claude Code `CLAUDE.md`; other tools' rule files neither of them reads. So the rule files go
//! into the instructions of both. For Claude Code they are also copied to `.claudecode/`, and `CLAUDE.md` becomes a link
//! to `AGENTS.md` where the repository has none of its own: what other tools of the platform expect. What is written is
//! excluded in `.git/info/exclude` first, so that `git status` never shows it; where that can't be done nothing is
//! written. In a person's own folder nothing is written either.
//!
//! The repository may be hostile: everything goes through [`Confined`], so a rule file that is a link to `/etc/passwd`
//! is as good as none.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{StepCx, StepError};
use crate::{
    AgentKind, ErrorClass,
    confine::{Confined, Kind, plain_relative},
};

/// The longest rule file that is passed on, in bytes; as much as Codex reads of its own.
const MAX_RULES: u64 = 32 * 1024;
/// The longest `.git/info/exclude` that is added to, in bytes.
const MAX_EXCLUDE: u64 = 1024 * 1024;
/// Where copies of rule files go.
const COPIES: &str = ".claudecode";
const CLAUDE_MD: &str = "CLAUDE.md";
/// How a repository may spell the file with its rules for agents.
const AGENTS_MD: [&str; 3] = ["AGENTS.md", "Agents.md", "agents.md"];

/// What the step works on.
pub(super) struct Place {
    /// The agent's working folder.
    pub(super) cwd: PathBuf,
    /// Names of rule files, as the operator gave them.
    pub(super) rule_files: Vec<String>,
    /// Who will work there.
    pub(super) agent: AgentKind,
    /// Whether files may be written there: not into a person's own folder.
    pub(super) may_write: bool,
}

/// What the step found.
#[derive(Debug, Default)]
struct Found {
    /// Name and content of each rule file.
    rules: Vec<(String, String)>,
    /// What the person is to be told.
    warnings: Vec<String>,
}

/// Makes the rules known. Gives what is to be added to the instructions, if anything is. That something can't be read or
/// written is no reason not to run the turn.
pub(super) async fn make_known(cx: StepCx, place: Place) -> Result<Option<String>, StepError> {
    let work = tokio::task::spawn_blocking(move || {
        let folder = Confined::open(&place.cwd)?;
        let found = read_rules(&folder, &place);
        if place.may_write
            && place.agent == AgentKind::ClaudeCode
            && let Err(error) = write(&folder, &found.rules)
        {
            tracing::warn!(%error, folder = %place.cwd.display(), "instruction files can't be put in place");
        }
        Ok::<_, io::Error>(found)
    });
    let found = work.await.expect("reading rules does not panic");
    let found = found.map_err(|error| {
        StepError::new(ErrorClass::Workspace, "the working folder can't be read").because(error)
    })?;
    for warning in found.warnings {
        cx.warn(warning).await?;
    }
    Ok(told(&found.rules))
}

/// The rules as part of the instructions.
fn told(rules: &[(String, String)]) -> Option<String> {
    let sections = rules.iter().map(|(name, content)| {
        let content = content.trim();
        format!("<project_rules file=\"{name}\">\n{content}\n</project_rules>")
    });
    let sections: Vec<String> = sections.collect();
    (!sections.is_empty()).then(|| sections.join("\n\n"))
}

fn read_rules(folder: &Confined, place: &Place) -> Found {
    let mut found = Found::default();
    let mut names: Vec<&str> = place.rule_files.iter().map(String::as_str).collect();
    // Codex knows one spelling only.
    let has = |name: &str| matches!(folder.kind(name.as_ref()), Ok(Some(_)));
    if place.agent == AgentKind::Codex && !has(AGENTS_MD[0]) {
        names.extend(AGENTS_MD[1..].iter().find(|name| has(name)));
    }
    for name in names {
        let path = match plain_relative(Path::new(name)) {
            Ok(path) => path,
            Err(why) => {
                tracing::warn!(name, %why, "an instruction file is refused");
                continue;
            }
        };
        match folder.read(&path, MAX_RULES) {
            Ok(content) if content.trim_ascii().is_empty() => {}
            Ok(content) => {
                let content = String::from_utf8_lossy(&content).into_owned();
                found.rules.push((path.display().to_string(), content));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                found.warnings.push(format!(
                    "The rules in `{name}` are left out: they are longer than {} KiB.",
                    MAX_RULES / 1024
                ));
            }
            Err(error) => tracing::warn!(name, %error, "an instruction file can't be read"),
        }
    }
    found
}

/// Puts copies and the link in place, excluded from git.
fn write(folder: &Confined, rules: &[(String, String)]) -> io::Result<()> {
    let link_to = link_target(folder)?;
    let mut excludes = Vec::new();
    if !rules.is_empty() {
        excludes.push(format!("{COPIES}/"));
    }
    if link_to.is_some() {
        excludes.push(CLAUDE_MD.to_owned());
    }
    if excludes.is_empty() {
        return Ok(());
    }
    exclude(folder.path(), &excludes)?;
    if let Some(target) = link_to {
        folder.replace_with_link(CLAUDE_MD.as_ref(), target.as_ref())?;
    }
    for (name, content) in rules {
        let copies = folder.folder(COPIES.as_ref(), 0o755)?;
        let base = Path::new(name).file_name().unwrap_or_default();
        copies.replace(base.as_ref(), content.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// What `CLAUDE.md` is to be a link to; `None` if it stays as it is. A file of that name is the repository's own, and so
/// is a link that leads somewhere: to replace it would show as a change.
fn link_target(folder: &Confined) -> io::Result<Option<&'static str>> {
    let own = match folder.kind(CLAUDE_MD.as_ref())? {
        None => false,
        Some(Kind::Link) => folder.file(CLAUDE_MD.as_ref()).is_ok(),
        Some(_) => true,
    };
    if own {
        return Ok(None);
    }
    for name in AGENTS_MD {
        if folder.kind(name.as_ref())? == Some(Kind::File) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Adds names in `folder` to the excludes of the repository it lies in, each once. Without a repository there is nothing
/// to do.
fn exclude(folder: &Path, names: &[String]) -> io::Result<()> {
    let Some((root, git)) = repository(folder)? else {
        return Ok(());
    };
    let below = folder.strip_prefix(&root).unwrap_or(Path::new(""));
    let git = Confined::open(&git)?;
    let info = git.folder("info".as_ref(), 0o755)?;
    let mut text = match info.read("exclude".as_ref(), MAX_EXCLUDE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let before = text.len();
    for name in names {
        // From the root, so that a file of the same name elsewhere is still seen.
        let line = Path::new("/").join(below).join(name);
        let line = line.as_os_str().as_encoded_bytes();
        if text.split(|byte| *byte == b'\n').any(|known| known == line) {
            continue;
        }
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    if text.len() > before {
        info.replace("exclude".as_ref(), &text, 0o644)?;
    }
    Ok(())
}

/// The root of the repository that `folder` lies in, and its `.git` folder.
///
/// # Errors
/// If `.git` is no folder: a worktree keeps its excludes elsewhere, and nothing is to be written there.
fn repository(folder: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    for root in folder.ancestors() {
        let git = root.join(".git");
        match std::fs::symlink_metadata(&git) {
            Ok(found) if found.is_dir() => return Ok(Some((root.to_path_buf(), git))),
            Ok(_) => {
                let why = "its `.git` is not a folder";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn repository_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".git/info")).unwrap();
        fs::write(root.path().join(".git/info/exclude"), "# no newline").unwrap();
        for (name, content) in files {
            fs::write(root.path().join(name), content).unwrap();
        }
        root
    }

    fn place(root: &Path, agent: AgentKind, rule_files: &[&str]) -> Place {
        Place {
            cwd: root.to_path_buf(),
            rule_files: rule_files.iter().map(|name| (*name).to_owned()).collect(),
            agent,
            may_write: true,
        }
    }

    fn run(place: &Place) -> Found {
        let folder = Confined::open(&place.cwd).unwrap();
        let found = read_rules(&folder, place);
        if place.agent == AgentKind::ClaudeCode {
            write(&folder, &found.rules).unwrap();
        }
        found
    }

    #[test]
    fn rules_are_told_copied_linked_and_excluded_once() {
        let root = repository_with(&[(".cursorrules", "Use tabs.\n"), ("AGENTS.md", "Be kind.")]);
        let place = place(
            root.path(),
            AgentKind::ClaudeCode,
            &[".cursorrules", ".windsurfrules"],
        );
        for _ in 0..2 {
            let found = run(&place);
            let text = "<project_rules file=\".cursorrules\">\nUse tabs.\n</project_rules>";
            assert_eq!(told(&found.rules).as_deref(), Some(text));
        }
        let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        assert_eq!(read(".claudecode/.cursorrules"), "Use tabs.\n");
        assert_eq!(
            fs::read_link(root.path().join(CLAUDE_MD)).unwrap(),
            Path::new("AGENTS.md")
        );
        assert_eq!(
            read(".git/info/exclude"),
            "# no newline\n/.claudecode/\n/CLAUDE.md\n"
        );
    }

    #[test]
    fn paths_that_lead_out_load_nothing() {
        let root = repository_with(&[]);
        let secret = root.path().join("../x");
        symlink("/etc/passwd", root.path().join(".windsurfrules")).unwrap();
        symlink("/dev/zero", root.path().join("endless")).unwrap();
        let names = [
            "/etc/passwd",
            "../x",
            "a/../../x",
            ".windsurfrules",
            "endless",
            "",
            ".",
        ];
        for agent in [AgentKind::ClaudeCode, AgentKind::Codex] {
            let found = run(&place(root.path(), agent, &names));
            assert_eq!(told(&found.rules), None);
        }
        assert!(!secret.exists() && !root.path().join(COPIES).exists());
    }

    #[test]
    fn what_is_the_repositorys_own_stays() {
        let root = repository_with(&[("AGENTS.md", "a"), (CLAUDE_MD, "own")]);
        run(&place(root.path(), AgentKind::ClaudeCode, &[]));
        assert_eq!(
            fs::read_to_string(root.path().join(CLAUDE_MD)).unwrap(),
            "own"
        );
        // A link of the repository's own, that leads somewhere; and one that leads nowhere.
        fs::remove_file(root.path().join(CLAUDE_MD)).unwrap();
        fs::write(root.path().join("other"), "").unwrap();
        symlink("other", root.path().join(CLAUDE_MD)).unwrap();
        run(&place(root.path(), AgentKind::ClaudeCode, &[]));
        assert_eq!(
            fs::read_link(root.path().join(CLAUDE_MD)).unwrap(),
            Path::new("other")
        );
        fs::remove_file(root.path().join("other")).unwrap();
        run(&place(root.path(), AgentKind::ClaudeCode, &[]));
        assert_eq!(
            fs::read_link(root.path().join(CLAUDE_MD)).unwrap(),
            Path::new("AGENTS.md")
        );
    }

    #[test]
    fn where_nothing_can_be_excluded_nothing_is_written() {
        let rules = [("AGENTS.md", "a"), (".cursorrules", "b")];
        let worktree = tempfile::tempdir().unwrap();
        fs::write(worktree.path().join(".git"), "gitdir: /elsewhere").unwrap();
        let hostile = tempfile::tempdir().unwrap();
        fs::create_dir(hostile.path().join(".git")).unwrap();
        symlink("/tmp", hostile.path().join(".git/info")).unwrap();
        for root in [worktree.path(), hostile.path()] {
            for (name, content) in rules {
                fs::write(root.join(name), content).unwrap();
            }
            let folder = Confined::open(root).unwrap();
            assert!(write(&folder, &[(".cursorrules".into(), "b".into())]).is_err());
            assert!(!root.join(CLAUDE_MD).exists() && !root.join(COPIES).exists());
        }
        assert!(!Path::new("/tmp/exclude").exists());
    }

    #[test]
    fn other_spellings_are_told_to_codex_and_long_rules_left_out() {
        let long = "x".repeat(40_000);
        let root = repository_with(&[("agents.md", "spelled otherwise"), (".cursorrules", &long)]);
        let found = run(&place(root.path(), AgentKind::Codex, &[".cursorrules"]));
        assert_eq!(
            found.rules,
            [("agents.md".to_owned(), "spelled otherwise".to_owned())]
        );
        assert!(found.warnings[0].contains("32 KiB"));
    }
}
