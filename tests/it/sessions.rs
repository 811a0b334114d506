//! A task is one conversation: its second turn knows the first, whatever happened in between.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{View, oracle::Terminal, procs::Proc};
use wegent_executor_tests::{Sleeper, TurnBody, World, signal};

/// What every first turn tells the model.
const WORD: &str = "The word is alpha.";
/// What the scripted model answers to that.
const ANSWER: &str = "Hello from the scripted model.";
/// A thread that nobody has.
const UNKNOWN: &str = "0198f1aa-1111-7abc-8def-001122334455";

fn first(world: &World) -> TurnBody {
    world.turn(1, 2, &format!("{WORD} #script:text"))
}

fn second(world: &World) -> TurnBody {
    world.turn(1, 3, "Which word? #script:remember")
}

/// Runs `turn`, which asks the model what it remembers, and checks that it got `texts` of earlier turns, with its answers to
/// them, in the thread of the request before; and that the person is told of nothing unusual.
async fn remembers(world: &World, turn: &TurnBody, attempt: usize, texts: &[&str]) {
    let before = world.model.requests();
    let thread = before
        .last()
        .and_then(|request| request.thread())
        .expect("a turn came before")
        .to_owned();
    world.dispatch_anew(turn).await;
    let view = world.finished_attempt(turn.subtask(), attempt).await;
    let requests = world.model.requests();
    let [request] = &requests[before.len()..] else {
        panic!("not one request: {view:#?}\n{}", world.executor.log())
    };
    assert_eq!(
        request.thread(),
        Some(thread.as_str()),
        "another conversation"
    );
    let heard = request.user_texts();
    for text in texts {
        assert!(
            heard.iter().any(|heard| heard.contains(text)),
            "`{text}` is not in {heard:?}"
        );
    }
    assert_eq!(
        request.body["input"].to_string().matches(ANSWER).count(),
        texts.len(),
        "{}",
        request.body["input"]
    );
    assert!(view.completed(), "{view:#?}");
    assert_eq!(Some(view.text.as_str()), world.model.spoken().final_text());
    assert!(view.text.starts_with("I remember: "), "{}", view.text);
}

/// Checks that the model knew nothing of earlier turns when it answered, and gives what the person saw before its answer.
fn knew_nothing(world: &World, view: &View) -> String {
    assert!(view.completed(), "{view:#?}");
    let requests = world.model.requests();
    let input = requests.last().unwrap().body["input"].to_string();
    assert!(
        !input.contains("alpha") && !input.contains(ANSWER),
        "{input}"
    );
    let answer = world.model.spoken().final_text().unwrap().to_owned();
    view.text
        .strip_suffix(&answer)
        .unwrap_or_else(|| panic!("{view:#?}"))
        .to_owned()
}

/// The one app-server that runs.
fn app_server(world: &World) -> Proc {
    let servers = world.app_servers();
    let [server] = servers.as_slice() else {
        panic!("{servers:#?}")
    };
    server.clone()
}

#[tokio::test]
async fn a_warm_app_server_goes_on() {
    let Some(world) = World::build("a_warm_app_server_goes_on").await else {
        return;
    };
    world.run(&first(&world)).await;
    let server = app_server(&world);
    remembers(&world, &second(&world), 1, &[WORD]).await;
    assert_eq!(
        app_server(&world).pid,
        server.pid,
        "the app-server was not kept warm"
    );
}

#[tokio::test]
async fn the_conversation_survives_the_app_servers_death_between_turns() {
    let Some(world) =
        World::build("the_conversation_survives_the_app_servers_death_between_turns").await
    else {
        return;
    };
    world.run(&first(&world)).await;
    let server = app_server(&world);
    signal(server.pid, "KILL");
    remembers(&world, &second(&world), 1, &[WORD]).await;
    assert_ne!(app_server(&world).pid, server.pid);
}

