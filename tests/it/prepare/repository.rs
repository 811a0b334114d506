//! The repository that a turn works in, for both agents alike.

use std::fs;

use serde_json::{Value, json};
use testkit::{GitServer, mcp_echo::McpEcho};
use wegent_executor_tests::{FlatTurn, Settings, World};

use super::{AGENTS, completed, output, real_world};

const USER: &str = "e2e";
const TOKEN: &str = "glpat-example-token-0001";
/// The same as the platform sends it.
const ENCRYPTED: &str = "FcOsMvQ5iPbrbd92nF4lJXezlFfHKEGK50OvgjVTY48=";

/// A server with `e2e/demo.git`, whose `main` has a `README.md`.
async fn server() -> GitServer {
    let server = GitServer::start().await.unwrap();
    let repository = server.repository("e2e/demo.git");
    repository.commit("main", "first", &[("README.md", "hello\n")]);
    server.require(USER, TOKEN);
    server
}

/// The key and the vector that the platform's public source has.
fn usual_keys(settings: &mut Settings) {
    settings.set("GIT_TOKEN_AES_KEY", "12345678901234567890123456789012");
    settings.set("GIT_TOKEN_AES_IV", "1234567890123456");
}

fn run(command: &str) -> String {
    format!("Run. #script:shell\n#cmd:{command}")
}

#[tokio::test]
async fn an_encrypted_token_clones_and_reaches_an_mcp_server_in_clear() {
    let test = "an_encrypted_token_clones_and_reaches_an_mcp_server_in_clear";
    let Some(world) = real_world(test, usual_keys).await else {
        return;
    };
    let (server, echo) = (server().await, McpEcho::start().await.unwrap());
    let docs = json!([{"name": "docs", "type": "http", "url": echo.url(), "headers": {"X-Git": "${{user.git_token}}"}}]);
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let call = "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}";
        let turn = request(&world, task, task + 10, call)
            .in_repository(&server, "e2e/demo.git", ENCRYPTED)
            .with_bot("mcp_servers", docs.clone());
        completed(&world, agent, &turn).await;
        let checkout = world.workspace(task).join("demo");
        assert!(checkout.join("README.md").exists(), "{agent}");
    }
    let token = Some(TOKEN.to_owned());
    assert_eq!(echo.headers("x-git"), [token.clone(), token]);
    for callback in world.backend.all_callbacks() {
        let body = callback.body.to_string();
        assert!(!body.contains(TOKEN) && !body.contains(ENCRYPTED), "{body}");
    }
}

#[tokio::test]
async fn a_checkout_has_its_author_and_variables_and_is_kept() {
    let test = "a_checkout_has_its_author_and_variables_and_is_kept";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let server = server().await;
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = |subtask, command: &str| {
            let turn = request(&world, task, subtask, &run(command));
            let mut turn = turn.in_repository(&server, "e2e/demo.git", TOKEN);
            // The address is made of these then.
            turn.0["metadata"]["user"]["git_email"] = Value::Null;
            turn.0["metadata"]["user"]["git_id"] = json!("42");
            turn
        };
        let look = "echo \"$GIT_DOMAIN $GIT_REPO $GIT_REPO_ID $BRANCH_NAME $GIT_URL\"; \
            git config user.name; git config user.email; pwd; git status --porcelain; touch mine";
        let view = completed(&world, agent, &turn(task * 10, look)).await;
        let (domain, folder) = (server.domain(), world.workspace(task).join("demo"));
        let expected = format!(
            "{domain} e2e/demo 1 main http://{domain}/e2e/demo.git\n\
            e2e\n42+e2e@users.noreply.github.com\n{}",
            folder.display()
        );
        assert_eq!(output(&view), expected, "{agent}");
        let asked = server.requests().len();
        let view = completed(
            &world,
            agent,
            &turn(task * 10 + 1, "pwd; ls mine README.md"),
        )
        .await;
        let expected = format!("{}\nREADME.md\nmine", folder.display());
        assert_eq!(output(&view), expected, "{agent}");
        assert_eq!(server.requests().len(), asked, "nothing is fetched again");
    }
}

