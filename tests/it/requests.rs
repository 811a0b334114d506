//! Requests as a running Wegent sends them, whole, and requests that nobody can run.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    View,
    http::client,
    model::{Options, Script},
    oracle::Terminal,
};
use wegent_executor_tests::{API_KEY, Settings, World};

macro_rules! captured {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!(
            "../../crates/wegent-protocol/fixtures/requests/",
            $name,
            ".json"
        )))
        .expect("a captured request is JSON")
    };
}

/// How long Wegent's manager waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The captured request with nothing changed but where the model is.
fn here(world: &World, mut body: Value) -> Value {
    body["model_config"]["base_url"] = json!(world.model.base_url());
    body["model_config"]["api_key"] = json!(API_KEY);
    body
}

async fn run(world: &World, body: &Value) -> View {
    let answer = world.post(body).await;
    let subtask = body["metadata"]["subtask_id"].as_i64().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json()["id"],
        format!("resp_{subtask}"),
        "{}",
        answer.text()
    );
    world.finished(subtask).await
}

/// How a turn failed that the model was never asked about.
async fn refused(world: &World, body: &Value) -> (String, String) {
    let view = run(world, body).await;
    let Some(Terminal::Failed { code, message }) = view.terminal else {
        panic!("{view:#?}")
    };
    assert!(world.model.requests().is_empty(), "the model was asked");
    (code, message)
}

/// Three turns of one task, as Wegent sent them in this order; the last came to a new container.
#[tokio::test]
async fn captured_requests_run_as_they_are() {
    let Some(world) = World::build("captured_requests_run_as_they_are").await else {
        return;
    };
    world.model.set_script(Script::Remember);
    let mut said = Vec::new();
    for body in [
        captured!("codex-live-first"),
        captured!("codex-live-followup"),
        captured!("codex-live-new-container"),
    ] {
        let body = here(&world, body);
        said.push(body["input"].as_str().unwrap().to_owned());
        let view = run(&world, &body).await;
        assert!(view.completed(), "{view:#?}");
        // The MCP servers of the captured skills are not here, which the person is told first.
        let answer = format!("I remember: {}", said.join(" | "));
        assert!(view.text.ends_with(&answer), "{}", view.text);
        let requests = world.model.requests();
        let request = requests.last().unwrap();
        assert_eq!(request.bearer(), Some(API_KEY));
        assert_eq!(request.body["model"], body["model_config"]["model_id"]);
        assert_eq!(
            request.header("wegent-agent-name"),
            Some("e2e-team"),
            "the model's own headers are missing"
        );
        let instructions = body["instructions"]
            .as_str()
            .unwrap()
            .lines()
            .nth(1)
            .unwrap();
        assert!(
            request.body.to_string().contains(instructions),
            "the instructions are missing"
        );
    }
    assert_eq!(said.len(), 3);
}

#[tokio::test]
async fn a_required_skill_that_is_not_there_fails_the_turn() {
    let Some(world) = World::build("a_required_skill_that_is_not_there_fails_the_turn").await
    else {
        return;
    };
    let mut body = here(&world, captured!("codex"));
    body["metadata"]["git_url"] = json!("");
    body["metadata"]["preload_skills"] = json!(["x"]);
    let (_, message) = refused(&world, &body).await;
    assert!(
        message.contains("required Skill deployment failed: x (no skill of this name"),
        "{message}"
    );
}

#[tokio::test]
async fn what_nobody_here_runs_ends_with_a_clear_error() {
    let test = "what_nobody_here_runs_ends_with_a_clear_error";
    let change = |settings: &mut Settings| {
        settings.set("CLAUDE_BINARY_PATH", "/nowhere/claude");
    };
    let Some(world) = World::build_with(test, Options::default(), change).await else {
        return;
    };
    let mut unknown = here(&world, captured!("codex-live-first"));
    unknown["metadata"]["bot"][0]["shell_type"] = json!("Abacus");
    let mut claude = here(&world, captured!("claudecode-live-first"));
    claude["metadata"]["subtask_id"] = json!(3);
    for (body, code, named) in [
        (unknown, "invalid_parameter", "Abacus"),
        (claude, "container_error", "/nowhere/claude"),
    ] {
        let (found, message) = refused(&world, &body).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(named), "{message}");
    }
    assert!(
        world.marked().is_empty(),
        "a CLI was started: {:#?}",
        world.marked()
    );
}

