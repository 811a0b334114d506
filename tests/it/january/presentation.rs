//! What is shown of a turn.

use super::{AGENTS, completed, world};

#[tokio::test]
async fn tool_calls_pair_up_and_are_counted() {
    let Some(world) = world("tool_calls_pair_up_and_are_counted").await else {
        return;
    };
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        world.model.forget();
        let prompt = "Go. #script:commentary_tool_final";
        let stored = completed(&world, &payload(&world, task, task * 10, prompt)).await;
        let (uses, results) = (stored.blocks("tool_use"), stored.blocks("tool_result"));
        assert_eq!(uses.len(), world.model.spoken().tools().count(), "{agent}");
        assert_eq!(uses.len(), results.len(), "{agent}: {stored:#?}");
        for (called, result) in uses.iter().zip(&results) {
            assert_eq!(called["id"], result["tool_use_id"], "{agent}");
        }
    }
}
