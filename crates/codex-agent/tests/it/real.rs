//! The real CLI, with a scripted model.

use agent_core::{AgentEvent, Outcome, ToolEvent};
use testkit::{ModelServer, model::Options};

use crate::stage::{Stage, text, turn};

#[tokio::test]
async fn the_real_cli_says_what_the_model_said_and_remembers_it() {
    let Some(codex) =
        testkit::cli::require_codex("the_real_cli_says_what_the_model_said_and_remembers_it")
    else {
        return;
    };
    let model = ModelServer::start(Options::default()).await.unwrap();
    let stage = Stage::new(&codex, |_| {});
    let ask = |prompt: &str| turn(prompt, Some(model.base_url()));
    let (events, result) = stage.run(&ask("first #script:commentary_tool_final")).await;
    let Ok(Outcome::Completed(done)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(text(&events), model.spoken().text());
    assert_eq!(Some(done.text.as_str()), model.spoken().final_text());
    let calls = events
        .iter()
        .filter(|event| matches!(event, AgentEvent::Tool(ToolEvent::Started { .. })))
        .count();
    assert_eq!(calls, model.spoken().tools().count());
    assert!(done.usage.is_some());

    let (events, _) = stage.run(&ask("second #script:remember")).await;
    assert!(
        text(&events).contains("first #script:commentary_tool_final"),
        "{}",
        text(&events)
    );
    for request in model
        .requests()
        .iter()
        .filter(|request| request.path.ends_with("/responses"))
    {
        assert_eq!(request.bearer(), Some("sk-agent-test-key"));
    }
}
