//! What a model's settings become on the real CLI: what the provider is asked.

use std::{fs, path::Path};

use agent_core::{AgentError, ApiFormat, ErrorClass, Outcome, Turn};
use codex_agent::CodexConfig;
use secrecy::SecretString;
use testkit::{
    ModelServer,
    model::{Options, SeenRequest},
};

use crate::stage::{Stage, turn};

/// The real CLI and a scripted model.
async fn stage(test: &str, change: impl FnOnce(&mut CodexConfig)) -> Option<(Stage, ModelServer)> {
    let codex = testkit::cli::require_codex(test)?;
    let model = ModelServer::start(Options::default()).await.unwrap();
    Some((Stage::new(&codex, change), model))
}

fn variable(turn: &mut Turn, name: &str, value: &str) {
    let variables = &mut turn.model.variables;
    variables.insert(name.to_owned(), SecretString::from(value));
}

/// Runs a turn that completes, and gives what the model was asked first and the window that Codex reckons with.
async fn asked(stage: &Stage, model: &ModelServer, turn: &Turn) -> (SeenRequest, Option<u64>) {
    model.forget();
    let (_, result) = stage.run(turn).await;
    let Ok(Outcome::Completed(done)) = result else {
        panic!("{result:?}")
    };
    let request = model.requests().remove(0);
    (request, done.usage.and_then(|usage| usage.context_window))
}

#[tokio::test]
async fn every_setting_of_a_model_reaches_the_provider() {
    let Some((stage, model)) = stage("every_setting_of_a_model_reaches_the_provider", |_| {}).await
    else {
        return;
    };
    let mut turn = turn("hi", Some(model.base_url()));
    let settings = &mut turn.model;
    // A model of the CLI's own catalogue: only such a one is told how verbose to be.
    settings.model_id = Some("gpt-5.6-sol".to_owned());
    settings.reasoning_effort = Some("high".to_owned());
    settings.reasoning_summary = Some("detailed".to_owned());
    settings.verbosity = Some("high".to_owned());
    settings.service_tier = Some("priority".to_owned());
    settings.web_search = Some("disabled".to_owned());
    settings.context_window = Some(100_000);
    settings.headers = [("x-team".to_owned(), SecretString::from("blue"))].into();
    variable(&mut turn, "OPENAI_ORGANIZATION", "org-7");
    variable(&mut turn, "OPENAI_PROJECT", "proj-9");
    let (request, window) = asked(&stage, &model, &turn).await;
    let body = &request.body;
    assert_eq!(body["model"], "gpt-5.6-sol");
    assert_eq!(body["reasoning"]["effort"], "high", "{}", body["reasoning"]);
    assert_eq!(
        body["reasoning"]["summary"], "detailed",
        "{}",
        body["reasoning"]
    );
    assert_eq!(body["text"]["verbosity"], "high", "{}", body["text"]);
    assert_eq!(body["service_tier"], "priority", "{}", body["service_tier"]);
    assert!(!body.to_string().contains("web_search"), "{body}");
    for (header, value) in [
        ("x-team", "blue"),
        ("openai-organization", "org-7"),
        ("openai-project", "proj-9"),
        ("authorization", "Bearer sk-agent-test-key"),
    ] {
        assert_eq!(request.header(header), Some(value), "{header}");
    }
    // Codex keeps a part of the window for itself.
    assert!(
        window.is_some_and(|window| (80_000..=100_000).contains(&window)),
        "{window:?}"
    );
}

#[tokio::test]
async fn web_search_is_offered_or_not_as_the_request_says() {
    let Some((stage, model)) =
        stage("web_search_is_offered_or_not_as_the_request_says", |_| {}).await
    else {
        return;
    };
    for (web_search, offered) in [("live", true), ("disabled", false)] {
        let mut turn = turn("hi", Some(model.base_url()));
        turn.model.web_search = Some(web_search.to_owned());
        let (request, _) = asked(&stage, &model, &turn).await;
        let tools = request.body["tools"].as_array().unwrap();
        let found = tools.iter().any(|tool| tool["type"] == "web_search");
        assert_eq!(found, offered, "{web_search}: {tools:?}");
    }
}

