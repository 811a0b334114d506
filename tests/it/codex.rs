//! Codex: what it asks, and what it has others do.

mod elicitation;
mod forms;
mod questions;
mod subagents;

use serde_json::{Value, json};
use testkit::{View, oracle::Terminal, oracle::ToolBlock};
use wegent_executor_tests::{TurnBody, World};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// Runs a turn that asks the person something, and gives the block that asks.
async fn asked(world: &World, turn: &TurnBody) -> ToolBlock {
    let view = world.run(turn).await;
    assert!(waits(&view), "{view:#?}\n{}", world.executor.log());
    let form = |tool: &&ToolBlock| tool.name.contains("interactive_form_question");
    let forms: Vec<_> = view.tools().filter(form).collect();
    let [form] = forms[..] else {
        panic!("one form was expected: {view:#?}")
    };
    assert_eq!(form.status, "done", "{view:#?}");
    form.clone()
}

/// The turn that answers it, in which the person gives `answers`.
fn answering(turn: TurnBody, form: &ToolBlock, answers: Value) -> TurnBody {
    turn.with(
        "interactive_form_answer",
        json!({
            "type": "interactive_form_question", "tool_use_id": form.id, "success": true, "status": "answered",
            "answers": answers,
        }),
    )
}

/// Runs a turn that completes, and doesn't ask.
async fn completed(world: &World, turn: &TurnBody) -> View {
    let view = world.run(turn).await;
    assert!(
        view.completed() && !waits(&view),
        "{view:#?}\n{}",
        world.executor.log()
    );
    view
}

fn waits(view: &View) -> bool {
    match &view.terminal {
        Some(Terminal::Completed { response, .. }) => response["stop_reason"] == "tool_deferred",
        _ => false,
    }
}
