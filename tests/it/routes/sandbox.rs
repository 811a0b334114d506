//! The routes of a sandbox, in containers that are one and in others.

use serde_json::json;
use wegent_executor_tests::Settings;

use super::{get, post, refusal, without_agents};

/// A container of the warm pool: whose it is, is said later.
fn warm(settings: &mut Settings) {
    settings.env.remove("HEARTBEAT_ID");
    settings.env.remove("HEARTBEAT_TYPE");
    settings.set("WARM_POOL_MODE", "true");
}

#[tokio::test]
async fn a_tasks_container_is_no_sandbox() {
    let world = without_agents(|_| {}).await;
    let start = json!({"process": {"cmd": "true"}});
    for target in [
        "/process.Process/Start",
        "/filesystem.Filesystem/ListDir",
        "/init",
    ] {
        let refused = post(&world, target, &start).await;
        assert_eq!(refusal(&refused), (404, "Not Found".to_owned()), "{target}");
    }
    assert_eq!(get(&world, "/files?path=/etc/hostname").await.status, 404);
    let bind = json!({"heartbeat_id": "1385", "heartbeat_type": "sandbox"});
    assert_eq!(post(&world, "/v1/runtime/bind", &bind).await.status, 409);
}

#[tokio::test]
async fn a_warm_container_becomes_a_sandbox_when_it_is_bound() {
    let world = without_agents(warm).await;
    assert_eq!(get(&world, "/metrics").await.status, 404);
    let bind = json!({"heartbeat_id": "1385", "heartbeat_type": "sandbox"});
    let bound = post(&world, "/v1/runtime/bind", &bind).await;
    assert_eq!(bound.status, 200, "{}", bound.text());
    assert_eq!(
        bound.json(),
        json!({"success": true, "heartbeat_id": "1385", "heartbeat_type": "sandbox"})
    );
    assert_eq!(get(&world, "/metrics").await.status, 200);
    assert_eq!(
        post(&world, "/v1/runtime/bind", &bind).await.status,
        200,
        "the same again"
    );
    let other = json!({"heartbeat_id": "7", "heartbeat_type": "task"});
    assert_eq!(post(&world, "/v1/runtime/bind", &other).await.status, 409);
    for bad in [
        json!({"heartbeat_id": " ", "heartbeat_type": "task"}),
        json!({"heartbeat_id": "1", "heartbeat_type": "vm"}),
    ] {
        assert_eq!(
            post(&world, "/v1/runtime/bind", &bad).await.status,
            400,
            "{bad}"
        );
    }
    // What the manager makes before the first command.
    let folder = world.workspace(1385);
    let made = post(
        &world,
        "/filesystem.Filesystem/MakeDir",
        &json!({"path": folder}),
    )
    .await;
    assert_eq!(made.status, 200, "{}", made.text());
    let again = post(
        &world,
        "/filesystem.Filesystem/MakeDir",
        &json!({"path": folder}),
    )
    .await;
    assert_eq!(again.status, 409);
    let script = "echo $JAVA_HOME; env | grep -c AES_KEY";
    let start = json!({"process": {"cmd": "sh", "args": ["-c", script]}});
    let answer = post(&world, "/process.Process/Start", &start).await;
    let text = answer.text();
    // `/opt/image/java`, then `0`: the image's variables without its secrets.
    assert!(
        text.contains("L29wdC9pbWFnZS9qYXZhCg==") || text.contains("L29wdC9pbWFnZS9qYXZhCjAK"),
        "{text}"
    );
    assert!(text.contains(r#""exitCode":1"#), "no key was found: {text}");
}
