//! One turn from its dispatch to its end: what the model says and does is what the person sees.

mod answers;
mod faults;
mod place;
mod tools;

use testkit::{View, model::Spoken, oracle::Terminal};
use wegent_executor_tests::{TurnBody, World};

/// Runs a turn that completes, and checks what holds for every such turn: the text, the confirmed answer and the reasoning
/// are what the model said, there are as many tool blocks as calls, all over, and the figures are there.
async fn completed(world: &World, turn: &TurnBody) -> View {
    world.model.forget();
    let view = world.run(turn).await;
    is_what_was_said(&view, &world.model.spoken());
    view
}

/// The checks of [`completed`].
fn is_what_was_said(view: &View, spoken: &Spoken) {
    assert!(view.completed(), "{view:#?}");
    assert_eq!(view.attempts, 1, "{view:#?}");
    assert_eq!(view.text, spoken.text());
    assert_eq!(
        view.final_text.as_deref().unwrap_or_default(),
        spoken.final_text().unwrap_or_default()
    );
    assert_eq!(
        view.reasoning,
        spoken.reasoning().collect::<Vec<_>>().join("\n\n")
    );
    assert_eq!(view.tools().count(), spoken.tools().count(), "{view:#?}");
    assert!(
        view.tools()
            .all(|tool| tool.is_over() && !tool.name.is_empty()),
        "{view:#?}"
    );
    let figures = usage(view);
    assert!(
        figures.input > 0 && figures.total == figures.input + figures.output,
        "{figures:?}"
    );
}

/// The token figures of a completed turn.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    input: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
    total: u64,
}

fn usage(view: &View) -> Figures {
    let Some(Terminal::Completed { usage, .. }) = &view.terminal else {
        panic!("not completed: {view:#?}")
    };
    let figure = |path: &str| {
        usage
            .pointer(path)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("{path} in {usage}"))
    };
    Figures {
        input: figure("/input_tokens"),
        cached: figure("/input_tokens_details/cached_tokens"),
        output: figure("/output_tokens"),
        reasoning: figure("/output_tokens_details/reasoning_tokens"),
        total: figure("/total_tokens"),
    }
}
