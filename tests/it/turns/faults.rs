//! A provider that refuses, fails or breaks off.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{
    View,
    model::{Options, Spoken},
    oracle::{Block, Terminal},
};
use wegent_executor_tests::{API_KEY, Settings, World};

use super::is_what_was_said;

/// Dispatches every script as a task of its own and gives their views in order.
async fn all_at_once(world: &World, scripts: &[&str]) -> Vec<View> {
    for (task, script) in (1..).zip(scripts) {
        world
            .dispatch(&world.turn(task, task + 100, &format!("Go. #script:{script}")))
            .await;
    }
    let mut views = Vec::new();
    for (task, _) in (1..).zip(scripts) {
        views.push(world.finished(task + 100).await);
    }
    views
}

/// What the model said to the turn that asked for `script`.
fn said_by(world: &World, script: &str) -> Spoken {
    let marker = format!("#script:{script}");
    let requests = world.model.requests();
    Spoken::in_requests(requests.iter().filter(|request| {
        request
            .user_texts()
            .iter()
            .any(|text| text.ends_with(&marker))
    }))
}

#[tokio::test]
async fn every_failure_of_a_provider_has_its_code() {
    let Some(world) = World::build("every_failure_of_a_provider_has_its_code").await else {
        return;
    };
    let cases = [
        ("err400", "invalid_parameter"),
        ("err404", "model_unavailable"),
        ("err429", "rate_limit"),
        ("quota", "quota_exceeded"),
        ("usage_limit", "quota_exceeded"),
        ("err500", "provider_error"),
        ("err503", "model_unavailable"),
        ("failed", "provider_error"),
        ("context_full", "context_length_exceeded"),
    ];
    let views = all_at_once(&world, &cases.map(|(script, _)| script)).await;
    let mut wrong = Vec::new();
    for ((script, code), view) in cases.iter().zip(&views) {
        let Some(Terminal::Failed {
            code: found,
            message,
        }) = &view.terminal
        else {
            panic!("{script} did not fail: {view:#?}")
        };
        println!("{script}: {found}: {message}");
        assert!(
            !message.trim().is_empty() && !message.contains(API_KEY),
            "{script}: {message}"
        );
        assert_eq!(view.attempts, 1, "{script}");
        // What Codex tries again is told, once; else there is nothing to show.
        let told = view.text.matches("the request is tried again").count();
        let retried = ["err429", "err500", "failed"].contains(script);
        assert_eq!(told, usize::from(retried), "{script}: {}", view.text);
        assert!(retried || view.text.is_empty(), "{script}: {}", view.text);
        if found != code {
            wrong.push(format!("{script}: `{found}`, not `{code}`: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_refused_key_fails_at_once() {
    let Some(world) = World::build("a_refused_key_fails_at_once").await else {
        return;
    };
    for (task, script) in [(1, "err401"), (2, "err403")] {
        let view = world
            .run(&world.turn(task, task + 10, &format!("Go. #script:{script}")))
            .await;
        assert_eq!(view.error_code(), Some("forbidden"), "{script}: {view:#?}");
        // The process's start is no part of it.
        let requests = world.model.requests();
        let marker = format!("#script:{script}");
        let mut asked = requests.iter().filter(|request| {
            let texts = request.user_texts();
            texts.iter().any(|text| text.ends_with(&marker))
        });
        let asked = asked.next().expect("the provider was asked").at;
        let told = world.backend.callbacks(task + 10).last().unwrap().arrived;
        let answered = Duration::from_micros(told - asked);
        println!("{script}: told {answered:?} after the provider was asked first");
        // Left alone, Codex tries for close to seven seconds.
        assert!(answered < Duration::from_secs(4), "{script}: {answered:?}");
    }
}

#[tokio::test]
async fn a_repeated_beginning_is_shown_once() {
    let Some(world) = World::build("a_repeated_beginning_is_shown_once").await else {
        return;
    };
    let view = world
        .run(&world.turn(1, 2, "Go. #script:disconnect_equal_once"))
        .await;
    // The model was cut off once: it did say the beginning twice.
    assert_eq!(world.model.requests().len(), 2);
    assert_eq!(view.text, "The quick brown fox jumps over the lazy dog.");
    is_what_was_said(&view, &world.model.spoken());
}

#[tokio::test]
async fn a_retry_with_other_words_follows_after_a_notice() {
    let Some(world) = World::build("a_retry_with_other_words_follows_after_a_notice").await else {
        return;
    };
    let view = world
        .run(&world.turn(1, 2, "Go. #script:disconnect_differ_once"))
        .await;
    assert!(view.completed(), "{view:#?}");
    let confirmed = "The answer is red, beyond doubt.";
    assert_eq!(view.final_text.as_deref(), Some(confirmed));
    // The first attempt as far as it was seen, a notice, and the second from the first difference on.
    let (first, rest) = view
        .text
        .split_once("\n\n> ")
        .unwrap_or_else(|| panic!("{view:#?}"));
    let (notice, second) = rest
        .split_once("\n\n")
        .unwrap_or_else(|| panic!("{view:#?}"));
    assert_eq!(first, "The answer is blue, as far as I can see");
    assert!(notice.contains("new attempt"), "{notice}");
    assert_eq!(second, "red, beyond doubt.");
}

#[tokio::test]
async fn a_connection_that_never_holds_is_a_network_error() {
    let Some(world) = World::build("a_connection_that_never_holds_is_a_network_error").await else {
        return;
    };
    let scripts = ["disconnect", "reset"];
    let views = all_at_once(&world, &scripts).await;
    for ((script, text), view) in scripts
        .iter()
        .zip(["Hello this will be cut", "Hello this will be reset"])
        .zip(&views)
    {
        assert_eq!(
            view.error_code(),
            Some("network_error"),
            "{script}: {view:#?}"
        );
        // However often it was said, it is shown once.
        assert!(said_by(&world, script).0.len() > 1, "{script}");
        assert_eq!(view.text, text, "{script}");
    }
}

#[tokio::test]
async fn a_provider_that_recovers_costs_nothing_but_time() {
    let Some(world) = World::build("a_provider_that_recovers_costs_nothing_but_time").await else {
        return;
    };
    let scripts = ["flaky", "disconnect_once"];
    let views = all_at_once(&world, &scripts).await;
    is_what_was_said(&views[0], &said_by(&world, "flaky"));
    assert!(
        matches!(views[0].blocks.as_slice(), [Block::Text(_)]),
        "{:#?}",
        views[0]
    );
    assert!(views[1].completed(), "{:#?}", views[1]);
    assert_eq!(
        views[1].final_text.as_deref(),
        said_by(&world, "disconnect_once").final_text()
    );
}

/// Codex gives up on such an answer, and says why.
#[tokio::test]
async fn an_answer_that_ran_into_its_limit_is_not_passed_off_as_whole() {
    let Some(world) =
        World::build("an_answer_that_ran_into_its_limit_is_not_passed_off_as_whole").await
    else {
        return;
    };
    let view = world.run(&world.turn(1, 2, "Go. #script:incomplete")).await;
    assert_eq!(view.text, "cut short");
    let Some(Terminal::Failed { message, .. }) = &view.terminal else {
        panic!("{view:#?}")
    };
    assert!(message.contains("max_output_tokens"), "{message}");
}

/// Codex 0.169 waits for the network for as long as it takes.
#[tokio::test]
async fn a_provider_that_is_not_there_fails_the_turn_after_the_time_for_its_first_progress() {
    let test = "a_provider_that_is_not_there_fails_the_turn_after_the_time_for_its_first_progress";
    let change = |settings: &mut Settings| {
        // Codex first says after 3 s that it can't reach the provider; left alone, it says so for ever.
        settings.set("WEGENT_CODEX_TURN_STARTUP_TIMEOUT_SECONDS", "5");
    };
    let Some(world) = World::build_with(test, Options::default(), change).await else {
        return;
    };
    let mut turn = world.turn(1, 2, "Go.");
    // Nobody listens on the port for discarding things.
    turn.0["model_config"]["base_url"] = json!("http://127.0.0.1:9/v1");
    let start = Instant::now();
    let view = world.run(&turn).await;
    println!("given up after {:?}", start.elapsed());
    assert_eq!(view.error_code(), Some("network_error"), "{view:#?}");
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "{:?}",
        start.elapsed()
    );
    // The next one is not held up by it.
    assert!(
        world
            .run(&world.turn(1, 3, "Go. #script:text"))
            .await
            .completed()
    );
}
