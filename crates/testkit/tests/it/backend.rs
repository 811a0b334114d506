//! The fake manager over HTTP.

use std::time::Duration;

use axum::{Router, extract::State, routing::post};
use serde_json::{Value, json};
use testkit::{
    Answered, Backend,
    backend::{Fault, On, Rule},
    http::client,
    oracle,
};

const PATIENCE: Duration = Duration::from_secs(5);

fn event(kind: &str, data: Value) -> Value {
    let mut data = data;
    data["type"] = json!(kind);
    json!({"event_type": kind, "task_id": 1, "subtask_id": 2, "message_id": 3, "data": data})
}

fn created() -> Value {
    event("response.created", json!({"response": {}}))
}

fn delta(offset: u64, text: &str) -> Value {
    event(
        "response.output_text.delta",
        json!({"delta": text, "offset": offset}),
    )
}

fn failed() -> Value {
    event("error", json!({"code": "c", "message": "m"}))
}

async fn send(backend: &Backend, body: &Value) -> std::io::Result<client::Answer> {
    client::post(&backend.callback_url(), body, PATIENCE).await
}

#[tokio::test]
async fn callbacks_arrive_in_order_and_make_a_clean_view() {
    let backend = Backend::start().await.unwrap();
    for body in [created(), delta(0, "a"), delta(1, "b"), failed()] {
        assert_eq!(
            send(&backend, &body).await.unwrap().json()["status"],
            "success"
        );
    }
    let end = backend.wait_terminal(2, PATIENCE).await;
    assert!(end.started <= end.arrived);
    let view = backend.view(2);
    oracle::assert_clean(&view);
    assert_eq!((view.text.as_str(), view.error_code()), ("ab", Some("c")));
    assert_eq!(backend.callbacks(3).len(), 0);
}

#[tokio::test]
async fn faults_hit_the_callbacks_they_are_meant_for_and_as_often_as_said() {
    let backend = Backend::start().await.unwrap();
    backend.inject(
        Rule::next(2, Fault::Status(503)).on(On::Event("response.output_text.delta".into())),
    );
    backend.inject(Rule::next(1, Fault::LoseAnswer).on(On::Terminal));
    assert_eq!(send(&backend, &created()).await.unwrap().status, 200);
    for status in [503, 503, 200] {
        assert_eq!(send(&backend, &delta(0, "a")).await.unwrap().status, status);
    }
    // The head may or may not get through before the reset.
    assert!(
        send(&backend, &failed())
            .await
            .map_or(true, |answer| !answer.whole)
    );
    assert!(send(&backend, &failed()).await.unwrap().whole);
    let view = backend.view(2);
    oracle::assert_clean(&view);
    assert_eq!((view.text.as_str(), view.repeats), ("a", 1));
    let answered: Vec<Answered> = backend
        .callbacks(2)
        .iter()
        .map(|callback| callback.answered)
        .collect();
    let status = Answered::Status;
    assert_eq!(
        answered,
        [
            status(200),
            status(503),
            status(503),
            status(200),
            Answered::Lost,
            status(200)
        ]
    );
}

#[tokio::test]
async fn hanging_delayed_reset_and_rejected_callbacks_look_as_their_names_say() {
    let backend = Backend::start().await.unwrap();
    backend.inject(Rule::next(1, Fault::Reset));
    assert!(send(&backend, &created()).await.is_err());
    backend.inject(Rule::next(1, Fault::Rejected));
    assert_eq!(send(&backend, &created()).await.unwrap().status, 200);
    backend.inject(Rule::next(1, Fault::Delay(Duration::from_millis(50))));
    assert_eq!(send(&backend, &created()).await.unwrap().status, 200);
    backend.inject(Rule::always(Fault::Hang));
    let short = Duration::from_millis(100);
    let hanging = client::post(&backend.callback_url(), &failed(), short).await;
    assert_eq!(hanging.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    backend.heal();
    assert_eq!(send(&backend, &failed()).await.unwrap().status, 200);
    let shown: Vec<bool> = backend
        .callbacks(2)
        .iter()
        .map(|callback| callback.shown)
        .collect();
    assert_eq!(shown, [false, false, true, false, true]);
}

#[tokio::test]
async fn a_backend_that_went_away_comes_back_on_the_same_port() {
    let backend = Backend::start().await.unwrap();
    backend.go_away().await;
    let refused = send(&backend, &created()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    backend.come_back().await.unwrap();
    assert_eq!(send(&backend, &created()).await.unwrap().status, 200);
}

#[tokio::test]
async fn heartbeats_are_noted_with_their_kind_and_id() {
    let backend = Backend::start().await.unwrap();
    let url = format!("{}/tasks/7/heartbeat", backend.heartbeat_base_url());
    let answer = client::post(&url, &json!({"heartbeat_id": "7"}), PATIENCE)
        .await
        .unwrap();
    assert_eq!(answer.json()["status"], "ok");
    let beats = backend.heartbeats();
    assert_eq!(
        (beats[0].kind.as_str(), beats[0].id.as_str()),
        ("tasks", "7")
    );
}

/// An executor's routes; its cancel posts a callback first if it is told to.
async fn executor(callback_first: Option<String>) -> String {
    let cancel = async |State(callback): State<Option<String>>| {
        if let Some(url) = callback {
            // Stopping takes its time; what starts at once can't be told from what crossed with the cancel.
            tokio::time::sleep(Duration::from_millis(60)).await;
            let body = event("response.incomplete", json!({}));
            let _ = client::post(&url, &body, Duration::from_millis(300)).await;
        }
        "{}"
    };
    let router = Router::new()
        .route("/api/tasks/cancel", post(cancel))
        .route("/v1/responses", post(async || "{}"))
        .with_state(callback_first);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The test's runtime ends it.
    #[expect(clippy::disallowed_methods, reason = "lives as long as the test")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn an_executor_that_posts_before_it_answers_a_cancel_disturbs_the_manager() {
    let backend = Backend::start().await.unwrap();
    let rude = executor(Some(backend.callback_url())).await;
    let report = backend.cancel(&rude, 1, Some(2)).await;
    assert!(report.disturbed(), "{report:?}");
    assert!(report.took >= Duration::from_millis(300), "{report:?}");

    let polite = executor(None).await;
    let report = backend.cancel(&polite, 1, None).await;
    assert_eq!(
        (report.status(), report.disturbed()),
        (Some(200), false),
        "{report:?}"
    );
}

#[tokio::test]
async fn callbacks_are_compared_with_what_was_dispatched() {
    let backend = Backend::start().await.unwrap();
    let url = executor(None).await;
    let body = json!({"metadata": {"task_id": 1, "subtask_id": 2, "message_id": 4, "executor_name": null}});
    assert_eq!(backend.dispatch(&url, &body).await.unwrap().status, 200);
    send(&backend, &created()).await.unwrap();
    let mistakes = backend.mistakes();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!(
        (mistakes[0].field, &mistakes[0].expected),
        ("message_id", &json!(4))
    );
}
