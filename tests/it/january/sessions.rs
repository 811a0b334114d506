//! Which sessions there are, and their end.

use std::time::Duration;

use serde_json::Value;
use testkit::http::client;

use super::{AGENTS, completed, real_world};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn sessions_are_listed_ended_and_then_unknown() {
    let Some(world) = real_world("sessions_are_listed_ended_and_then_unknown").await else {
        return;
    };
    let url = world.executor.url();
    let call = async |method: &str, path: &str| {
        let url = format!("{url}{path}");
        let answer = client::request(method, &url, &[], b"", LIMIT)
            .await
            .unwrap();
        (answer.status, answer.json())
    };
    for (task, (agent, payload, key)) in (1..).zip(AGENTS) {
        let first = payload(&world, task, task * 10, "The word is heron. #script:text");
        let first = completed(&world, &first).await;
        let (status, listed) = call("GET", "/api/tasks/sessions").await;
        assert_eq!(
            (status, &listed["total"]),
            (200, &Value::from(1)),
            "{listed}"
        );
        let session = &listed["sessions"][0];
        assert_eq!(session["task_id"], task, "{session}");
        assert_eq!(session["agent_type"], agent, "{session}");
        assert!(session["pre_executed"] == true && session["created_at"].is_f64());
        assert_eq!(world.guards().len(), 1, "{agent}");
        let path = format!("/api/tasks/session?task_id={task}");
        assert_eq!(call("DELETE", &path).await.0, 200, "{agent}");
        assert_eq!(
            world.guards().len(),
            0,
            "{agent}: its process is still there"
        );
        assert_eq!(call("DELETE", &path).await.0, 404, "{agent}");
        // The conversation is the task's, not the process's.
        let next = payload(&world, task, task * 10 + 1, "And now? #script:remember");
        let next = completed(&world, &next.with(key, first.result[key].clone())).await;
        assert!(next.value().contains("heron"), "{agent}: {}", next.value());
        assert_eq!(call("DELETE", "/api/tasks/sessions/close").await.0, 200);
        assert_eq!(world.guards().len(), 0, "{agent}");
    }
    world
        .execute(&world.flat(5, 50, "Never ends. #script:hang"))
        .await;
    assert_eq!(call("DELETE", "/api/tasks/session?task_id=5").await.0, 409);
    let (status, closed) = call("DELETE", "/api/tasks/sessions/close").await;
    assert_eq!(
        (status, &closed["partial_success"]),
        (200, &Value::from(true)),
        "{closed}"
    );
    let (status, _) = call("DELETE", "/api/tasks/claude/sessions").await;
    assert_eq!(status, 200);
}
