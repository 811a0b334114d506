//! The check of an image, and what the deployment has switched off.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use testkit::{Callback, http::client, model::Options};
use wegent_executor_tests::{FlatTurn, PATIENCE, World};

const VALIDATION: &str =
    include_str!("../../crates/wegent-protocol/fixtures/requests/validation.json");
const FLAT: &str = include_str!("../../crates/wegent-protocol/fixtures/flat/validation.json");

fn asked_for(shell: &str) -> Value {
    let mut body: Value = serde_json::from_str(VALIDATION).unwrap();
    body["metadata"]["validation_params"]["shell_type"] = json!(shell);
    body
}

/// The last callback of a validation, which is subtask 1 as Wegent numbers it.
async fn end(world: &World) -> Callback {
    world.backend.wait_terminal(1, PATIENCE).await
}

fn report(end: &Callback) -> Value {
    assert_eq!(end.event_type(), "response.completed", "{end:#?}");
    let text = &end.data()["response"]["output"][0]["content"][0]["text"];
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[tokio::test]
async fn an_image_without_codex_is_told_to_be_of_no_use_and_the_turn_completes() {
    let nowhere = Path::new("/nonexistent/codex");
    let world = World::with_cli(nowhere, Options::default(), |_| {}).await;
    let answer = world.post(&asked_for("Codex")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let end = end(&world).await;
    assert_eq!(
        end.body["validation_id"],
        "6f9b4e7a-8f52-4e0e-9f0f-0d8b1b7c2a11"
    );
    let report = report(&end);
    assert_eq!(report["valid"], false, "{report:#}");
    let codex = check(&report, "codex");
    assert_eq!(codex["status"], "fail");
    assert!(
        codex["message"]
            .as_str()
            .unwrap()
            .contains("CODEX_BINARY_PATH"),
        "{codex}"
    );
    for name in ["git", "configuration", "executor"] {
        assert_eq!(check(&report, name)["status"], "pass", "{report:#}");
    }
    assert_eq!(
        check(&report, "executor")["version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        (&report["shell_type"], &report["image"]),
        (&json!("Codex"), &json!("registry.example.com/py312:1"))
    );
}

#[tokio::test]
async fn the_real_clis_tell_their_versions() {
    let test = "the_real_clis_tell_their_versions";
    let Some(world) = World::build(test).await else {
        return;
    };
    if testkit::cli::require_claude(wegent_executor_tests::CLAUDE, test).is_none() {
        return;
    }
    for (shell, name, version) in [
        ("Codex", "codex", "0.169.0"),
        ("ClaudeCode", "claude-code", "2.1.329"),
    ] {
        let mut body = asked_for(shell);
        let subtask = i64::from(shell == "Codex") + 1;
        body["metadata"]["subtask_id"] = json!(subtask);
        world.post(&body).await;
        let report = report(&world.backend.wait_terminal(subtask, PATIENCE).await);
        let cli = check(&report, name);
        assert_eq!(
            (&cli["status"], &cli["version"]),
            (&json!("pass"), &json!(version)),
            "{report:#}"
        );
    }
}

#[tokio::test]
async fn a_shell_that_nobody_knows_is_an_error() {
    let world = World::with_cli(Path::new("/nonexistent/codex"), Options::default(), |_| {}).await;
    world.post(&asked_for("Agno")).await;
    let end = end(&world).await;
    assert_eq!(end.event_type(), "error");
    assert!(
        end.data()["message"].as_str().unwrap().contains("Agno"),
        "{end:#?}"
    );
}

#[tokio::test]
async fn the_form_of_january_names_its_stages() {
    let nowhere = Path::new("/nonexistent/codex");
    let world = World::with_cli(nowhere, Options::default(), |_| {}).await;
    let payload = FlatTurn(serde_json::from_str(FLAT).unwrap());
    world.execute(&payload).await;
    end(&world).await;
    let callbacks = world.backend.callbacks(1);
    let stages: Vec<&str> = callbacks
        .iter()
        .map(|callback| callback.body["result"]["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["running", "running_checks", "completed"]);
    for callback in &callbacks {
        assert_eq!(callback.body["task_type"], "validation");
        assert_eq!(
            callback.body["result"]["validation_id"],
            "6b0f6f0a-2f57-4b55-9c1e-0f6a3f1f2b10"
        );
    }
    let report = &callbacks[2].body["result"]["validation_result"];
    assert_eq!(report["valid"], false);
    assert_eq!(check(report, "codex")["status"], "fail");
}

#[tokio::test]
async fn codex_switched_off_ends_its_turns_with_a_reason_and_no_other() {
    let test = "codex_switched_off_ends_its_turns_with_a_reason_and_no_other";
    let off = |settings: &mut wegent_executor_tests::Settings| {
        settings.set("CODEX_SHELL_ENABLED", "false");
        // Would give Claude Code's turns to Codex.
        settings.set("WEGENT_ROUTE_RESPONSES_MODELS_TO_CODEX", "true");
    };
    let Some(world) = World::with_claude(test, Options::default(), off).await else {
        return;
    };
    world
        .dispatch(&world.turn(1, 2, "Hello. #script:text"))
        .await;
    let refused = world.backend.wait_terminal(2, PATIENCE).await;
    assert_eq!(refused.event_type(), "error");
    assert!(
        refused.data()["message"]
            .as_str()
            .unwrap()
            .contains("CODEX_SHELL_ENABLED"),
        "{refused:#?}"
    );
    world
        .execute(&world.flat(1, 3, "Hello. #script:text"))
        .await;
    let refused = world.backend.wait_terminal(3, PATIENCE).await;
    assert_eq!(refused.status(), "FAILED");
    assert!(
        refused.body["error_message"]
            .as_str()
            .unwrap()
            .contains("CODEX_SHELL_ENABLED"),
        "{refused:#?}"
    );
    assert!(world.model.requests().is_empty());
    let view = world
        .run(&world.claude_turn(4, 5, "Hello. #script:text"))
        .await;
    assert!(view.completed(), "{view:#?}");
    let url = format!("{}/v1/capabilities", world.executor.url());
    let told = client::get(&url, Duration::from_secs(10))
        .await
        .unwrap()
        .json();
    let enabled: Vec<(&str, bool)> = told["shells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shell| {
            (
                shell["shell_type"].as_str().unwrap(),
                shell["enabled"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(enabled, [("ClaudeCode", true), ("Codex", false)]);
}