#[tokio::test]
async fn an_app_servers_death_ends_the_turn_with_a_reason_and_the_next_one_goes_on() {
    let test = "an_app_servers_death_ends_the_turn_with_a_reason_and_the_next_one_goes_on";
    let Some(world) = World::build(test).await else {
        return;
    };
    // Once a tool has been called, the turn can't be begun again by another app-server.
    let sleeper = Sleeper::new();
    world
        .dispatch(&world.turn(1, 2, &format!("{WORD} #script:shell\n#cmd:{sleeper}")))
        .await;
    sleeper.appear(1).await;
    world
        .wait_for(2, "the command is shown", |view| view.tools().count() == 1)
        .await;
    let killed = Instant::now();
    signal(app_server(&world).pid, "KILL");
    let view = world.finished(2).await;
    let took = killed.elapsed();
    println!("kill -9 of the app-server → terminal event: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let Some(Terminal::Failed { code, message }) = &view.terminal else {
        panic!("{view:#?}")
    };
    assert_eq!(code, "container_error");
    assert!(
        message.contains("signal 9") || message.contains("SIGKILL"),
        "no reason is given: {message}"
    );

    let view = world.run(&second(&world)).await;
    assert!(view.completed() && view.text.contains(WORD), "{view:#?}");
    assert!(view.text.starts_with("I remember: "), "{view:#?}");
}

#[tokio::test]
async fn the_conversation_survives_a_crash_of_the_executor() {
    let Some(mut world) = World::build("the_conversation_survives_a_crash_of_the_executor").await
    else {
        return;
    };
    world.run(&first(&world)).await;
    world.executor.restart().await;
    remembers(&world, &second(&world), 1, &[WORD]).await;
}

#[tokio::test]
async fn the_conversation_survives_a_stop_of_the_executor() {
    let Some(mut world) = World::build("the_conversation_survives_a_stop_of_the_executor").await
    else {
        return;
    };
    world.run(&first(&world)).await;
    let (took, code) = world.executor.terminate().await;
    println!("SIGTERM with a warm app-server → exit: {took:?}");
    assert_eq!(code, Some(0));
    world.executor.start_again().await;
    remembers(&world, &second(&world), 1, &[WORD]).await;
}

/// All that a new container has of the old one is the workspace.
#[tokio::test]
async fn the_conversation_goes_on_in_a_new_container() {
    let Some(mut world) = World::build("the_conversation_goes_on_in_a_new_container").await else {
        return;
    };
    world.run(&first(&world)).await;
    world.executor.kill().await;
    let old = world.root.path().join("home");
    fs::remove_dir_all(&old).unwrap();
    let home = world.root.path().join("another home");
    fs::create_dir(&home).unwrap();
    let executor_home = home.join("state").display().to_string();
    world
        .executor
        .settings_mut()
        .set("HOME", home.display().to_string())
        .set("WEGENT_EXECUTOR_HOME", executor_home);
    world.executor.start_again().await;
    remembers(&world, &second(&world), 1, &[WORD]).await;
    assert!(!old.exists(), "something was written to the old home");
}

#[tokio::test]
async fn a_retry_goes_on_with_the_conversation() {
    let Some(world) = World::build("a_retry_goes_on_with_the_conversation").await else {
        return;
    };
    world.run(&first(&world)).await;
    let retry = world
        .turn(1, 2, "Which word? #script:remember")
        .with("auth_token", json!("a-later-token-0123456789"));
    remembers(&world, &retry, 2, &[WORD]).await;
    assert_eq!(world.backend.view(2).attempts, 2);
}

#[tokio::test]
async fn a_new_session_forgets_without_a_word() {
    let Some(world) = World::build("a_new_session_forgets_without_a_word").await else {
        return;
    };
    world.run(&first(&world)).await;
    let view = world
        .run(&second(&world).with("new_session", json!(true)))
        .await;
    assert_eq!(knew_nothing(&world, &view), "");
    // From here on the new one is the task's conversation.
    let view = world
        .run(&world.turn(1, 4, "And now? #script:remember"))
        .await;
    assert!(
        view.text.contains("Which word?") && !view.text.contains("alpha"),
        "{}",
        view.text
    );
}

/// The stored id of the task's bot, as the captured request numbers it.
fn stored_session(world: &World) -> std::path::PathBuf {
    world
        .workspace(1)
        .join(".wegent-executor/sessions/codex-54.json")
}

