//! What an MCP server itself wants to know of the person.

use serde_json::{Value, json};
use testkit::oracle::ToolBlock;
use wegent_executor_tests::{TurnBody, World};

use super::{TASK, TURN, answering, asked, completed};
use crate::MCP_SERVER;

/// With a server that asks when it is called. Nothing says that the agent is to ask for permissions.
fn with_server(turn: TurnBody) -> TurnBody {
    let servers =
        json!([{"name": "demo", "type": "stdio", "command": "python3", "args": [MCP_SERVER]}]);
    turn.with_bot("mcp_servers", servers)
}

/// A turn in which the model calls the server, which asks; and the form that the person sees.
async fn asking(world: &World) -> ToolBlock {
    let turn = world.turn(TASK, TURN, r##"Call. #script:mcp #cmd:{"text":"ask"}"##);
    let form = asked(world, &with_server(turn)).await;
    let questions = form.input["questions"].as_array().unwrap();
    let shown = |name: &str| {
        let question = questions.iter().find(|question| question["id"] == name);
        question.unwrap_or_else(|| panic!("{questions:#?}"))
    };
    let first = questions[0]["question"].as_str().unwrap();
    assert!(
        first.starts_with("The MCP server `demo` asks: Who are you?"),
        "{first}"
    );
    assert_eq!(shown("name")["required"], true, "{questions:#?}");
    assert_eq!(
        shown("news")["options"].as_array().map(Vec::len),
        Some(2),
        "{questions:#?}"
    );
    form
}

#[tokio::test]
async fn a_servers_question_is_a_form_and_what_is_filled_in_reaches_the_server() {
    let test = "a_servers_question_is_a_form_and_what_is_filled_in_reaches_the_server";
    let Some(world) = World::build(test).await else {
        return;
    };
    let form = asking(&world).await;
    let turn = with_server(world.turn(TASK, TURN + 1, "Ada."));
    let answers = json!({"name": "Ada", "age": "36", "news": "true"});
    let view = completed(&world, &answering(turn, &form, answers)).await;
    let said = view.text.replace('\\', "");
    for part in [
        r#""action": "accept""#,
        r#""name": "Ada""#,
        r#""age": 36"#,
        r#""news": true"#,
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The call that asked is the one that ends: nothing was called twice.
    assert_eq!(view.tool_counts().values().sum::<usize>(), 1, "{view:#?}");
}

#[tokio::test]
async fn a_servers_question_that_is_closed_is_declined() {
    let Some(world) = World::build("a_servers_question_that_is_closed_is_declined").await else {
        return;
    };
    let form = asking(&world).await;
    let mut turn = answering(
        with_server(world.turn(TASK, TURN + 1, "No.")),
        &form,
        json!({}),
    );
    let answer = &mut turn.0["metadata"]["interactive_form_answer"];
    answer["status"] = json!("cancelled");
    answer["success"] = Value::Bool(false);
    let said = completed(&world, &turn).await.text.replace('\\', "");
    assert!(said.contains(r#""action": "decline""#), "{said}");
}

#[tokio::test]
async fn an_answer_to_a_servers_question_after_a_restart_reaches_the_model_as_text() {
    let test = "an_answer_to_a_servers_question_after_a_restart_reaches_the_model_as_text";
    let Some(mut world) = World::build(test).await else {
        return;
    };
    let form = asking(&world).await;
    world.executor.restart().await;
    let turn = with_server(world.turn(TASK, TURN + 1, "Ada."));
    completed(&world, &answering(turn, &form, json!({"name": "Ada"}))).await;
    let said = world.model.requests().last().unwrap().user_texts();
    assert!(
        said.first().is_some_and(|text| text.starts_with("Call.")),
        "{said:?}"
    );
    assert!(
        said.last().is_some_and(|text| text.contains("Ada")),
        "{said:?}"
    );
}
