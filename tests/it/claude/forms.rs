//! Questions to the person: shown when the platform can show them, answered by a later turn.

use serde_json::{Value, json};
use testkit::{FormServer, View, cli::ClaudeVersion, model::Options, oracle::Terminal};
use wegent_executor_tests::{Settings, TurnBody, World};

use super::{TASK, TURN, error, world};

pub(super) const TOKEN: &str = "form-token-5d1c9e07";
pub(super) const TOOL: &str = "mcp__forms__interactive_form_question";

/// A turn in which the model asks for this form.
pub(super) fn asking(world: &World, forms: &FormServer, questions: &Value) -> TurnBody {
    let form = json!({"questions": questions});
    with_forms(
        world.claude_turn(TASK, TURN, &format!("Ask. #script:form\n#cmd:{form}")),
        forms,
    )
}

/// The server comes as Wegent sends it: as a tool with its authorization.
pub(super) fn with_forms(mut turn: TurnBody, forms: &FormServer) -> TurnBody {
    turn.0["tools"] = json!([{
        "type": "mcp", "server_label": "forms", "server_url": forms.url(), "server_type": "streamable-http",
        "server_auth": {"Authorization": format!("Bearer {TOKEN}")},
    }]);
    turn
}

pub(super) fn one_question() -> Value {
    json!([{"id": "where", "question": "Where to?", "options": [{"label": "Here", "value": "here"}]}])
}

/// The turn that answers what `call` asked.
pub(super) fn answering(turn: TurnBody, call: &str, status: &str, answers: Value) -> TurnBody {
    turn.with(
        "interactive_form_answer",
        json!({
            "type": "interactive_form_question", "tool_use_id": call, "task_id": TASK, "subtask_id": TURN,
            "answers": answers, "success": status == "answered", "status": status,
        }),
    )
}

pub(super) fn waits(view: &View) -> bool {
    match &view.terminal {
        Some(Terminal::Completed { response, .. }) => {
            response["stop_reason"] == "tool_deferred"
                && response["silent_exit"] == true
                && response["silent_exit_reason"] == "waiting_for_user_input"
                && response["output"] == json!([])
        }
        _ => false,
    }
}

/// Runs a turn that asks, and gives the id of what is asked.
pub(super) async fn asked(world: &World, turn: &TurnBody, tool: &str) -> String {
    let view = world.run(turn).await;
    assert!(waits(&view), "{view:#?}\n{}", world.executor.log());
    let form = view.tools().find(|block| block.name == tool);
    let form = form.unwrap_or_else(|| panic!("{view:#?}"));
    assert_eq!(form.status, "done", "{view:#?}");
    form.id.clone()
}

/// What the model was told of the answer, quoted by its script.
pub(super) async fn answered(world: &World, turn: &TurnBody) -> String {
    let view = world.run(turn).await;
    assert!(
        view.completed() && !waits(&view),
        "{view:#?}\n{}",
        world.executor.log()
    );
    assert_eq!(view.tools().count(), 0, "{view:#?}");
    view.text.clone()
}

/// The block was there when the server was called, so that it could attach the form.
fn block_came_first(world: &World, forms: &FormServer) {
    let call = forms.calls().pop().expect("the server was called");
    let callbacks = world.backend.callbacks(TURN);
    let block = callbacks
        .iter()
        .find(|callback| callback.data()["block"]["tool_name"] == TOOL);
    let block = block.expect("the block was sent");
    assert!(block.arrived < call.at, "{} {}", block.arrived, call.at);
    let item = callbacks
        .iter()
        .find(|callback| callback.event_type() == "response.output_item.done");
    assert!(item.expect("the form is told").arrived > call.at);
}

