//! What is shown of a turn.

use serde_json::json;

use super::{AGENTS, completed, real_world};

#[tokio::test]
async fn tool_calls_pair_up_and_are_counted() {
    let Some(world) = real_world("tool_calls_pair_up_and_are_counted").await else {
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

#[tokio::test]
async fn plans_reasoning_and_facts_are_shown() {
    let Some(world) = real_world("plans_reasoning_and_facts_are_shown").await else {
        return;
    };
    for (task, (agent, payload, _)) in (1..).zip(AGENTS) {
        let plan = payload(&world, task, task * 10, "Go. #script:plan");
        let stored = completed(&world, &plan).await;
        let lists = stored.blocks("tool_use");
        let list = lists.iter().find(|block| block["name"] == "TodoWrite");
        let steps = list.and_then(|list| list["input"]["todos"].as_array());
        // Claude Code has no tool for plans without a person at a terminal.
        assert_eq!(
            steps.is_some_and(|steps| !steps.is_empty()),
            agent == "Codex",
            "{stored:#?}"
        );
        let system = stored.details("system");
        assert_eq!(system.len(), 1, "{agent}");
        let cwd = system[0]["cwd"].as_str().unwrap();
        assert!(
            cwd.ends_with(&format!("/workspace/{task}")),
            "{agent}: {cwd}"
        );
        assert!(system[0]["model"].is_string(), "{agent}: {system:?}");
        let result = stored.details("result");
        assert!(
            result[0]["usage"]["input_tokens"].as_u64() > Some(0),
            "{agent}: {result:?}"
        );
        world.model.forget();
        let thinks = payload(&world, task, task * 10 + 1, "Go. #script:reasoning");
        let stored = completed(&world, &thinks.with("retry_mode", json!("new_session"))).await;
        let thought = stored.details("reasoning");
        let thought: Vec<&str> = thought
            .iter()
            .filter_map(|step| step["content"].as_str())
            .collect();
        let spoken = world.model.spoken();
        let spoken: Vec<&str> = spoken.reasoning().collect();
        assert_eq!(thought.join("\n\n"), spoken.join("\n\n"), "{agent}");
    }
}

#[tokio::test]
async fn codex_events_reach_the_store_in_order_with_the_end() {
    let Some(world) = real_world("codex_events_reach_the_store_in_order_with_the_end").await else {
        return;
    };
    let turn = world.flat(1, 10, "Go. #script:commentary_tool_final");
    let stored = completed(&world, &turn).await;
    let types = stored.event_types();
    assert_eq!(&types[..2], ["thread.started", "turn.started"], "{types:?}");
    assert_eq!(types.last(), Some(&"turn.completed"), "{types:?}");
    assert!(
        types.contains(&"item.started") && types.contains(&"item.completed"),
        "{types:?}"
    );
    let mut failing = world.flat(2, 20, "Go. #script:err401");
    failing = failing.with("retry_mode", json!("new_session"));
    let stored = world.run_flat(&failing).await;
    assert_eq!(stored.event_types().last(), Some(&"turn.failed"));
}
