//! The preparation of a turn, with both agents: what Wegent promises reaches the agent and its tools.

mod hooks;
mod mcp;
mod options;
mod place;
mod repository;
mod stops;

use testkit::{View, model::Options};
use wegent_executor_tests::{Settings, TurnBody, World};

/// How a turn is asked for from one of the agents.
type Request = fn(&World, i64, i64, &str) -> TurnBody;

/// Both agents; a task belongs to one of them.
const AGENTS: [(&str, Request); 2] = [("codex", World::turn), ("claude code", World::claude_turn)];

/// A world with both CLIs.
async fn real_world(test: &str, change: impl FnOnce(&mut Settings)) -> Option<World> {
    testkit::cli::require_codex(test)?;
    World::with_claude(test, Options::default(), change).await
}

/// What the turn's first tool gave.
fn output(view: &View) -> &str {
    let tool = view.tools().next().unwrap_or_else(|| panic!("{view:#?}"));
    let output = tool.output.as_ref().and_then(|output| output.as_str());
    output.unwrap_or_else(|| panic!("{tool:#?}")).trim_end()
}

/// Runs a turn that is to be completed.
async fn completed(world: &World, agent: &str, turn: &TurnBody) -> View {
    let view = world.run(turn).await;
    assert!(
        view.completed(),
        "{agent}: {view:#?}\n{}",
        world.executor.log()
    );
    view
}
