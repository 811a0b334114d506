//! What an agent's tools can push, and that the repository's own hooks run.

use std::fs;

use agent_core::git::Checkout;

use crate::stage::{Stage, TOKEN, contains, said};

const COMMIT: &str = "echo more >> README.md && git commit -qam more";

async fn ready() -> (Stage, agent_core::git::Git, Checkout, std::path::PathBuf) {
    let stage = Stage::new().await;
    let git = stage.git();
    let checkout = stage.check_out(&git, &stage.source()).await.unwrap();
    let folder = checkout.folder.clone().unwrap();
    (stage, git, checkout, folder)
}

#[tokio::test]
async fn tools_can_push_later() {
    let (stage, _git, checkout, folder) = ready().await;
    let script = format!("git checkout -qb wegent-1 && {COMMIT} && git push -q origin wegent-1");
    let output = stage.tool(&checkout, &folder, &script).await;
    assert!(output.status.success(), "{}", said(&output));
    let fetched = stage
        .tool(
            &checkout,
            &folder,
            "git ls-remote origin wegent-1 && git log -1 --format='%an <%ae>'",
        )
        .await;
    assert!(
        said(&fetched).contains("refs/heads/wegent-1"),
        "{}",
        said(&fetched)
    );
    assert!(
        said(&fetched).contains("alice <alice@example.invalid>"),
        "{}",
        said(&fetched)
    );
    assert!(
        !contains(stage.root.path(), TOKEN),
        "the token is in no file"
    );
}

#[tokio::test]
async fn protected_branches_are_not_pushed() {
    let (stage, _git, checkout, folder) = ready().await;
    for (push, passes) in [
        ("git push origin HEAD", false),
        ("git push origin HEAD:refs/heads/master", false),
        ("git push origin HEAD:refs/heads/release/1.0", false),
        (
            "git push origin HEAD:refs/heads/ok HEAD:refs/heads/main",
            false,
        ),
        ("git push origin :main", false),
        ("git push origin HEAD:refs/heads/mainline", true),
        ("git push origin HEAD:refs/heads/x/main", true),
    ] {
        let output = stage
            .tool(&checkout, &folder, &format!("{COMMIT} && {push}"))
            .await;
        assert_eq!(output.status.success(), passes, "{push}: {}", said(&output));
        assert_eq!(
            said(&output).contains("is a protected branch"),
            !passes,
            "{push}: {}",
            said(&output)
        );
    }
}

#[tokio::test]
async fn what_is_protected_can_be_chosen() {
    let mut stage = Stage::new().await;
    stage.settings.protected_branches = Vec::new();
    let git = stage.git();
    let checkout = stage.check_out(&git, &stage.source()).await.unwrap();
    let folder = checkout.folder.clone().unwrap();
    let output = stage
        .tool(
            &checkout,
            &folder,
            &format!("{COMMIT} && git push -q origin HEAD"),
        )
        .await;
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn the_repositorys_own_hooks_still_run() {
    let stage = Stage::new().await;
    let repository = stage.server.repository("hooked.git");
    let hook = "#!/bin/sh\n[ -t 0 ] || cat > stdin.txt\necho \"own $0 $*\" >> hooks.log\n";
    repository.commit(
        "main",
        "hooks",
        &[
            (".githooks/pre-push!", hook),
            (".githooks/commit-msg!", hook),
            (".githooks/post-commit", hook),
        ],
    );
    let source = agent_core::GitSource {
        url: format!("{}/hooked.git", stage.server.url()),
        ..stage.source()
    };
    let git = stage.git();
    let checkout = stage.check_out(&git, &source).await.unwrap();
    let folder = checkout.folder.clone().unwrap();
    assert!(!folder.join("hooks.log").exists(), "a clone runs no hook");
    let script =
        "echo x > y && git add y && git commit -qm y && git push -q origin HEAD:refs/heads/feature";
    let output = stage.tool(&checkout, &folder, script).await;
    assert!(output.status.success(), "{}", said(&output));
    let log = fs::read_to_string(folder.join("hooks.log")).unwrap();
    assert!(
        log.contains("own .githooks/commit-msg .git/COMMIT_EDITMSG"),
        "{log}"
    );
    assert!(
        log.contains(&format!("own .githooks/pre-push origin {}", source.url)),
        "{log}"
    );
    assert!(
        !log.contains("post-commit"),
        "one that isn't executable doesn't run: {log}"
    );
    let stdin = fs::read_to_string(folder.join("stdin.txt")).unwrap();
    assert!(stdin.contains("refs/heads/feature"), "{stdin}");
    // Hooks in the usual place, in a repository that a tool made itself; one of them says no.
    let script = "git init -q new && cd new && printf '#!/bin/sh\\nexit 3\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit && git -c user.name=a -c user.email=b commit -q --allow-empty -m x";
    let output = stage.tool(&checkout, &stage.tasks(), script).await;
    assert!(!output.status.success(), "its own hook was asked");
}
