//! The routes beside those of turns, as Wegent's manager calls them.

mod archives;
mod big;
mod files;
mod sandbox;
mod sync;

use std::{path::Path, time::Duration};

use serde_json::Value;
use testkit::{
    http::client::{self, Answer},
    model::Options,
};
use wegent_executor_tests::{Settings, World};

/// How long a route may take in a test.
const LIMIT: Duration = Duration::from_secs(120);

/// An executor that needs no agent.
async fn without_agents(change: impl FnOnce(&mut Settings)) -> World {
    World::with_cli(Path::new("/nonexistent/codex"), Options::default(), change).await
}

async fn get(world: &World, target: &str) -> Answer {
    let url = format!("{}{target}", world.executor.url());
    client::get(&url, LIMIT).await.unwrap()
}

async fn post(world: &World, target: &str, body: &Value) -> Answer {
    let url = format!("{}{target}", world.executor.url());
    client::post(&url, body, LIMIT).await.unwrap()
}

/// A refusal's status and its reason.
fn refusal(answer: &Answer) -> (u16, String) {
    let detail = answer.json()["detail"].as_str().map(str::to_owned);
    (
        answer.status,
        detail.unwrap_or_else(|| panic!("{answer:?}")),
    )
}
