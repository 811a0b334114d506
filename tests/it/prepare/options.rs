//! What a request says of how its agent works.

use serde_json::json;

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

/// What Claude Code makes of them is in `claude::talk`.
#[tokio::test]
async fn limits_that_codex_does_not_know_are_noted_and_no_failure() {
    let test = "limits_that_codex_does_not_know_are_noted_and_no_failure";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let turn = world
        .turn(1, 11, "Hello. #script:text")
        .with("disallowed_tools", json!(["Bash"]))
        .with("max_turns", json!(7));
    completed(&world, "codex", &turn).await;
    let log = world.executor.log();
    let noted: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("can't heed these options"))
        .collect();
    assert_eq!(noted.len(), 1, "{noted:?}");
    // How often the model answers is counted for it.
    assert!(
        noted[0].contains("disallowed_tools") && !noted[0].contains("max_turns"),
        "{noted:?}"
    );
}
