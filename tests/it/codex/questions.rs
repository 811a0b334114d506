//! What Codex asks the person: whether it may do something, and what the model or an MCP server wants to know.

use std::fs;

use serde_json::{Value, json};
use testkit::{model::Options, oracle::ToolBlock};
use wegent_executor_tests::{Sleeper, TurnBody, World};

use super::{TASK, TURN, answering, asked, completed};
use crate::MCP_SERVER;

async fn world(test: &str) -> Option<World> {
    World::build_with(test, Options::default(), |settings| {
        settings.set("WEGENT_CODEX_APPROVALS", "untrusted");
    })
    .await
}

/// The text of a form's first question.
fn text(form: &ToolBlock) -> &str {
    form.input["questions"][0]["question"].as_str().unwrap()
}

fn permission(word: &str) -> Value {
    json!({"permission": word})
}

#[tokio::test]
async fn a_command_runs_when_the_form_is_answered_with_yes() {
    let Some(world) = world("a_command_runs_when_the_form_is_answered_with_yes").await else {
        return;
    };
    let turn = world.turn(TASK, TURN, "Run. #script:shell\n#cmd:echo allowed > made");
    let form = asked(&world, &turn).await;
    assert!(text(&form).contains("echo allowed > made"), "{form:#?}");
    let options = form.input["questions"][0]["options"].as_array().unwrap();
    let offered: Vec<&Value> = options.iter().map(|option| &option["value"]).collect();
    assert_eq!(offered, ["allow", "allow_session", "deny"]);
    let made = world.workspace(TASK).join("made");
    assert!(!made.exists());

    let turn = world.turn(TASK, TURN + 1, "Yes.");
    let view = completed(&world, &answering(turn, &form, permission("allow"))).await;
    assert_eq!(fs::read_to_string(made).unwrap(), "allowed\n");
    assert!(
        view.shown_text().starts_with("The command said:"),
        "{view:#?}"
    );
    assert_eq!(view.tool_counts().get("Bash"), Some(&1), "{view:#?}");
}

#[tokio::test]
async fn a_command_that_is_denied_does_not_run_and_the_turn_goes_on() {
    let test = "a_command_that_is_denied_does_not_run_and_the_turn_goes_on";
    let Some(world) = world(test).await else {
        return;
    };
    let turn = world.turn(TASK, TURN, "Run. #script:shell\n#cmd:touch made");
    let form = asked(&world, &turn).await;
    let turn = world.turn(TASK, TURN + 1, "No.");
    let view = completed(&world, &answering(turn, &form, permission("deny"))).await;
    assert!(
        view.shown_text().starts_with("The command said:"),
        "{view:#?}"
    );
    assert!(!world.workspace(TASK).join("made").exists());
}

#[tokio::test]
async fn a_patch_is_made_when_the_form_is_answered_with_yes() {
    let Some(world) = world("a_patch_is_made_when_the_form_is_answered_with_yes").await else {
        return;
    };
    // A model that has a tool for patches of its own.
    let turn = |subtask, prompt| world.turn(TASK, subtask, prompt).with_model("gpt-5.5");
    let form = asked(&world, &turn(TURN, "Write. #script:patch")).await;
    assert!(
        text(&form).starts_with("May these changes be made?")
            && text(&form).contains("hello_model.txt"),
        "{form:#?}"
    );
    let written = world.workspace(TASK).join("hello_model.txt");
    assert!(!written.exists());
    let turn = answering(turn(TURN + 1, "Yes."), &form, permission("allow"));
    completed(&world, &turn).await;
    assert!(written.exists());
}

#[tokio::test]
async fn an_mcp_tool_is_called_when_the_form_is_answered_with_yes() {
    let Some(world) = world("an_mcp_tool_is_called_when_the_form_is_answered_with_yes").await
    else {
        return;
    };
    let servers =
        json!([{"name": "demo", "type": "stdio", "command": "python3", "args": [MCP_SERVER]}]);
    let turn = |subtask, prompt| {
        let turn = world.turn(TASK, subtask, prompt);
        turn.with_bot("mcp_servers", servers.clone())
    };
    let prompt = "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}";
    for (subtask, word, said) in [
        (TURN, "deny", None),
        (TURN + 2, "allow", Some("hello, greeting")),
    ] {
        let form = asked(&world, &turn(subtask, prompt)).await;
        assert!(
            text(&form).starts_with("May the tool `echo` of `demo` be called?"),
            "{form:#?}"
        );
        let answer = answering(turn(subtask + 1, word), &form, permission(word));
        let view = completed(&world, &answer).await;
        assert!(view.text.starts_with("The MCP tool said:"), "{view:#?}");
        assert_eq!(
            view.text.contains("hello, greeting"),
            said.is_some(),
            "{view:#?}"
        );
    }
}

