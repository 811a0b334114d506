//! Who is told the token, and who isn't.

use agent_core::GitSource;
use testkit::{GitServer, git_server::Faults};

use crate::stage::{Stage, TOKEN, said};

#[tokio::test]
async fn a_redirect_to_another_server_gets_no_token() {
    let stage = Stage::new().await;
    let thief = GitServer::start().await.unwrap();
    thief
        .repository("shop/web.git")
        .commit("main", "bait", &[("a", "b")]);
    thief.require("alice", TOKEN);
    stage.server.set_faults(Faults {
        redirect_to: Some(thief.url()),
        ..Faults::default()
    });
    let error = stage
        .check_out(&stage.git(), &stage.source())
        .await
        .unwrap_err()
        .to_string();
    assert!(!error.contains(TOKEN), "{error}");
    assert!(!thief.requests().is_empty(), "git did go there");
    assert!(
        thief
            .requests()
            .iter()
            .all(|request| request.authorization.is_none()),
        "{:?}",
        thief.requests()
    );
}

#[tokio::test]
async fn a_submodule_elsewhere_gets_no_token() {
    let stage = Stage::new().await;
    let thief = GitServer::start().await.unwrap();
    thief
        .repository("sub.git")
        .commit("main", "bait", &[("a", "b")]);
    thief.require("alice", TOKEN);
    let modules = format!(
        "[submodule \"sub\"]\n\tpath = sub\n\turl = {}/sub.git\n",
        thief.url()
    );
    let repository = stage.server.repository("with-sub.git");
    repository.commit("main", "modules", &[(".gitmodules", &modules)]);
    let source = GitSource {
        url: format!("{}/with-sub.git", stage.server.url()),
        ..stage.source()
    };
    let service = stage.git();
    let checkout = stage.check_out(&service, &source).await.unwrap();
    assert!(thief.requests().is_empty(), "a clone takes no submodules");
    let folder = checkout.folder.clone().unwrap();
    let script = format!("git submodule add -f {}/sub.git sub", thief.url());
    let output = stage.tool(&checkout, &folder, &script).await;
    assert!(!output.status.success(), "{}", said(&output));
    assert!(!thief.requests().is_empty(), "git did go there");
    assert!(
        thief
            .requests()
            .iter()
            .all(|request| request.authorization.is_none())
    );
}

#[tokio::test]
async fn a_url_of_another_server_gets_no_token_and_the_person_is_told() {
    let stage = Stage::new().await;
    let other = GitServer::start().await.unwrap();
    other
        .repository("shop/web.git")
        .commit("main", "public", &[("a", "b")]);
    let source = GitSource {
        url: format!("{}/shop/web.git", other.url()),
        domain: Some(stage.server.domain()),
        ..stage.source()
    };
    let checkout = stage.check_out(&stage.git(), &source).await.unwrap();
    assert!(
        checkout.warnings[0].contains("was not offered"),
        "{:?}",
        checkout.warnings
    );
    assert!(
        other
            .requests()
            .iter()
            .all(|request| request.authorization.is_none())
    );
}

#[tokio::test]
async fn the_images_own_authority_is_trusted_and_no_other() {
    let mut stage = Stage::new().await;
    stage.user.domain = Some(stage.server.tls_domain());
    let source = GitSource {
        url: format!("{}/shop/web.git", stage.server.tls_url()),
        ..stage.source()
    };
    let error = stage
        .check_out(&stage.git(), &source)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("certificate"), "{error}");
    stage.image("SSL_CERT_FILE", stage.server.authority().to_owned());
    let service = stage.git();
    let checkout = stage.check_out(&service, &source).await.unwrap();
    let output = stage
        .tool(
            &checkout,
            &checkout.folder.clone().unwrap(),
            "git fetch origin",
        )
        .await;
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn an_encrypted_token_works_and_no_form_of_it_shows() {
    let mut stage = Stage::new().await;
    stage.server.require("alice", "glpat-example-token-0001");
    let encrypted = "FcOsMvQ5iPbrbd92nF4lJXezlFfHKEGK50OvgjVTY48=";
    stage.user.token = Some(encrypted.into());
    stage
        .check_out(&stage.git(), &stage.source())
        .await
        .unwrap();
    let text = format!("{encrypted} glpat-example-token-0001");
    let shown = stage.secrets.redact_str(&text);
    assert!(
        !shown.contains("FcOsMv") && !shown.contains("glpat-example"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_tool_that_asks_as_git_does_is_answered_for_this_server_only() {
    let stage = Stage::new().await;
    let service = stage.git();
    let checkout = stage.check_out(&service, &stage.source()).await.unwrap();
    let fill =
        |host: &str| format!("printf 'protocol=http\\nhost={host}\\n\\n' | git credential fill");
    let folder = checkout.folder.clone().unwrap();
    let own = stage
        .tool(&checkout, &folder, &fill(&stage.server.domain()))
        .await;
    assert!(
        said(&own).contains(&format!("password={TOKEN}")),
        "{}",
        said(&own)
    );
    for host in ["127.0.0.1", "evil.example", "127.0.0.1:1"] {
        let other = stage.tool(&checkout, &folder, &fill(host)).await;
        assert!(
            !said(&other).contains(TOKEN) && !other.status.success(),
            "{host}: {}",
            said(&other)
        );
    }
    // A repository that names a helper of its own for this server isn't told what ours says.
    let leak = stage.root.path().join("leak");
    let config = format!(
        "git config credential.helper '!cat > {}; :'",
        leak.display()
    );
    stage.tool(&checkout, &folder, &config).await;
    let fetched = stage.tool(&checkout, &folder, "git fetch origin").await;
    assert!(fetched.status.success(), "{}", said(&fetched));
    assert!(!leak.exists(), "the list of helpers begins with ours");
}
