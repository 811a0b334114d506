//! Bare repositories, and what a test puts into them and reads out of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A bare repository of a server.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
    name: String,
}

impl Repository {
    pub(super) fn create(root: &Path, name: &str) -> Self {
        let folder = root.join(name);
        fs::create_dir_all(&folder).expect("a temporary folder can be written");
        git(
            &folder,
            &["init", "--quiet", "--bare", "--initial-branch=main", "."],
        );
        git(&folder, &["config", "http.receivepack", "true"]);
        git(&folder, &["config", "uploadpack.allowFilter", "true"]);
        Self {
            folder,
            name: name.to_owned(),
        }
    }

    /// Its path on the server, such as `shop/web.git`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a commit with these files to a branch. A path that ends with `!` is executable, one whose content begins
    /// with `->` is a symbolic link.
    ///
    /// # Panics
    /// If git fails.
    pub fn commit(&self, branch: &str, message: &str, files: &[(&str, &str)]) {
        let work = tempfile::tempdir().expect("a temporary folder can be made");
        let at = work.path();
        let url = self.folder.to_str().expect("temporary paths are UTF-8");
        git(at, &["clone", "--quiet", url, "work"]);
        let at = &at.join("work");
        let exists = !git(at, &["ls-remote", "--heads", "origin", branch]).is_empty();
        let switch = if exists {
            ["checkout", "--quiet"]
        } else {
            ["checkout", "-qB"]
        };
        git(at, &[switch[0], switch[1], branch]);
        for (path, content) in files {
            write(at, path, content);
        }
        git(at, &["add", "--all", "--force"]);
        git(
            at,
            &[
                "-c",
                "user.name=Setup",
                "-c",
                "user.email=setup@example.invalid",
                "commit",
                "-qm",
                message,
            ],
        );
        git(
            at,
            &[
                "push",
                "--quiet",
                "origin",
                &format!("HEAD:refs/heads/{branch}"),
            ],
        );
    }

    /// The ids and subjects of a branch's commits, the last one first; empty if there is no such branch.
    ///
    /// # Panics
    /// If git fails.
    pub fn subjects(&self, branch: &str) -> Vec<String> {
        let all = git(&self.folder, &["for-each-ref", "--format=%(refname)"]);
        if !all
            .lines()
            .any(|name| name == format!("refs/heads/{branch}"))
        {
            return Vec::new();
        }
        let log = git(&self.folder, &["log", "--format=%s", branch]);
        log.lines().map(str::to_owned).collect()
    }
}

fn write(at: &Path, path: &str, content: &str) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (path, executable) = match path.strip_suffix('!') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let file = at.join(path);
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("folders can be made");
    if let Some(target) = content.strip_prefix("->") {
        symlink(target, &file).expect("links can be made");
        return;
    }
    fs::write(&file, content).expect("files can be written");
    if executable {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("modes can be set");
    }
}

/// Runs git without the machine's configuration; gives what it prints.
///
/// # Panics
/// If git fails, with what it said.
pub fn git(at: &Path, arguments: &[&str]) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test prepares repositories as a person would"
    )]
    let output = Command::new("git")
        .args(arguments)
        .current_dir(at)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