#[tokio::test]
async fn a_body_that_lacks_what_is_needed_is_a_400_that_names_it() {
    let Some(world) = World::build("a_body_that_lacks_what_is_needed_is_a_400_that_names_it").await
    else {
        return;
    };
    let url = format!("{}/v1/responses", world.executor.url());
    let whole = here(&world, captured!("codex-live-first"));
    let without = |path: &str| {
        let mut body = whole.clone();
        let (parent, field) = path
            .rsplit_once('.')
            .map_or(("", path), |(parent, field)| (parent, field));
        let parent = if parent.is_empty() {
            String::new()
        } else {
            format!("/{}", parent.replace('.', "/"))
        };
        let fields = body
            .pointer_mut(&parent)
            .and_then(Value::as_object_mut)
            .unwrap();
        assert!(fields.remove(field).is_some(), "{path}");
        body.to_string()
    };
    let mut wrong_type = whole.clone();
    wrong_type["metadata"]["task_id"] = json!({"a": 1});
    let mut secret_in_wrong_place = whole.clone();
    secret_in_wrong_place["model_config"] = json!(API_KEY);
    for (body, named) in [
        ("not JSON".to_owned(), "JSON"),
        ("[]".to_owned(), "array"),
        (without("metadata"), "metadata"),
        (without("metadata.task_id"), "metadata.task_id"),
        (without("metadata.subtask_id"), "metadata.subtask_id"),
        (without("metadata.bot"), "metadata.bot"),
        (without("input"), "input"),
        (wrong_type.to_string(), "metadata.task_id"),
        (secret_in_wrong_place.to_string(), "model_config"),
    ] {
        let json = [("content-type", "application/json")];
        let answer = client::request("POST", &url, &json, body.as_bytes(), PATIENCE)
            .await
            .unwrap();
        assert_eq!(answer.status, 400, "{named}: {}", answer.text());
        let body = answer.json();
        let detail = body["detail"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", answer.text()));
        assert!(detail.contains(named), "`{named}` is not named: {detail}");
        assert!(!detail.contains(API_KEY), "{detail}");
    }
    assert!(world.backend.all_callbacks().is_empty());
    assert!(!world.executor.log().contains(API_KEY));
}

/// Images come inline, as base64.
#[tokio::test]
async fn a_body_of_64_mib_with_an_image_is_taken_over() {
    let Some(world) = World::build("a_body_of_64_mib_with_an_image_is_taken_over").await else {
        return;
    };
    let mut body = here(&world, captured!("codex-live-first"));
    let image = format!(
        "data:image/png;base64,{}",
        "iVBORw0KGgoAAAAN".repeat(64 * 1024 * 1024 / 16)
    );
    body["input"] = json!([{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": image}]);
    let url = format!("{}/v1/responses", world.executor.url());
    let body = body.to_string();
    assert!(body.len() > 64 << 20);
    let json = [("content-type", "application/json")];
    let start = Instant::now();
    let answer = client::request(
        "POST",
        &url,
        &json,
        body.as_bytes(),
        wegent_executor_tests::PATIENCE,
    )
    .await
    .unwrap();
    let took = start.elapsed();
    println!("64 MiB: answered after {took:?}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = world.backend.cancel(&world.executor.url(), 1, None).await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    let view = world.finished(2).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
}

#[tokio::test]
async fn an_answer_by_a_schema_is_codexs_to_give() {
    let Some(world) = World::build("an_answer_by_a_schema_is_codexs_to_give").await else {
        return;
    };
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let text = json!({"format": {"type": "json_schema", "name": "answer", "schema": schema}});
    let mut turn = world.turn(1, 2, "Go. #script:text");
    turn.0["text"] = text.clone();
    assert!(world.run(&turn).await.completed());
    let asked = world.model.requests().pop().unwrap();
    assert_eq!(asked.body["text"]["format"]["schema"], schema);
    let mut turn = world.claude_turn(2, 3, "Go. #script:text");
    turn.0["text"] = text;
    let view = world.run(&turn).await;
    let Some(Terminal::Failed { message, .. }) = &view.terminal else {
        panic!("{view:#?}")
    };
    assert!(message.starts_with("text.format: "), "{message}");
}

#[tokio::test]
async fn an_image_reaches_the_model() {
    let Some(world) = World::build("an_image_reaches_the_model").await else {
        return;
    };
    // A picture of one pixel.
    let image = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let mut body = here(&world, captured!("codex-live-first"));
    body["input"] = json!([{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": image}]);
    let view = run(&world, &body).await;
    assert!(view.completed(), "{view:#?}");
    let asked = world.model.requests().last().unwrap().body["input"].to_string();
    assert!(
        asked.contains("What is this?") && asked.contains("data:image/png;base64,"),
        "{asked}"
    );
}

#[tokio::test]
async fn health_is_answered_as_the_manager_asks_for_it() {
    let Some(world) = World::build("health_is_answered_as_the_manager_asks_for_it").await else {
        return;
    };
    for (path, status, body) in [
        (
            "/",
            200,
            json!({"status": "healthy", "service": "task_executor"}),
        ),
        (
            "/ready",
            200,
            json!({"status": "ready", "service": "task_executor"}),
        ),
        ("/health", 204, Value::Null),
        ("/nowhere", 404, json!({"detail": "Not Found"})),
    ] {
        let answer = client::get(&format!("{}{path}", world.executor.url()), PATIENCE)
            .await
            .unwrap();
        assert_eq!((answer.status, answer.json()), (status, body), "{path}");
    }
}
