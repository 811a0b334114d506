//! Flat payloads into turns.

use agent_core::{AgentKind, Turn};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use wegent_protocol::{
    Dispatch, FlatRules, Protocol, Refused, Work, decode_flat, decode_task_info,
};

use crate::support::fixture_json;

fn decoded(body: &Value) -> Dispatch {
    decode_flat(body.to_string().as_bytes(), FlatRules::default()).unwrap()
}

fn turn(body: &Value) -> Turn {
    match decoded(body).work {
        Work::Turn(turn) => *turn,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_payload_is_read_completely() {
    let dispatch = decoded(&fixture_json("flat/codex-full.json"));
    assert_eq!(dispatch.protocol, Protocol::Cumulative);
    assert_eq!(dispatch.key.to_string(), "4501-9002");
    let facts = dispatch.envelope.task.as_deref().unwrap();
    assert_eq!(facts.title, "Fix the date parser");
    assert_eq!(
        (facts.kind.as_str(), facts.branch.as_str()),
        ("online", "main")
    );
    assert_eq!(facts.repository, "acme/dates");
    let secrets: Vec<&str> = dispatch
        .secrets()
        .map(|secret| secret.expose_secret())
        .collect();
    for secret in [
        "sk-example-not-a-real-key",
        "3q2+7wAAAAAAAAAAAAAAAA==",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJsaW4ifQ.example",
    ] {
        assert!(secrets.contains(&secret), "{secret} is not among them");
    }
    let turn = turn(&fixture_json("flat/codex-full.json"));
    assert_eq!(turn.agent, AgentKind::Codex);
    assert_eq!(turn.model.model_id.as_deref(), Some("example-gpt-model"));
    assert_eq!(
        turn.model.base_url.as_deref(),
        Some("https://llm.example.test/v1")
    );
    assert_eq!(turn.identity.user_name.as_deref(), Some("lin"));
    assert_eq!(turn.mcp_servers.len(), 2);
    assert_eq!(turn.skills.offered, ["shell_smoke"]);
    assert_eq!(turn.attachments[0].id, 55);
    assert_eq!(
        turn.instructions.as_deref(),
        Some("You are a careful engineer.\nPrefer small commits.")
    );
    let git = turn.git.unwrap();
    assert_eq!(git.branch.as_deref(), Some("main"));
    let config = turn.model.variables["CODEX_CONFIG_TOML"].expose_secret();
    assert_eq!(
        config,
        "model_reasoning_effort = \"medium\"\n[features]\nplan_tool = true\n"
    );
}

#[test]
fn what_to_continue_is_what_the_platform_says() {
    let codex = fixture_json("flat/codex-followup.json");
    let claude = fixture_json("flat/claudecode-followup.json");
    let id = "0199a213-81c0-7800-8aa1-bbab2a035a53";
    let with = |body: &Value, field: &str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        body
    };
    let continues = |body: &Value| {
        let turn = turn(body);
        let named = turn.resume_session.map(|id| id.to_string());
        (turn.new_session, named)
    };
    let named = (false, Some(id.to_owned()));
    assert_eq!(continues(&codex), named);
    assert_eq!(
        continues(&with(&codex, "retry_mode", json!("resume"))),
        named
    );
    assert_eq!(
        continues(&with(&codex, "retry_mode", json!("new_session"))),
        (true, None)
    );
    // Codex: no id means nothing to continue.
    assert_eq!(
        continues(&fixture_json("flat/codex-first.json")),
        (true, None)
    );
    // Claude Code: the task's own id stands for "whatever there is".
    assert_eq!(continues(&claude), (false, None));
    assert_eq!(continues(&with(&claude, "session_id", json!(id))), named);
    let off = FlatRules { resume: false };
    let dispatch = decode_flat(codex.to_string().as_bytes(), off).unwrap();
    let turn = dispatch.turn().unwrap();
    assert!(turn.new_session && turn.resume_session.is_none());
}

#[test]
fn payloads_with_little_in_them_are_read_too() {
    let minimal = turn(&fixture_json("flat/minimal.json"));
    assert!(minimal.model.api_key.is_none(), "a masked key is none");
    assert_eq!(minimal.prompt.joined_text(), "Say hi");
    let sandbox = decoded(&fixture_json("flat/sandbox.json"));
    assert!(sandbox.callback_url.is_some());
    assert_eq!(sandbox.envelope.task.as_deref().unwrap().kind, "sandbox");
    let validation = decoded(&fixture_json("flat/validation.json"));
    let Work::Validation(asked) = &validation.work else {
        panic!("{validation:?}")
    };
    assert_eq!(asked.agent, AgentKind::Codex);
    assert_eq!(asked.shell_name, "my-shell");
    assert_eq!(asked.image, "registry.example.test/my-shell:2");
    let mut shell = fixture_json("flat/codex-first.json");
    shell["bot"] = json!({"name": "b", "shell_type": " CODEX "});
    assert_eq!(turn(&shell).agent, AgentKind::Codex);
    shell["bot"]["shell_type"] = json!("nope");
    assert!(matches!(decoded(&shell).work, Work::UnknownAgent(_)));
}

#[test]
fn what_is_wrong_is_named_as_the_payload_names_it() {
    let mut body = fixture_json("flat/codex-first.json");
    let error = |body: &Value| {
        decode_flat(body.to_string().as_bytes(), FlatRules::default())
            .unwrap_err()
            .to_string()
    };
    for folder in ["here", "/repos/../etc"] {
        body["repo_dir"] = json!(folder);
        assert_eq!(error(&body), "repo_dir: not an absolute path without `..`");
    }
    body["attachments"] = json!([{"original_filename": "x"}]);
    assert_eq!(error(&body), "attachments[0].id: missing");
    body["bot"][0]["agent_config"]["env"]["base_url"] = json!(5);
    assert!(
        error(&body).starts_with("bot[0].agent_config.env.base_url: "),
        "{}",
        error(&body)
    );
    body.as_object_mut().unwrap().remove("task_id");
    assert!(error(&body).contains("task_id"));
    // Nobody reads an answer to TASK_INFO: what names its task is refused by callback.
    let mut body = fixture_json("flat/codex-first.json");
    body["prompt"] = Value::Null;
    let dispatch = decode_task_info(body.to_string().as_bytes(), FlatRules::default()).unwrap();
    assert!(
        matches!(&dispatch.work, Work::Refused(Refused::Malformed(_))),
        "{dispatch:?}"
    );
    assert!(decode_task_info(b"{}", FlatRules::default()).is_err());
}