#[tokio::test]
async fn codex_config_toml_says_how_the_model_is_asked_and_where() {
    let test = "codex_config_toml_says_how_the_model_is_asked_and_where";
    let Some((stage, model)) = stage(test, |_| {}).await else {
        return;
    };
    // As Wegent's operators write it: the key is named, and stands beside it.
    let text = format!(
        "model_provider = \"relay\"\nmodel_reasoning_effort = \"low\"\nsandbox_mode = \"read-only\"\n\
         [shell_environment_policy]\ninherit = \"all\"\n\
         [model_providers.relay]\nname = \"relay\"\nbase_url = \"{}\"\nwire_api = \"responses\"\n\
         env_key = \"RELAY_KEY\"\nhttp_headers = {{ \"x-relay\" = \"1\" }}\n",
        model.base_url()
    );
    let prompt = "Write. #script:shell\n#cmd:echo ok > written; echo \"${RELAY_KEY-unset}\"";
    let mut turn = turn(prompt, None);
    variable(&mut turn, "CODEX_CONFIG_TOML", &text);
    variable(&mut turn, "RELAY_KEY", "sk-relay-key");
    turn.model.reasoning_summary = Some("concise".to_owned());
    let (request, _) = asked(&stage, &model, &turn).await;
    assert_eq!(request.bearer(), Some("sk-relay-key"));
    assert_eq!(request.header("x-relay"), Some("1"));
    assert_eq!(
        request.body["reasoning"]["effort"], "low",
        "{}",
        request.body["reasoning"]
    );
    // What the executor answers for stays as it is: the sandbox, and the environment of tools.
    assert!(
        stage.workspace.cwd.join("written").exists(),
        "the sandbox was changed"
    );
    let said = model.requests().last().unwrap().body.to_string();
    assert!(
        said.contains("unset") && !said.contains("sk-relay-key"),
        "{said}"
    );
}

#[tokio::test]
async fn a_configuration_that_is_no_toml_fails_the_turn_with_its_line() {
    let test = "a_configuration_that_is_no_toml_fails_the_turn_with_its_line";
    let Some((stage, model)) = stage(test, |_| {}).await else {
        return;
    };
    let mut turn = turn("hi", Some(model.base_url()));
    variable(&mut turn, "CODEX_CONFIG_TOML", "model = \"m\"\n[features\n");
    let error = stage.run(&turn).await.1.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest);
    let message = error.to_string();
    assert!(
        message.starts_with("CODEX_CONFIG_TOML: line 2: "),
        "{message}"
    );
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn a_value_that_codex_does_not_take_is_the_requests_fault() {
    let test = "a_value_that_codex_does_not_take_is_the_requests_fault";
    let Some((stage, model)) = stage(test, |_| {}).await else {
        return;
    };
    let mut turn = turn("hi", Some(model.base_url()));
    variable(&mut turn, "CODEX_CONFIG_TOML", "model_verbosity = 7\n");
    let error = stage.run(&turn).await.1.unwrap_err();
    assert_eq!(
        error.class(),
        ErrorClass::InvalidRequest,
        "{}",
        error.chain()
    );
    assert!(
        error.chain().contains("model_verbosity"),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn a_model_of_another_protocol_fails_at_once_and_says_what_is_needed() {
    let (stage, _cli) = Stage::with_fake();
    for format in [
        ApiFormat::ChatCompletions,
        ApiFormat::Other("claude".to_owned()),
    ] {
        let mut turn = turn("#fake:say never", None);
        turn.model.api_format = Some(format);
        let (events, result) = stage.run(&turn).await;
        let error = result.unwrap_err();
        assert_eq!(error.class(), ErrorClass::ModelProtocol);
        assert!(error.to_string().contains("/v1/responses"), "{error}");
        assert!(events.is_empty(), "{events:?}");
    }
}

/// A container whose owner is logged in, with a provider of his own.
fn logged_in(codex_home: &Path, base_url: &str) {
    fs::create_dir_all(codex_home).unwrap();
    let login = r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-own-login"}"#;
    fs::write(codex_home.join("auth.json"), login).unwrap();
    let config = format!(
        "model_provider = \"mine\"\nsandbox_mode = \"read-only\"\n[model_providers.mine]\nname = \"mine\"\n\
         base_url = \"{base_url}\"\nwire_api = \"responses\"\nrequires_openai_auth = true\n"
    );
    fs::write(codex_home.join("config.toml"), config).unwrap();
}

#[tokio::test]
async fn the_containers_own_login_is_used_where_it_is_asked_for_and_nowhere_else() {
    let test = "the_containers_own_login_is_used_where_it_is_asked_for_and_nowhere_else";
    let home = tempfile::tempdir().unwrap();
    let codex_home = home.path().join(".codex");
    let set_home = |config: &mut CodexConfig| {
        config.image.insert("HOME".into(), home.path().into());
    };
    let Some((stage, model)) = stage(test, set_home).await else {
        return;
    };
    let mut own = turn("hi #script:text", None);
    own.model.use_own_login = true;
    own.model.api_key = None;
    // Nobody is logged in yet.
    let error: AgentError = stage.run(&own).await.1.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
    assert!(error.to_string().contains("auth.json"), "{error}");

    logged_in(&codex_home, &model.base_url());
    let (request, _) = asked(&stage, &model, &own).await;
    assert_eq!(request.bearer(), Some("sk-own-login"));
    // The next turn of the task brings a key of its own.
    let (request, _) = asked(
        &stage,
        &model,
        &turn("hi #script:text", Some(model.base_url())),
    )
    .await;
    assert_eq!(request.bearer(), Some("sk-agent-test-key"));
    let task_home = stage.workspace.cwd.parent().unwrap().join("codex/1");
    assert!(
        !task_home.join("auth.json").exists(),
        "the login stays linked"
    );
}