#[tokio::test]
async fn what_the_model_asks_is_answered_as_it_expects() {
    let Some(world) = world("what_the_model_asks_is_answered_as_it_expects").await else {
        return;
    };
    let form = asked(&world, &world.turn(TASK, TURN, "Ask. #script:ask")).await;
    assert!(text(&form).contains("Which color?"), "{form:#?}");
    let turn = world.turn(TASK, TURN + 1, "Blue.");
    let view = completed(&world, &answering(turn, &form, json!({"color": "Blue"}))).await;
    assert!(
        view.text.starts_with("You said:") && view.text.contains("Blue"),
        "{view:#?}"
    );
}

#[tokio::test]
async fn an_answer_after_a_restart_of_the_executor_reaches_the_model_as_text() {
    let test = "an_answer_after_a_restart_of_the_executor_reaches_the_model_as_text";
    let Some(mut world) = world(test).await else {
        return;
    };
    let turn = world.turn(TASK, TURN, "Run. #script:shell\n#cmd:touch made");
    let form = asked(&world, &turn).await;
    world.executor.kill().await;
    world.executor.restart().await;
    let turn = world.turn(TASK, TURN + 1, "Yes.");
    completed(&world, &answering(turn, &form, permission("allow"))).await;
    let said = world.model.requests().last().unwrap().user_texts();
    assert!(
        said.iter().any(|text| text.starts_with("Run.")),
        "the conversation goes on: {said:?}"
    );
    assert!(said.last().unwrap().contains("\"allow\""), "{said:?}");
    assert!(!world.workspace(TASK).join("made").exists());
}

#[tokio::test]
async fn a_cancel_while_a_question_is_open_ends_nothing_and_the_next_turn_begins_anew() {
    let test = "a_cancel_while_a_question_is_open_ends_nothing_and_the_next_turn_begins_anew";
    let Some(world) = world(test).await else {
        return;
    };
    let turn = world.turn(TASK, TURN, "Run. #script:shell\n#cmd:touch made");
    asked(&world, &turn).await;
    let url = world.executor.url();
    world.backend.cancel(&url, TASK, Some(TURN)).await;
    let turn = world.turn(TASK, TURN + 1, "Leave it. #script:remember");
    let view = completed(&world, &turn).await;
    assert!(view.text.contains("Leave it."), "{view:#?}");
    assert!(!world.workspace(TASK).join("made").exists());
    let ends = world.backend.callbacks(TURN);
    assert_eq!(ends.iter().filter(|sent| sent.is_terminal()).count(), 1);
}

#[tokio::test]
async fn a_turn_that_goes_on_after_its_answer_can_be_cancelled() {
    let test = "a_turn_that_goes_on_after_its_answer_can_be_cancelled";
    let Some(world) = world(test).await else {
        return;
    };
    let sleeper = Sleeper::new();
    let prompt = format!("Run. #script:shell\n#cmd:{sleeper}");
    let form = asked(&world, &world.turn(TASK, TURN, &prompt)).await;
    let turn = answering(
        world.turn(TASK, TURN + 1, "Yes."),
        &form,
        permission("allow"),
    );
    world.dispatch(&turn).await;
    sleeper.appear(1).await;
    let url = world.executor.url();
    let report = world.backend.cancel(&url, TASK, Some(TURN + 1)).await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    assert!(sleeper.running().is_empty());
    world.finished(TURN + 1).await;
    let turn = world.turn(TASK, TURN + 2, "And now? #script:remember");
    assert!(completed(&world, &turn).await.text.contains("And now?"));
}

/// The turn with a tool by which the model can ask for more rights.
fn asking_for_rights(world: &World, subtask: i64) -> TurnBody {
    let rights = json!({"permissions": {"network": {"enabled": true}}, "reason": "to look it up"});
    let prompt = format!("Go. #script:tool\n#cmd:request_permissions {rights}");
    let mut turn = world.turn(TASK, subtask, &prompt);
    turn.0["model_config"]["CODEX_CONFIG_TOML"] =
        json!("[features]\nrequest_permissions_tool = true\n");
    turn
}

