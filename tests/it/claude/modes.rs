//! What Claude Code may do without asking.

use serde_json::json;
use wegent_executor_tests::{TurnBody, World};

use super::{
    TASK, TURN,
    forms::{answered, answering, asked, waits},
    world,
};

const FORM: &str = "interactive_form_question";
/// What only touches the working folder's files would need no permission where edits are accepted.
const COMMAND: &str = "#script:shell\n#cmd:sh -c 'touch made-by-claude'";

fn in_mode(turn: TurnBody, mode: &str) -> TurnBody {
    turn.with("claude_permission_mode", json!(mode))
}

fn made(world: &World) -> bool {
    world.workspace(TASK).join("made-by-claude").exists()
}

#[tokio::test]
async fn a_plan_is_carried_out_once_the_person_approves_it() {
    let test = "a_plan_is_carried_out_once_the_person_approves_it";
    let Some(world) = world(test).await else {
        return;
    };
    let planning =
        |subtask, prompt: &str| in_mode(world.claude_turn(TASK, subtask, prompt), "plan");
    let call = asked(&world, &planning(TURN, "Plan. #script:exit_plan"), FORM).await;
    let shown = world.backend.callbacks(TURN);
    let shown = shown
        .iter()
        .any(|callback| callback.body.to_string().contains("2. Act"));
    assert!(shown, "the plan is not in the form");

    let answers = json!({"plan": "keep_planning", "remarks": "Look twice. #script:remember"});
    let no = answering(planning(TURN + 1, "No."), &call, "answered", answers);
    let said = answered(&world, &no).await;
    assert!(
        said.contains("does not approve") && said.contains("Look twice."),
        "{said}"
    );

    let call = asked(
        &world,
        &planning(TURN + 2, "Again. #script:exit_plan"),
        FORM,
    )
    .await;
    let answers = json!({"plan": "approve", "remarks": "#script:shell\n#cmd:touch made-by-claude"});
    let yes = answering(planning(TURN + 3, "Yes."), &call, "answered", answers);
    let view = world.run(&yes).await;
    assert!(
        view.completed() && !waits(&view),
        "{view:#?}\n{}",
        world.executor.log()
    );
    assert!(made(&world), "{view:#?}");
}

#[tokio::test]
async fn a_plan_that_is_being_made_changes_nothing() {
    let Some(world) = world("a_plan_that_is_being_made_changes_nothing").await else {
        return;
    };
    let turn = in_mode(world.claude_turn(TASK, TURN, COMMAND), "plan");
    // Some versions refuse the command themselves, others ask for a permission.
    let view = world.run(&turn).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert!(!made(&world), "{view:#?}");
}

#[tokio::test]
async fn in_auto_mode_a_turn_goes_on_by_itself() {
    let Some(world) = world("in_auto_mode_a_turn_goes_on_by_itself").await else {
        return;
    };
    let prompt = "#script:shell\n#cmd:echo out";
    let turn = in_mode(world.claude_turn(TASK, TURN, prompt), "auto");
    let view = world.run(&turn).await;
    assert!(
        view.completed() && !waits(&view),
        "{view:#?}\n{}",
        world.executor.log()
    );
    assert!(view.text.contains("The command said: out"), "{view:#?}");
}

#[tokio::test]
async fn a_tool_that_the_request_allows_needs_no_permission() {
    let Some(world) = world("a_tool_that_the_request_allows_needs_no_permission").await else {
        return;
    };
    let turn = in_mode(world.claude_turn(TASK, TURN, COMMAND), "acceptEdits");
    let view = world
        .run(&turn.with("allowed_tools", json!(["Bash"])))
        .await;
    assert!(
        view.completed() && !waits(&view),
        "{view:#?}\n{}",
        world.executor.log()
    );
    assert!(made(&world), "{view:#?}");
}
