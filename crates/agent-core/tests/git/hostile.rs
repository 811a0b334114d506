//! Repositories and requests that mean harm.

use std::{fs, path::Path};

use agent_core::GitSource;
use testkit::git_server::git;

use crate::stage::Stage;

/// A shell command that leaves a trace.
fn trace(stage: &Stage) -> (std::path::PathBuf, String) {
    let file = stage.root.path().join("executed");
    let command = format!("touch {}", file.display());
    (file, command)
}

#[tokio::test]
async fn a_branch_or_a_url_is_never_an_option() {
    let stage = Stage::new().await;
    let (file, command) = trace(&stage);
    for source in [
        GitSource {
            branch: Some("--foo".into()),
            ..stage.source()
        },
        GitSource {
            branch: Some(format!("--upload-pack={command}")),
            ..stage.source()
        },
        GitSource {
            url: format!("--upload-pack={command}"),
            ..stage.source()
        },
        GitSource {
            url: format!("ext::sh -c '{command}'"),
            ..stage.source()
        },
        GitSource {
            url: format!("ssh://-oProxyCommand={command}/x"),
            ..stage.source()
        },
        GitSource {
            url: "file:///etc".into(),
            ..stage.source()
        },
    ] {
        let error = stage
            .check_out(&stage.git(), &source)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("git_url: ") || error.starts_with("branch_name: "),
            "{error}"
        );
    }
    assert!(stage.server.requests().is_empty());
    assert!(!file.exists() && stage.left().is_empty());
}

#[tokio::test]
async fn what_a_repository_holds_runs_nothing_when_it_is_cloned() {
    let stage = Stage::new().await;
    let (file, command) = trace(&stage);
    let script = format!("#!/bin/sh\n{command}\n");
    let modules = format!(
        "[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack={command}\n\tupdate = !{command}\n"
    );
    let config = format!("[core]\n\tfsmonitor = {command}\n\thooksPath = .githooks\n");
    let attributes = "* filter=evil\n";
    stage.server.repository("evil.git").commit(
        "main",
        "evil",
        &[
            (".githooks/post-checkout!", &script),
            ("hooks/post-checkout!", &script),
            (".gitmodules", &modules),
            ("config", &config),
            (".gitattributes", attributes),
            ("a\nb\t\"c\".txt", "newlines in names\n"),
            ("link", "->/etc/passwd"),
        ],
    );
    let source = GitSource {
        url: format!("{}/evil.git", stage.server.url()),
        ..stage.source()
    };
    let folder = stage
        .check_out(&stage.git(), &source)
        .await
        .unwrap()
        .folder
        .unwrap();
    assert!(!file.exists());
    assert!(folder.join("a\nb\t\"c\".txt").exists());
    // What a tool of an earlier turn may have done to the configuration.
    let included = stage.root.path().join("included");
    fs::write(&included, &config).unwrap();
    git(
        &folder,
        &["config", "include.path", included.to_str().unwrap()],
    );
    git(&folder, &["config", "core.fsmonitor", &command]);
    git(&folder, &["config", "filter.evil.clean", &command]);
    git(&folder, &["config", "filter.evil.smudge", &command]);
    let _ = fs::remove_file(&file);
    stage.check_out(&stage.git(), &source).await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn hooks_of_the_machine_do_not_run() {
    let mut stage = Stage::new().await;
    let (file, command) = trace(&stage);
    let home = stage.root.path().join("home");
    let template = home.join("template/hooks");
    fs::create_dir_all(&template).unwrap();
    for name in ["post-checkout", "reference-transaction"] {
        executable(&template.join(name), &command);
    }
    let config = format!(
        "[init]\n\ttemplateDir = {0}/template\n[core]\n\thooksPath = {0}/template/hooks\n\taskPass = {1}\n[credential]\n\thelper = \"!{2}; :\"\n",
        home.display(),
        home.join("template/hooks/post-checkout").display(),
        command,
    );
    fs::write(home.join(".gitconfig"), config).unwrap();
    stage.image("GIT_ASKPASS", home.join("template/hooks/post-checkout"));
    let folder = stage
        .check_out(&stage.git(), &stage.source())
        .await
        .unwrap()
        .folder
        .unwrap();
    assert!(!file.exists());
    assert!(!folder.join(".git/hooks").exists(), "no template is copied");
}

fn executable(file: &Path, command: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, format!("#!/bin/sh\n{command}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
