//! From a task's arrival to its end, and on to its next turn.

use serde_json::json;

use super::{AGENTS, TASK, TURN, completed, world};

#[tokio::test]
async fn a_turn_is_answered_at_once_and_stored_alike_by_both_backends() {
    let test = "a_turn_is_answered_at_once_and_stored_alike_by_both_backends";
    let Some(world) = world(test).await else {
        return;
    };
    for (task, (agent, payload, session)) in (1..).zip(AGENTS) {
        let turn = payload(&world, task, task * 10, "Hello. #script:text");
        world.model.forget();
        let answer = world.execute(&turn).await;
        assert_eq!(
            answer,
            json!({"task_id": task, "subtask_id": task * 10, "status": "RUNNING",
                "message": "Task execution status  : RUNNING", "progress": 50})
        );
        let stored = world.stored(task * 10).await;
        assert_eq!(stored.status, "COMPLETED", "{stored:#?}");
        assert_eq!(stored.value(), world.model.spoken().text());
        assert_eq!(stored.shown, stored.value());
        assert_eq!(stored.result["shell_type"], agent);
        assert!(
            stored.result[session]
                .as_str()
                .is_some_and(|id| id.len() > 30)
        );
    }
}

#[tokio::test]
async fn the_next_turn_goes_on_with_the_conversation_that_the_platform_names() {
    let test = "the_next_turn_goes_on_with_the_conversation_that_the_platform_names";
    let Some(world) = world(test).await else {
        return;
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let first = payload(&world, task, task * 10, "The word is heron. #script:text");
        let first = completed(&world, &first).await;
        let id = first.result[key].clone();
        let next = payload(&world, task, task * 10 + 1, "And now? #script:remember");
        let next = completed(&world, &next.with(key, id.clone())).await;
        assert!(next.value().contains("heron"), "{agent}: {}", next.value());
        assert_eq!(next.result[key], id, "{agent}");
        // A retry in a new session forgets it, whatever id comes along.
        let fresh = payload(&world, task, task * 10 + 2, "And now? #script:remember");
        let fresh = fresh
            .with(key, id.clone())
            .with("retry_mode", json!("new_session"));
        let fresh = completed(&world, &fresh).await;
        assert!(
            !fresh.value().contains("heron"),
            "{agent}: {}",
            fresh.value()
        );
        assert_ne!(fresh.result[key], id, "{agent}");
    }
    let _ = (TASK, TURN);
}