#[tokio::test]
async fn an_unknown_conversation_is_begun_anew_and_the_person_is_told() {
    let test = "an_unknown_conversation_is_begun_anew_and_the_person_is_told";
    let Some(mut world) = World::build(test).await else {
        return;
    };
    world.run(&first(&world)).await;
    // Once with the old conversation loaded in a warm app-server, once without any.
    for (warm, subtask) in [(true, 3), (false, 4)] {
        let path = stored_session(&world);
        let mut stored: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        stored["id"] = json!(UNKNOWN);
        fs::write(&path, stored.to_string()).unwrap();
        if !warm {
            world.executor.restart().await;
        }
        let view = world
            .run(&world.turn(1, subtask, "Which word? #script:remember"))
            .await;
        let told = knew_nothing(&world, &view);
        assert!(
            told.starts_with("> ") && told.contains("could not be found") && told.ends_with("\n\n"),
            "{told:?}"
        );
        assert_ne!(
            world.model.requests().last().unwrap().thread(),
            Some(UNKNOWN)
        );
    }
    let view = world
        .run(&world.turn(1, 5, "And now? #script:remember"))
        .await;
    assert!(
        view.text.starts_with("I remember: Which word?"),
        "the new conversation is not kept: {}",
        view.text
    );
}

#[tokio::test]
async fn an_inherited_conversation_that_is_not_here_is_begun_anew_and_the_person_is_told() {
    let test = "an_inherited_conversation_that_is_not_here_is_begun_anew_and_the_person_is_told";
    let Some(world) = World::build(test).await else {
        return;
    };
    let inherited = json!([{"agent": "CodeX", "threadId": UNKNOWN, "botId": 54}]);
    let view = world
        .run(&second(&world).with("inherited_sessions", inherited))
        .await;
    let told = knew_nothing(&world, &view);
    assert!(
        told.starts_with("> ") && told.contains("not on this machine") && told.ends_with("\n\n"),
        "{told:?}"
    );
}

#[tokio::test]
async fn bots_of_one_task_have_a_conversation_each() {
    let Some(world) = World::build("bots_of_one_task_have_a_conversation_each").await else {
        return;
    };
    let words = ["alpha", "beta"];
    for (bot, word) in (54..).zip(words) {
        let turn = world.turn(1, bot, &format!("The word is {word}. #script:text"));
        world.run(&turn.with_bot("id", json!(bot))).await;
    }
    for (bot, own, other) in [(54, "alpha", "beta"), (55, "beta", "alpha")] {
        let turn = world
            .turn(1, bot + 100, "Which word? #script:remember")
            .with_bot("id", json!(bot));
        let view = world.run(&turn).await;
        assert!(
            view.text.starts_with("I remember: ") && view.text.contains(own),
            "{}",
            view.text
        );
        assert!(!view.text.contains(other), "{}", view.text);
    }
}

/// Wegent makes a token per turn, and a warm app-server has loaded the conversation with the one before.
#[tokio::test]
async fn tools_of_a_warm_conversation_get_the_turns_own_token() {
    let Some(world) = World::build("tools_of_a_warm_conversation_get_the_turns_own_token").await
    else {
        return;
    };
    // Backwards, as the token itself would be redacted.
    let prompt = format!("{WORD} #script:shell\n#cmd:printf %s \"$AUTH_TOKEN\" | rev");
    let mut server = None;
    for (subtask, token) in [
        (2, "token-of-the-first-turn"),
        (3, "token-of-the-second-turn"),
    ] {
        let view = world
            .run(
                &world
                    .turn(1, subtask, &prompt)
                    .with("auth_token", json!(token)),
            )
            .await;
        let backwards: String = token.chars().rev().collect();
        let shown = view.tools().next().and_then(|tool| tool.output.clone());
        assert_eq!(shown, Some(json!(backwards)), "{view:#?}");
        let pid = app_server(&world).pid;
        assert_eq!(
            *server.get_or_insert(pid),
            pid,
            "the app-server was not kept warm"
        );
    }
    let view = world
        .run(&world.turn(1, 4, "Which word? #script:remember"))
        .await;
    assert_eq!(view.text.matches(WORD).count(), 2, "{}", view.text);
}