#[tokio::test]
async fn a_form_is_shown_after_its_block_and_answered_by_the_next_turn() {
    let Some(world) = world("a_form_is_shown_after_its_block_and_answered_by_the_next_turn").await
    else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = asking(&world, &forms, &one_question());
    let call = asked(&world, &turn, TOOL).await;
    assert_eq!(forms.calls().len(), 1);
    block_came_first(&world, &forms);

    let turn = with_forms(world.claude_turn(TASK, TURN + 1, "Here."), &forms);
    let turn = answering(turn, &call, "answered", json!({"where": "here"}));
    // What came with the turn that asked is not fetched again.
    let turn = turn.with(
        "attachments",
        json!([{"id": 1, "original_filename": "a.txt"}]),
    );
    let said = answered(&world, &turn).await;
    assert_eq!(world.backend.files().asked().len(), 0);
    assert!(
        said.contains("The form said: ") && said.contains(r#""where": "here""#),
        "{said}"
    );
    assert_eq!(forms.calls().len(), 1, "the CLI has not called it");
    for callback in world.backend.all_callbacks() {
        assert!(!callback.body.to_string().contains(TOKEN), "{callback:?}");
    }
    assert!(!world.executor.log().contains(TOKEN));
}

/// The two versions take up in different ways what was put off before they were started.
#[tokio::test]
async fn a_form_is_answered_after_a_restart_by_either_version() {
    let test = "a_form_is_answered_after_a_restart_by_either_version";
    for version in ClaudeVersion::ALL {
        let Some(path) = testkit::cli::require_claude(version, test) else {
            continue;
        };
        let of_version = |settings: &mut Settings| {
            settings.set("CLAUDE_BINARY_PATH", path.display().to_string());
        };
        let world = World::with_claude(test, Options::default(), of_version).await;
        let Some(mut world) = world else {
            continue;
        };
        let forms = FormServer::start(TOKEN).await.unwrap();
        let turn = asking(&world, &forms, &one_question());
        let call = asked(&world, &turn, TOOL).await;
        world.executor.kill().await;
        world.executor.restart().await;

        let turn = with_forms(world.claude_turn(TASK, TURN + 1, "Here."), &forms);
        let turn = answering(turn, &call, "answered", json!({"where": "here"}));
        let said = answered(&world, &turn).await;
        assert!(said.contains(r#""where": "here""#), "{version}: {said}");
        assert_eq!(forms.calls().len(), 1, "{version}: it is not shown again");
    }
}

#[tokio::test]
async fn another_message_instead_of_the_answer_is_heard_also_after_a_restart() {
    let test = "another_message_instead_of_the_answer_is_heard_also_after_a_restart";
    let Some(mut world) = world(test).await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = asking(&world, &forms, &one_question());
    asked(&world, &turn, TOOL).await;
    world.executor.kill().await;
    world.executor.restart().await;
    let turn = world.claude_turn(TASK, TURN + 1, "Never mind. #script:remember");
    let said = answered(&world, &with_forms(turn, &forms)).await;
    assert!(said.contains("Never mind."), "{said}");
}

#[tokio::test]
async fn a_cancelled_form_is_told_to_the_model() {
    let Some(world) = world("a_cancelled_form_is_told_to_the_model").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = asking(&world, &forms, &one_question());
    let call = asked(&world, &turn, TOOL).await;
    let turn = with_forms(world.claude_turn(TASK, TURN + 1, "No."), &forms);
    let said = answered(&world, &answering(turn, &call, "cancelled", json!({}))).await;
    assert!(said.contains(r#""status": "cancelled""#), "{said}");
}

#[tokio::test]
async fn a_wrong_form_is_corrected_twice_and_then_given_up() {
    let Some(world) = world("a_wrong_form_is_corrected_twice_and_then_given_up").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = asking(&world, &forms, &json!([{"question": "no id"}]));
    let view = world.run(&turn).await;
    assert_eq!(
        error(&view).1,
        "模型给出的表单格式不对",
        "{}",
        world.executor.log()
    );
    assert_eq!(forms.calls().len(), 3);
    assert!(view.tools().all(|tool| tool.status == "error"), "{view:#?}");
}

#[tokio::test]
async fn a_form_whose_server_has_gone_fails_the_turn() {
    let Some(world) = world("a_form_whose_server_has_gone_fails_the_turn").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = world.claude_turn(TASK, TURN, "Hello. #script:text");
    assert!(world.run(&with_forms(turn, &forms)).await.completed());
    let form = json!({"questions": one_question()});
    let prompt = format!("Ask. #script:form\n#cmd:{form}");
    let turn = with_forms(world.claude_turn(TASK, TURN + 1, &prompt), &forms);
    forms.stop().await;
    let view = world.run(&turn).await;
    assert_eq!(
        error(&view).1,
        "交互式表单生成失败",
        "{}",
        world.executor.log()
    );
}

#[tokio::test]
async fn claudes_own_question_becomes_a_form_and_is_answered() {
    let Some(mut world) = world("claudes_own_question_becomes_a_form_and_is_answered").await else {
        return;
    };
    for restarted in [false, true] {
        let task = TASK + i64::from(restarted);
        let subtask = TURN + 10 * i64::from(restarted);
        let turn = world.claude_turn(task, subtask, "Ask. #script:ask");
        let call = asked(&world, &turn, "interactive_form_question").await;
        if restarted {
            world.executor.kill().await;
            world.executor.restart().await;
        }
        let turn = world.claude_turn(task, subtask + 1, "SQLite.");
        let answers = json!({"Which one?": "SQLite #script:remember"});
        let said = answered(&world, &answering(turn, &call, "answered", answers)).await;
        assert!(said.contains("SQLite"), "{said}");
    }
}

#[tokio::test]
async fn in_a_mode_that_asks_a_command_waits_for_the_persons_permission() {
    let test = "in_a_mode_that_asks_a_command_waits_for_the_persons_permission";
    let Some(world) = world(test).await else {
        return;
    };
    let careful = |turn: TurnBody| turn.with("claude_permission_mode", json!("acceptEdits"));
    // What only touches the working folder's files needs no permission.
    let command = "#script:shell\n#cmd:sh -c 'touch made-by-claude'";
    let turn = careful(world.claude_turn(TASK, TURN, command));
    let call = asked(&world, &turn, "interactive_form_question").await;
    let made = world.workspace(TASK).join("made-by-claude");
    assert!(!made.exists());

    let yes = |subtask, call: &str| {
        let turn = careful(world.claude_turn(TASK, subtask, "Yes."));
        let answers = json!({"permission": "allow"});
        let mut turn = answering(turn, call, "answered", answers);
        turn.0["metadata"]["interactive_form_answer"]["message"] = json!(command);
        turn
    };
    let view = world.run(&yes(TURN + 1, &call)).await;
    assert!(
        view.completed() && !waits(&view),
        "{view:#?}\n{}",
        world.executor.log()
    );
    assert!(made.exists(), "{view:#?}");
    // That was for once.
    let again = careful(world.claude_turn(TASK, TURN + 2, command));
    asked(&world, &again, "interactive_form_question").await;
}
