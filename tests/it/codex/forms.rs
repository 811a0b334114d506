//! Forms of the platform's own tool, which Codex calls by itself.

use serde_json::{Value, json};
use testkit::{FormServer, oracle::ToolBlock};
use wegent_executor_tests::{TurnBody, World};

use super::{TASK, TURN, answering, asked, completed};

const TOKEN: &str = "form-token-5d1c9e07";
const TOOL: &str = "mcp__forms__interactive_form_question";

/// The server comes as Wegent sends it: as a tool with its authorization.
fn with_forms(mut turn: TurnBody, forms: &FormServer) -> TurnBody {
    turn.0["tools"] = json!([{
        "type": "mcp", "server_label": "forms", "server_url": forms.url(), "server_type": "streamable-http",
        "server_auth": {"Authorization": format!("Bearer {TOKEN}")},
    }]);
    turn
}

/// A turn in which the model asks for a form with these questions.
fn asking(world: &World, forms: &FormServer, questions: &Value) -> TurnBody {
    let form = json!({"questions": questions});
    let prompt = format!("Ask. #script:form\n#cmd:{form}");
    with_forms(world.turn(TASK, TURN, &prompt), forms)
}

fn one_question() -> Value {
    json!([{"id": "where", "question": "Where to?", "options": [{"label": "Here", "value": "here"}]}])
}

/// The call's block was there when the server was called, so that it could attach the form.
fn block_came_first(world: &World, forms: &FormServer) {
    let calls = forms.calls();
    let [call] = calls.as_slice() else {
        panic!("one call was expected: {calls:#?}")
    };
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
async fn a_form_is_shown_after_its_block_and_its_answer_is_read() {
    let test = "a_form_is_shown_after_its_block_and_its_answer_is_read";
    for restarted in [false, true] {
        let Some(mut world) = World::build(test).await else {
            return;
        };
        let forms = FormServer::start(TOKEN).await.unwrap();
        let form = asked(&world, &asking(&world, &forms, &one_question())).await;
        assert_eq!(form.name, TOOL);
        assert_eq!(form.input["questions"], one_question());
        block_came_first(&world, &forms);
        if restarted {
            world.executor.kill().await;
            world.executor.restart().await;
        }

        let turn = with_forms(world.turn(TASK, TURN + 1, "(the form's answer)"), &forms);
        let answers = json!({"where": "here #script:remember"});
        let view = completed(&world, &answering(turn, &form, answers)).await;
        assert!(view.text.contains("here"), "{view:#?}");
        let request = world.model.requests().pop().unwrap();
        let told = request.user_texts();
        assert!(
            told.first().is_some_and(|text| text.starts_with("Ask."))
                && told
                    .last()
                    .is_some_and(|text| text.contains(r#""where": "here"#)),
            "{told:?}"
        );
        assert!(
            request.body["input"].to_string().contains("Where to?"),
            "the call stays in the conversation: {:#}",
            request.body["input"]
        );
        assert_eq!(forms.calls().len(), 1, "it is not shown again");
        for callback in world.backend.all_callbacks() {
            assert!(!callback.body.to_string().contains(TOKEN), "{callback:?}");
        }
        assert!(!world.executor.log().contains(TOKEN));
    }
}

#[tokio::test]
async fn nothing_that_the_model_says_after_the_form_is_shown() {
    let test = "nothing_that_the_model_says_after_the_form_is_shown";
    let Some(world) = World::build(test).await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = asking(&world, &forms, &one_question());
    asked(&world, &turn).await;
    let view = world.finished(TURN).await;
    assert_eq!(view.shown_text(), "", "{view:#?}");
    // Another message instead of the answer is a turn like any other.
    let turn = world.turn(TASK, TURN + 1, "Never mind. #script:remember");
    let view = completed(&world, &with_forms(turn, &forms)).await;
    assert!(view.text.contains("Never mind."), "{view:#?}");
}

#[tokio::test]
async fn a_form_that_the_server_refuses_is_the_models_to_correct() {
    let Some(world) = World::build("a_form_that_the_server_refuses_is_the_models_to_correct").await
    else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let turn = asking(&world, &forms, &json!([{"question": "no id"}]));
    let view = completed(&world, &turn).await;
    assert!(view.text.contains("a question lacks its id"), "{view:#?}");
    assert!(view.tools().all(|tool| tool.status == "error"), "{view:#?}");
}

#[tokio::test]
async fn a_form_of_a_sub_agent_is_shown_and_its_answer_is_read() {
    let test = "a_form_of_a_sub_agent_is_shown_and_its_answer_is_read";
    let Some(world) = World::build(test).await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let form = json!({"questions": one_question()});
    let prompt = format!("Delegate. #script:subagent\n#cmd:Ask. #script:form\\n#cmd:{form}");
    let turn = with_forms(world.turn(TASK, TURN, &prompt), &forms);
    let form = asked(&world, &turn).await;
    assert_eq!(form.input["questions"], one_question());
    let turn = with_forms(world.turn(TASK, TURN + 1, "(the form's answer)"), &forms);
    let answers = json!({"where": "here #script:remember"});
    let view = completed(&world, &answering(turn, &form, answers)).await;
    assert!(view.text.contains("here"), "{view:#?}");
    assert_eq!(forms.calls().len(), 1, "it is not shown again");
}

#[tokio::test]
async fn of_two_forms_at_once_one_is_shown_and_answered() {
    let Some(world) = World::build("of_two_forms_at_once_one_is_shown_and_answered").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let form = json!({"questions": one_question()});
    let calls = json!([
        ["interactive_form_question", form],
        ["interactive_form_question", form]
    ]);
    let prompt = format!("Ask. #script:calls\n#cmd:{calls}");
    let turn = with_forms(world.turn(TASK, TURN, &prompt), &forms);
    let view = world.run(&turn).await;
    assert!(super::waits(&view), "{view:#?}\n{}", world.executor.log());
    assert!(view.tools().all(ToolBlock::is_over), "{view:#?}");
    let form = view
        .tools()
        .find(|tool| tool.status == "done")
        .unwrap()
        .clone();
    let turn = with_forms(world.turn(TASK, TURN + 1, "(the form's answer)"), &forms);
    let answers = json!({"where": "here #script:remember"});
    let view = completed(&world, &answering(turn, &form, answers)).await;
    assert!(view.text.contains("here"), "{view:#?}");
}
