//! What becomes of a turn that a crash of the executor cuts off, where the operator has it taken up again.

use std::{fs, time::Duration};

use serde_json::json;
use testkit::{View, model::Options, oracle::Terminal};
use wegent_executor_tests::{API_KEY, AUTH_TOKEN, Settings, Sleeper, TurnBody, World, until};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// A world whose container has a login of its own, at the scripted model.
async fn world(test: &str, rerun: bool) -> Option<World> {
    let options = Options {
        slow_delay: Duration::from_millis(20),
        slow_count: 300,
        ..Options::default()
    };
    let mut world = World::build_with(test, options, |settings: &mut Settings| {
        settings.set("WEGENT_RERUN_AFTER_RESTART", rerun.to_string());
    })
    .await?;
    let home = world.root.path().join("home/.codex");
    fs::create_dir_all(&home).unwrap();
    let login = json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-own-login"});
    fs::write(home.join("auth.json"), login.to_string()).unwrap();
    let config = format!(
        "model_provider = \"mine\"\n[model_providers.mine]\nname = \"mine\"\nbase_url = \"{}\"\n\
         wire_api = \"responses\"\nrequires_openai_auth = true\n",
        world.model.base_url()
    );
    fs::write(home.join("config.toml"), config).unwrap();
    // The login is looked for in the image's home.
    world.executor.restart().await;
    Some(world)
}

/// A turn with the container's own login.
fn own(world: &World, prompt: &str) -> TurnBody {
    let mut turn = world.turn(TASK, TURN, prompt);
    let model = &mut turn.0["model_config"];
    model.as_object_mut().unwrap().remove("api_key");
    model["runtime_config"] = json!({"codex": {"use_user_config": true}});
    turn
}

async fn speaks(world: &World) {
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick5 "))
        .await;
}

fn restarted(view: &View) -> bool {
    matches!(&view.terminal, Some(Terminal::Failed { code, .. }) if code == "executor_restarted")
}

#[tokio::test]
async fn a_turn_that_called_no_tool_is_run_again() {
    let Some(mut world) = world("a_turn_that_called_no_tool_is_run_again", true).await else {
        return;
    };
    world.dispatch(&own(&world, "Count. #script:slow")).await;
    speaks(&world).await;
    let journals = world.journals();
    world.executor.kill().await;
    for entry in fs::read_dir(journals).unwrap() {
        let kept = fs::read(entry.unwrap().path()).unwrap();
        let kept = String::from_utf8_lossy(&kept);
        assert!(!kept.contains(AUTH_TOKEN) && !kept.contains(API_KEY));
    }
    world.executor.start_again().await;
    let view = world.finished(TURN).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert_eq!(view.attempts, 1);
    assert!(view.text.contains("the turn is run again"), "{}", view.text);
    assert!(view.text.contains("tick299 "), "{}", view.text);
}

#[tokio::test]
async fn a_turn_that_called_a_tool_goes_on_in_its_conversation() {
    let test = "a_turn_that_called_a_tool_goes_on_in_its_conversation";
    let Some(mut world) = world(test, true).await else {
        return;
    };
    let sleeper = Sleeper::new();
    let prompt = format!("Sleep. #script:shell\n#cmd:echo once >> made; {sleeper}");
    world.dispatch(&own(&world, &prompt)).await;
    sleeper.appear(1).await;
    world
        .wait_for(TURN, "the command is shown", |view| {
            view.tools().count() == 1
        })
        .await;
    world.executor.kill().await;
    until("nothing is left", || sleeper.running().is_empty()).await;
    world.executor.start_again().await;
    let view = world.finished(TURN).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert!(
        view.text.contains("goes on from where it was cut off"),
        "{}",
        view.text
    );
    let asked = world.model.requests();
    let last = asked.last().unwrap();
    let texts = last.user_texts().join("\n");
    assert!(
        texts.contains("Sleep.") && texts.contains("Look at what is done"),
        "{texts}"
    );
    assert_eq!(
        fs::read_to_string(world.workspace(TASK).join("made")).unwrap(),
        "once\n"
    );
}

#[tokio::test]
async fn a_second_crash_ends_it() {
    let Some(mut world) = world("a_second_crash_ends_it", true).await else {
        return;
    };
    world.dispatch(&own(&world, "Count. #script:slow")).await;
    speaks(&world).await;
    world.executor.restart().await;
    world
        .wait_for(TURN, "it is run again", |view| {
            view.text.contains("is run again")
        })
        .await;
    world.executor.restart().await;
    let view = world.finished(TURN).await;
    assert!(restarted(&view), "{view:#?}");
}

#[tokio::test]
async fn what_needs_the_requests_key_or_was_not_asked_for_is_ended() {
    let test = "what_needs_the_requests_key_or_was_not_asked_for_is_ended";
    for rerun in [true, false] {
        let Some(mut world) = world(test, rerun).await else {
            return;
        };
        let turn = match rerun {
            true => world.turn(TASK, TURN, "Count. #script:slow"),
            false => own(&world, "Count. #script:slow"),
        };
        world.dispatch(&turn).await;
        speaks(&world).await;
        world.executor.restart().await;
        let view = world.finished(TURN).await;
        assert!(restarted(&view), "{view:#?}");
        assert!(!String::from_utf8_lossy(&journal(&world)).contains("runtime_config"));
    }
}

fn journal(world: &World) -> Vec<u8> {
    let entries = fs::read_dir(world.journals()).unwrap();
    let files = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.flatten().collect()
}
