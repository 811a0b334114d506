//! What the SDK sets and asks before anything runs.

use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn init_sets_variables_once_and_in_the_order_of_their_time() {
    let stage = Stage::new().await;
    let answer = stage.post("/init", &json!({
        "envVars": {"A": "1"}, "accessToken": "token-1", "timestamp": "2026-01-02T03:04:05.678Z",
        "hyperloopIP": "10.0.0.1", "defaultUser": "user", "defaultWorkdir": "/tmp",
    })).await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (204, Some("no-store"))
    );
    // Overtaken: it changes nothing.
    let late = json!({"envVars": {"A": "0"}, "timestamp": "2026-01-02T04:04:05+01:00"});
    assert_eq!(stage.post("/init", &late).await.status, 204);
    assert_eq!(stage.get("/envs").await.json(), json!({"A": "1"}));
    let later = json!({"envVars": {"B": "2"}, "accessToken": "token-1", "timestamp": "2026-01-03T00:00:00Z"});
    assert_eq!(stage.post("/init", &later).await.status, 204);
    assert_eq!(stage.get("/envs").await.json(), json!({"A": "1", "B": "2"}));
    let other = stage
        .post("/init", &json!({"accessToken": "token-2"}))
        .await;
    assert_eq!(other.status, 409);
    assert!(!other.text().contains("token-"), "{}", other.text());
    assert_eq!(
        stage
            .post("/init", &json!({"timestamp": "yesterday"}))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn metrics_have_the_sdks_names_and_sensible_figures() {
    let stage = Stage::new().await;
    let metrics = stage.get("/metrics").await.json();
    let number = |name: &str| {
        metrics[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {metrics}"))
    };
    assert!(number("ts") > 1_700_000_000.0 && number("cpu_count") >= 1.0);
    assert!((0.0..=100.0).contains(&number("cpu_used_pct")));
    assert!(number("mem_used") <= number("mem_total") && number("mem_total") > 0.0);
    assert!(number("disk_used") <= number("disk_total") && number("disk_total") > 0.0);
}
