//! `gh` and `glab`, played by scripts that note how they were called.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::stage::{Stage, TOKEN, contains};

/// Puts a program of this name before all others. It notes its arguments and its input, then runs `then`.
fn install(stage: &mut Stage, name: &str, then: &str) {
    let bin = stage.root.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let log = stage.root.path().join("calls");
    let script = format!(
        "#!/bin/sh\necho \"{name} $*\" > {0}\ncat > {0}.stdin\n{then}\n",
        log.display()
    );
    fs::write(bin.join(name), script).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    let path = stage.settings.image[std::ffi::OsStr::new("PATH")]
        .to_str()
        .unwrap()
        .to_owned();
    stage.image("PATH", format!("{}:{path}", bin.display()));
}

fn calls(stage: &Stage) -> (String, String) {
    let read = |name: &str| fs::read_to_string(stage.root.path().join(name)).unwrap();
    (read("calls").trim().to_owned(), read("calls.stdin"))
}

fn variable(checkout: &agent_core::git::Checkout, name: &str) -> Option<String> {
    let found = checkout.variables.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn glab_gets_its_token_by_stdin() {
    let mut stage = Stage::new().await;
    install(&mut stage, "glab", "exit 0");
    let git = stage.git();
    let checkout = stage.check_out(&git, &stage.source()).await.unwrap();
    let (call, stdin) = calls(&stage);
    assert_eq!(
        call,
        format!(
            "glab auth login --hostname {} --stdin",
            stage.server.domain()
        )
    );
    assert_eq!(stdin, TOKEN);
    let folder = variable(&checkout, "GLAB_CONFIG_DIR").unwrap();
    assert!(
        folder.starts_with(stage.root.path().join("tmp").to_str().unwrap()),
        "{folder}"
    );
}

#[tokio::test]
async fn gh_without_read_org_is_logged_in_by_its_file() {
    let mut stage = Stage::new().await;
    install(
        &mut stage,
        "gh",
        "echo \"error validating token: missing required scope 'read:org'\" >&2; exit 1",
    );
    stage.user.domain = Some("github.example".into());
    let git = stage.git();
    let checkout = git
        .check_out(
            crate::stage::TASK,
            None,
            &stage.user,
            &stage.tasks(),
            &stage.secrets,
            |_| {},
        )
        .await
        .unwrap();
    let (call, stdin) = calls(&stage);
    assert_eq!(
        (call.as_str(), stdin.as_str()),
        (
            "gh auth login --hostname github.example --with-token",
            TOKEN
        )
    );
    let hosts =
        std::path::PathBuf::from(variable(&checkout, "GH_CONFIG_DIR").unwrap()).join("hosts.yml");
    let text = fs::read_to_string(&hosts).unwrap();
    assert_eq!(
        text,
        format!(
            "\"github.example\":\n    oauth_token: \"{TOKEN}\"\n    user: \"alice\"\n    git_protocol: https\n"
        )
    );
    assert_eq!(
        fs::metadata(&hosts).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        !contains(&stage.root.path().join("home"), TOKEN),
        "not in the image's home"
    );
    drop(git);
    assert!(!hosts.exists(), "gone with the executor");
}

#[tokio::test]
async fn a_failed_login_is_no_failure() {
    let mut stage = Stage::new().await;
    install(&mut stage, "glab", "exit 1");
    let git = stage.git();
    let checkout = stage.check_out(&git, &stage.source()).await.unwrap();
    assert!(checkout.folder.is_some());
    assert_eq!(variable(&checkout, "GLAB_CONFIG_DIR"), None);
}
