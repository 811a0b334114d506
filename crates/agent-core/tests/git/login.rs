//! `gh` and `glab`: played by scripts that note how they were called, and the real `gh`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use testkit::{
    CodeHost,
    code_host::{DOMAIN, LOGIN},
};

use crate::stage::{Stage, TASK, TOKEN, contains, said};

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
            TASK,
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

/// A stage where the real `gh` finds a host whose tokens have these scopes.
async fn with_gh(scopes: &str) -> (Stage, CodeHost) {
    let host = CodeHost::start(scopes).await.unwrap();
    let mut stage = Stage::new().await;
    stage.image("HTTPS_PROXY", host.proxy());
    stage.image("SSL_CERT_FILE", host.authority());
    stage.user.domain = Some(DOMAIN.into());
    (stage, host)
}

/// Logs in without a repository, and asks the host as a tool who it is taken for.
async fn asked_by_a_tool(stage: &Stage) -> String {
    let git = stage.git();
    let (tasks, secrets) = (stage.tasks(), &stage.secrets);
    let checkout = git.check_out(TASK, None, &stage.user, &tasks, secrets, |_| {});
    let checkout = checkout.await.unwrap();
    let ask = format!("gh api --hostname {DOMAIN} user --jq .login");
    said(&stage.tool(&checkout, &tasks, &ask).await)
}

#[tokio::test]
async fn the_real_gh_is_logged_in_and_its_token_is_no_argument() {
    let test = "the_real_gh_is_logged_in_and_its_token_is_no_argument";
    if testkit::cli::require_gh(test).is_none() {
        return;
    }
    let (stage, host) = with_gh("repo, read:org").await;
    assert_eq!(asked_by_a_tool(&stage).await.trim(), LOGIN);
    let requests = host.requests();
    let sent = Some(format!("token {TOKEN}"));
    assert!(
        requests.iter().all(|request| request.authorization == sent),
        "{requests:?}"
    );
    let logins = requests[0].arguments.iter();
    let logins: Vec<_> = logins
        .filter(|line| line.contains("auth login --hostname github.example"))
        .collect();
    assert!(!logins.is_empty(), "{requests:?}");
    let all = requests.iter().flat_map(|request| &request.arguments);
    assert!(all.into_iter().all(|line| !line.contains(TOKEN)));
    assert!(!contains(&stage.root.path().join("home"), TOKEN));
}

#[tokio::test]
async fn the_real_gh_without_read_org_works_all_the_same() {
    let test = "the_real_gh_without_read_org_works_all_the_same";
    if testkit::cli::require_gh(test).is_none() {
        return;
    }
    let (stage, _host) = with_gh("repo").await;
    assert_eq!(asked_by_a_tool(&stage).await.trim(), LOGIN);
}