#[tokio::test]
async fn a_server_is_reached_through_its_proxy_by_clones_and_by_tools() {
    let test = "a_server_is_reached_through_its_proxy_by_clones_and_by_tools";
    let server = server().await;
    let proxies = json!({"*": {"http.proxy": server.url()}}).to_string();
    let set = |settings: &mut Settings| {
        settings.set("REPO_PROXY_CONFIG", proxies);
    };
    let Some(world) = real_world(test, set).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let push = format!("git push -q origin HEAD:wegent-{task} && echo pushed");
        let mut turn = request(&world, task, task + 10, &run(&push)).in_repository(
            &server,
            "e2e/demo.git",
            TOKEN,
        );
        let metadata = &mut turn.0["metadata"];
        metadata["git_url"] = json!("http://git.example/e2e/demo.git");
        metadata["git_domain"] = json!("git.example");
        metadata["user"]["git_domain"] = json!("git.example");
        let view = completed(&world, agent, &turn).await;
        assert_eq!(output(&view), "pushed", "{agent}");
    }
}

#[tokio::test]
async fn a_lasting_folder_is_worked_in_as_it_is_and_the_agent_is_told_of_it() {
    let test = "a_lasting_folder_is_worked_in_as_it_is_and_the_agent_is_told_of_it";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let server = server().await;
    type Payload = fn(&World, i64, i64, &str) -> FlatTurn;
    let agents: [(&str, Payload, String); 2] = [
        (
            "codex",
            World::flat,
            format!("{}/e2e/demo.git", server.url()),
        ),
        // What is Perforce's often has no other address.
        ("claude code", World::flat_claude, String::new()),
    ];
    for (task, (agent, payload, url)) in (1..).zip(agents) {
        let folder = world.root.path().join(format!("lasting-{task}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(".p4config"), "P4PORT=x\n").unwrap();
        let turn = payload(&world, task, task + 10, &run("touch was-here"))
            .with("repo_dir", json!(folder))
            .with("git_url", json!(url));
        let stored = world.run_flat(&turn).await;
        assert_eq!(stored.status, "COMPLETED", "{agent}: {stored:#?}");
        assert!(folder.join("was-here").exists(), "{agent}");
        let asked = world.model.requests().pop().unwrap().body.to_string();
        let folder = folder.display();
        for line in [
            format!("Current working directory: {folder}"),
            format!("Persistent repo directory: {folder}"),
            "repo_vcs: p4".to_owned(),
            "is_p4: True".to_owned(),
        ] {
            assert!(asked.contains(&line), "{agent} was not told: {line}");
        }
        let told = asked.contains(&format!("Project url: {url}"));
        assert_eq!(told, !url.is_empty(), "{agent}");
    }
    assert!(server.requests().is_empty(), "nothing is cloned");
}

/// Notes how it is called and what it reads, where its configuration is.
const GH: &str =
    "#!/bin/sh\necho \"$*\" >> \"$GH_CONFIG_DIR/calls\"\ncat > \"$GH_CONFIG_DIR/stdin\"\n";

#[tokio::test]
async fn the_login_of_gh_is_the_tasks_and_its_token_no_argument() {
    let test = "the_login_of_gh_is_the_tasks_and_its_token_no_argument";
    let bin = tempfile::tempdir().unwrap();
    executable(&bin.path().join("gh"), GH);
    executable(&bin.path().join("glab"), "#!/bin/sh\nexit 1\n");
    let set = |settings: &mut Settings| {
        let path = format!("{}:{}", bin.path().display(), settings.env["PATH"]);
        settings.set("PATH", path);
    };
    let Some(world) = real_world(test, set).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = |subtask, domain: &str, command: &str| {
            let mut turn = request(&world, task, subtask, &run(command));
            turn.0["metadata"]["user"] =
                json!({"name": "e2e", "git_domain": domain, "git_login": USER, "git_token": TOKEN});
            turn
        };
        let look = "cat $GH_CONFIG_DIR/calls; wc -c < $GH_CONFIG_DIR/stdin";
        let view = completed(&world, agent, &turn(task * 10, "github.example", look)).await;
        let expected = format!(
            "auth login --hostname github.example --with-token\n{}",
            TOKEN.len()
        );
        assert_eq!(output(&view), expected, "{agent}");
        // A login that fails is no failure of the turn.
        let look = "echo ${GLAB_CONFIG_DIR-unset}";
        let view = completed(&world, agent, &turn(task * 10 + 1, "gitlab.example", look)).await;
        assert_eq!(output(&view), "unset", "{agent}");
    }
    assert!(world.executor.log().contains("login failed"));
}

fn executable(file: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
