//! What a request says of how its agent works.

use serde_json::json;
use wegent_executor_tests::World;

use super::{AGENTS, completed, output, real_world};

#[tokio::test]
async fn variables_of_the_model_reach_tools_but_for_secrets() {
    let test = "variables_of_the_model_reach_tools_but_for_secrets";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let look = "Run. #script:shell\n#cmd:echo \"$TEAM_REGION ${OTHER_SERVICE_TOKEN-unset}\"";
        let mut turn = request(&world, task, task + 10, look);
        turn.0["model_config"]["TEAM_REGION"] = json!("north-7");
        turn.0["model_config"]["OTHER_SERVICE_TOKEN"] = json!("other-secret-5561");
        let view = completed(&world, agent, &turn).await;
        assert_eq!(output(&view), "north-7 unset", "{agent}");
    }
}

#[tokio::test]
async fn limits_are_heeded_where_an_agent_knows_them_and_noted_where_not() {
    let test = "limits_are_heeded_where_an_agent_knows_them_and_noted_where_not";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let tools = |request: super::Request, task, subtask, without: &[&str]| {
        request(&world, task, subtask, "List. #script:tools_list")
            .with("disallowed_tools", json!(without))
            .with("max_turns", json!(7))
    };
    let view = completed(
        &world,
        "claude code",
        &tools(World::claude_turn, 1, 11, &["WebFetch"]),
    )
    .await;
    assert!(view.text.contains("Bash"), "{}", view.text);
    assert!(!view.text.contains("WebFetch"), "{}", view.text);
    // One that never ends by itself.
    let endless = world
        .claude_turn(2, 12, "Go. #script:loop")
        .with("max_turns", json!(2));
    let asked = world.model.requests().len();
    let view = world.run(&endless).await;
    assert!(view.terminal.is_some(), "{view:#?}");
    let asked = world.model.requests().len() - asked;
    assert!(asked <= 3, "the model was asked {asked} times");

    completed(&world, "codex", &tools(World::turn, 3, 13, &["Bash"])).await;
    let log = world.executor.log();
    let noted: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("can't heed these options"))
        .collect();
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert!(
        noted[0].contains("max_turns") && noted[0].contains("disallowed_tools"),
        "{noted:?}"
    );
}
