use std::time::{Duration, Instant, SystemTime};

use executor::{
    config::{HeartbeatBinding, HeartbeatConfig, ProxyConfig},
    heartbeat::{self, Binding, Bound, HeartbeatId, HeartbeatKind},
};
use http_client::HttpClients;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::sink::{HANG, Seen, Sink};

fn bound(id: &str, kind: HeartbeatKind) -> Bound {
    let id = HeartbeatId::new(id).unwrap();
    Bound { id, kind }
}

fn config(sink: &Sink, binding: HeartbeatBinding) -> HeartbeatConfig {
    HeartbeatConfig {
        enabled: true,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(50),
        base_url: Some(sink.url.clone()),
        binding,
    }
}

fn start(config: HeartbeatConfig) -> (Binding, JoinSet<()>) {
    let binding = Binding::new(&config);
    let clients = HttpClients::new(ProxyConfig::default()).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(heartbeat::run(config, binding.clone(), clients));
    (binding, tasks)
}

async fn next(sink: &mut Sink) -> Seen {
    let seen = tokio::time::timeout(Duration::from_secs(10), sink.seen.recv()).await;
    seen.expect("a heartbeat").unwrap()
}

#[tokio::test]
async fn the_first_heartbeat_leaves_at_once_in_the_managers_form() {
    let mut sink = Sink::start().await;
    let binding = HeartbeatBinding::Fixed(bound("1", HeartbeatKind::Task));
    let interval = Duration::from_secs(3600);
    let _running = start(HeartbeatConfig {
        interval,
        ..config(&sink, binding)
    });
    let seen = next(&mut sink).await;
    assert_eq!(
        (seen.method.as_str(), seen.uri.path()),
        ("POST", "/tasks/1/heartbeat")
    );
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let fields = body.as_object().unwrap();
    assert_eq!(fields.len(), 3);
    assert_eq!(
        (&body["heartbeat_id"], &body["heartbeat_type"]),
        (&"1".into(), &"task".into())
    );
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(body["timestamp"].is_f64());
    assert!((body["timestamp"].as_f64().unwrap() - now.as_secs_f64()).abs() < 60.0);
}

#[tokio::test]
async fn heartbeats_keep_their_interval() {
    let mut sink = Sink::start().await;
    let binding = HeartbeatBinding::Fixed(bound("1", HeartbeatKind::Task));
    let begun = Instant::now();
    let _running = start(config(&sink, binding));
    for _ in 0..6 {
        next(&mut sink).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn failures_and_silence_of_the_manager_do_not_end_them() {
    let mut sink = Sink::start().await;
    let binding = HeartbeatBinding::Fixed(bound("a/b", HeartbeatKind::Sandbox));
    let (_, mut running) = start(config(&sink, binding));
    for status in [200, 500, 404, HANG, 302, 200] {
        sink.answer_with(status);
        for _ in 0..2 {
            let seen = next(&mut sink).await;
            assert_eq!(seen.uri.path(), "/sandboxes/a%2Fb/heartbeat");
        }
    }
    assert!(running.try_join_next().is_none());
}

#[tokio::test]
async fn in_a_warm_pool_they_begin_with_the_first_task() {
    let mut sink = Sink::start().await;
    let (binding, _running) = start(config(&sink, HeartbeatBinding::FirstTask));
    // Bound only now, while nothing was sent.
    assert!(sink.seen.try_recv().is_err());
    binding.serve(bound("7", HeartbeatKind::Task)).unwrap();
    assert_eq!(next(&mut sink).await.uri.path(), "/tasks/7/heartbeat");
}

#[tokio::test]
async fn there_is_nothing_to_wait_for_where_none_can_be_sent() {
    let sink = Sink::start().await;
    let fixed = HeartbeatBinding::Fixed(bound("1", HeartbeatKind::Task));
    let config = config(&sink, fixed);
    let off = HeartbeatConfig {
        enabled: false,
        ..config.clone()
    };
    let nowhere = HeartbeatConfig {
        base_url: None,
        ..config
    };
    for config in [off, nowhere] {
        let (_, mut running) = start(config);
        running.join_next().await.unwrap().unwrap();
    }
}