#[tokio::test]
async fn rights_are_granted_when_the_form_is_answered_with_yes() {
    let test = "rights_are_granted_when_the_form_is_answered_with_yes";
    let world = World::build_with(test, Options::default(), |settings| {
        settings.set("WEGENT_CODEX_APPROVALS", "on-request");
    });
    let Some(world) = world.await else { return };
    for (subtask, word, granted) in [(TURN, "deny", false), (TURN + 2, "allow", true)] {
        let form = asked(&world, &asking_for_rights(&world, subtask)).await;
        assert!(
            text(&form).starts_with("May the agent have more rights?")
                && text(&form).contains("to look it up"),
            "{form:#?}"
        );
        let mut turn = asking_for_rights(&world, subtask + 1);
        turn.0["input"] = json!(word);
        let view = completed(&world, &answering(turn, &form, permission(word))).await;
        assert!(view.text.starts_with("The tool said:"), "{view:#?}");
        assert_eq!(view.text.contains("enabled"), granted, "{view:#?}");
    }
}

#[tokio::test]
async fn a_turn_that_goes_on_keeps_its_tokens_and_nobody_is_shown_them() {
    let test = "a_turn_that_goes_on_keeps_its_tokens_and_nobody_is_shown_them";
    let Some(world) = world(test).await else {
        return;
    };
    // No shape gives them away: what is known of the turns is all that can cover them.
    let (first, second) = ("first.turns.token.0815", "second.turns.token.4711");
    let command = r#"printf %s "$AUTH_TOKEN" > kept; echo "it is $AUTH_TOKEN""#;
    let turn = world.turn(TASK, TURN, &format!("Run. #script:shell\n#cmd:{command}"));
    let form = asked(&world, &turn.with("auth_token", json!(first))).await;
    let turn = world
        .turn(TASK, TURN + 1, "Yes.")
        .with("auth_token", json!(second));
    let view = completed(&world, &answering(turn, &form, permission("allow"))).await;
    assert!(view.text.contains("it is [redacted]"), "{view:#?}");
    let kept = world.workspace(TASK).join("kept");
    assert_eq!(fs::read_to_string(&kept).unwrap(), first);
    // In the conversation it still stands, so a later turn's model can say it.
    let turn = world.turn(
        TASK,
        TURN + 2,
        &format!("Again. #script:shell\n#cmd:{command}"),
    );
    let form = asked(&world, &turn.with("auth_token", json!(second))).await;
    let turn = world
        .turn(TASK, TURN + 3, "Yes.")
        .with("auth_token", json!(second));
    completed(&world, &answering(turn, &form, permission("allow"))).await;
    assert_eq!(fs::read_to_string(&kept).unwrap(), second);
    for callback in world.backend.all_callbacks() {
        let body = callback.body.to_string();
        assert!(!body.contains(first) && !body.contains(second), "{body}");
    }
}

#[tokio::test]
async fn a_question_lapses_with_the_tokens_of_its_turn() {
    let test = "a_question_lapses_with_the_tokens_of_its_turn";
    let Some(world) = world(test).await else {
        return;
    };
    // {"exp": 1700000000}
    let expired = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOiAxNzAwMDAwMDAwfQ.c2ln";
    let turn = world.turn(TASK, TURN, "Run. #script:shell\n#cmd:touch made");
    let form = asked(&world, &turn.with("auth_token", json!(expired))).await;
    let turn = world.turn(TASK, TURN + 1, "Yes.");
    completed(&world, &answering(turn, &form, permission("allow"))).await;
    let said = world.model.requests().last().unwrap().user_texts();
    assert!(said.last().unwrap().contains("\"allow\""), "{said:?}");
    assert!(!world.workspace(TASK).join("made").exists());
}

#[tokio::test]
async fn what_is_asked_at_once_is_asked_one_after_the_other() {
    let test = "what_is_asked_at_once_is_asked_one_after_the_other";
    let Some(world) = world(test).await else {
        return;
    };
    let calls =
        json!([["exec_command", {"cmd": "touch one"}], ["exec_command", {"cmd": "touch two"}]]);
    let turn = world.turn(TASK, TURN, &format!("Run. #script:calls\n#cmd:{calls}"));
    let first = asked(&world, &turn).await;
    let turn = world.turn(TASK, TURN + 1, "Yes.");
    let second = asked(&world, &answering(turn, &first, permission("allow"))).await;
    assert_ne!(text(&first), text(&second));
    let turn = world.turn(TASK, TURN + 2, "No.");
    let view = completed(&world, &answering(turn, &second, permission("deny"))).await;
    assert!(view.text.starts_with("The tools said:"), "{view:#?}");
    let made = |name: &str| world.workspace(TASK).join(name).exists();
    let allowed = text(&first).contains("touch one");
    assert_eq!((made("one"), made("two")), (allowed, !allowed));
}
