//! Questions that come in odd ways: several at once, from a sub-agent, cancelled, answered with a secret.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::FormServer;
use wegent_executor_tests::{API_KEY, TurnBody, World};

use super::{
    TASK, TURN,
    ends::cancel,
    forms::{TOKEN, TOOL, answered, answering, asked, asking, one_question, waits, with_forms},
    knows, world,
};

/// A turn in which the model calls all of these in one answer.
fn at_once(world: &World, calls: &Value) -> TurnBody {
    let prompt = format!("Ask. #script:calls\n#cmd:{calls}");
    world.claude_turn(TASK, TURN, &prompt)
}

fn choice(text: &str) -> Value {
    let options = json!([{"label": "One", "description": ""}, {"label": "Two", "description": ""}]);
    let question =
        json!({"question": text, "header": "H", "multiSelect": false, "options": options});
    json!({"questions": [question]})
}

#[tokio::test]
async fn of_two_questions_at_once_the_first_is_asked() {
    let Some(world) = world("of_two_questions_at_once_the_first_is_asked").await else {
        return;
    };
    let calls = json!([
        ["AskUserQuestion", choice("First?")],
        ["AskUserQuestion", choice("Second?")]
    ]);
    let call = asked(
        &world,
        &at_once(&world, &calls),
        "interactive_form_question",
    )
    .await;
    let turn = world.claude_turn(TASK, TURN + 1, "One.");
    let answers = json!({"First?": "One #script:remember"});
    let said = answered(&world, &answering(turn, &call, "answered", answers)).await;
    assert!(said.contains("First?"), "{said}");
}

#[tokio::test]
async fn a_form_beside_another_call_is_shown_and_answered() {
    let Some(world) = world("a_form_beside_another_call_is_shown_and_answered").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let form = json!({"questions": one_question()});
    let shell = json!({"command": "echo beside", "description": "d"});
    let turn = with_forms(
        at_once(&world, &json!([["Bash", shell], [TOOL, form]])),
        &forms,
    );
    let view = world.run(&turn).await;
    assert!(waits(&view), "{view:#?}\n{}", world.executor.log());
    assert!(view.tools().all(|tool| tool.is_over()), "{view:#?}");
}

#[tokio::test]
async fn of_two_forms_at_once_one_is_shown_and_answered() {
    let Some(world) = world("of_two_forms_at_once_one_is_shown_and_answered").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let form = json!({"questions": one_question()});
    let turn = with_forms(
        at_once(&world, &json!([[TOOL, form], [TOOL, form]])),
        &forms,
    );
    let view = world.run(&turn).await;
    assert!(waits(&view), "{view:#?}\n{}", world.executor.log());
    assert!(view.tools().all(|tool| tool.is_over()), "{view:#?}");
}

#[tokio::test]
async fn a_form_of_a_sub_agents_leaves_no_turn_hanging() {
    let Some(world) = world("a_form_of_a_sub_agents_leaves_no_turn_hanging").await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let form = json!({"questions": one_question()});
    let prompt = format!("Delegate. #script:subagent\n#cmd:Ask. #script:form\\n#cmd:{form}");
    let turn = with_forms(world.claude_turn(TASK, TURN, &prompt), &forms);
    let view = world.run(&turn).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
}

#[tokio::test]
async fn a_cancel_while_the_form_is_being_shown_ends_the_turn() {
    let test = "a_cancel_while_the_form_is_being_shown_ends_the_turn";
    let Some(world) = world(test).await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    forms.hang();
    world
        .dispatch(&asking(&world, &forms, &one_question()))
        .await;
    let called = async {
        while forms.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let called = tokio::time::timeout(Duration::from_secs(60), called).await;
    assert!(called.is_ok(), "{}", world.executor.log());
    cancel(&world, "a form is being shown").await;
    knows(&world, TURN + 1, "Ask.").await;
}

#[tokio::test]
async fn a_key_that_the_person_types_into_a_form_is_told_to_nobody() {
    let test = "a_key_that_the_person_types_into_a_form_is_told_to_nobody";
    let Some(world) = world(test).await else {
        return;
    };
    let forms = FormServer::start(TOKEN).await.unwrap();
    let call = asked(&world, &asking(&world, &forms, &one_question()), TOOL).await;
    let turn = with_forms(world.claude_turn(TASK, TURN + 1, "Here."), &forms);
    let answers = json!({"where": format!("it is {API_KEY} there")});
    let said = answered(&world, &answering(turn, &call, "answered", answers)).await;
    assert!(said.contains("The form said: "), "{said}");
    for callback in world.backend.all_callbacks() {
        assert!(!callback.body.to_string().contains(API_KEY), "{callback:?}");
    }
    assert!(!world.executor.log().contains(API_KEY));
    let kept = testkit::procs::find_secret(API_KEY, &[&world.journals()], &[]);
    assert!(kept.is_empty(), "{kept:?}");
}
