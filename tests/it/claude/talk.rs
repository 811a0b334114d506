//! Turns that go well, and providers that don't.

use std::{fs, time::Instant};

use serde_json::json;
use testkit::{
    View,
    model::{Options, Script},
    oracle::Block,
};
use wegent_executor_tests::{API_KEY, World};

use super::{TASK, TURN, claude, completed, error, impatient, shell, world};
use crate::MCP_SERVER;

#[tokio::test]
async fn text_streams_and_the_key_reaches_the_provider_only() {
    let Some(world) = world("text_streams_and_the_key_reaches_the_provider_only").await else {
        return;
    };
    let turn = world.claude_turn(TASK, TURN, "Hello. #script:text");
    let view = completed(&world, &turn).await;
    assert!(
        matches!(view.blocks.as_slice(), [Block::Text(_)]),
        "{view:#?}"
    );
    let asked = world.model.requests();
    let asked: Vec<_> = asked
        .iter()
        .filter(|request| request.path.ends_with("/messages"))
        .collect();
    assert!(!asked.is_empty());
    for request in asked {
        assert_eq!(request.api_key(), Some(API_KEY));
        assert_eq!(request.header("wegent-agent-name"), Some("e2e-team"));
    }
}

#[tokio::test]
async fn thinking_is_shown_before_the_answer() {
    let Some(world) = world("thinking_is_shown_before_the_answer").await else {
        return;
    };
    let turn = world.claude_turn(TASK, TURN, "Think. #script:reasoning");
    let view = completed(&world, &turn).await;
    let spoken = world.model.spoken();
    assert_eq!(
        view.reasoning,
        spoken.reasoning().collect::<Vec<_>>().join("\n\n")
    );
    assert!(
        matches!(view.blocks.as_slice(), [Block::Thinking(_), Block::Text(_)]),
        "{view:#?}"
    );
}

#[tokio::test]
async fn a_command_is_run_in_the_workspace_and_shown_with_its_output() {
    let test = "a_command_is_run_in_the_workspace_and_shown_with_its_output";
    let Some(world) = world(test).await else {
        return;
    };
    let view = completed(&world, &shell(&world, "echo out; pwd | tee here")).await;
    let tool = view.tools().next().unwrap();
    assert_eq!((tool.name.as_str(), tool.status.as_str()), ("Bash", "done"));
    assert_eq!(tool.input["command"], "echo out; pwd | tee here");
    let folder = world.workspace(TASK);
    assert_eq!(
        tool.output,
        Some(json!(format!("out\n{}", folder.display()))),
        "{tool:#?}"
    );
    assert!(folder.join("here").is_file());
    assert!(
        matches!(
            view.blocks.as_slice(),
            [Block::Text(_), Block::Tool(_), Block::Text(_)]
        ),
        "{view:#?}"
    );
}

#[tokio::test]
async fn an_edit_is_on_disk_and_on_its_card() {
    let Some(world) = world("an_edit_is_on_disk_and_on_its_card").await else {
        return;
    };
    let folder = world.workspace(TASK);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.txt"), "first\nold\nlast\n").unwrap();
    let turn = world.claude_turn(TASK, TURN, "Edit. #script:edit\n#cmd:a.txt|old|new");
    let view = completed(&world, &turn).await;
    let edit = view.tools().find(|tool| tool.name == "Edit").unwrap();
    assert_eq!(edit.status, "done", "{edit:#?}");
    assert_eq!(
        edit.input["file_path"],
        json!(folder.join("a.txt").display().to_string())
    );
    assert_eq!(
        fs::read_to_string(folder.join("a.txt")).unwrap(),
        "first\nnew\nlast\n"
    );
}

#[tokio::test]
async fn parallel_calls_are_shown_with_an_output_each() {
    let Some(world) = world("parallel_calls_are_shown_with_an_output_each").await else {
        return;
    };
    let turn = world.claude_turn(TASK, TURN, "Both. #script:parallel");
    let view = completed(&world, &turn).await;
    let tools: Vec<_> = view.tools().collect();
    assert_eq!(tools.len(), 2, "{view:#?}");
    assert_ne!(tools[0].output, tools[1].output, "{view:#?}");
    assert!(tools.iter().all(|tool| tool.status == "done"), "{view:#?}");
}

#[tokio::test]
async fn an_mcp_server_of_the_request_is_called_and_its_failure_shown() {
    let test = "an_mcp_server_of_the_request_is_called_and_its_failure_shown";
    let Some(world) = world(test).await else {
        return;
    };
    let servers = json!([{
        "name": "demo", "type": "stdio", "command": "python3", "args": [MCP_SERVER], "env": {"DEMO_GREETING": "from the bot"},
    }]);
    for (subtask, text, status, said) in [
        (TURN, "hello", "done", "hello, greeting: from the bot"),
        (TURN + 1, "boom", "error", "it broke"),
    ] {
        let prompt = format!("Call. #script:mcp\n#cmd:{{\"text\":\"{text}\"}}");
        let turn = world
            .claude_turn(TASK, subtask, &prompt)
            .with_bot("mcp_servers", servers.clone());
        let view = world.run(&turn).await;
        assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
        let tool = view
            .tools()
            .find(|tool| tool.name == "mcp__demo__echo")
            .unwrap_or_else(|| panic!("{view:#?}\n{}", world.executor.log()));
        assert_eq!(tool.status, status, "{tool:#?}");
        let output = tool.output.clone().unwrap_or_default().to_string();
        assert!(output.contains(said), "{tool:#?}");
    }
}

#[tokio::test]
async fn graphemes_and_sequences_that_are_split_arrive_whole() {
    let Some(world) = world("graphemes_and_sequences_that_are_split_arrive_whole").await else {
        return;
    };
    let turn = world.claude_turn(TASK, TURN, "Write. #script:unicode");
    let view = completed(&world, &turn).await;
    assert!(!view.text.is_ascii() && !view.text.contains('\u{fffd}'));
}

/// Dispatches every script as a task of its own and gives their views in order.
async fn all_at_once(world: &World, scripts: &[&str]) -> Vec<View> {
    for (task, script) in (1..).zip(scripts) {
        let turn = world.claude_turn(task, task + 100, &format!("Go. #script:{script}"));
        world.dispatch(&turn).await;
    }
    let mut views = Vec::new();
    for (task, _) in (1..).zip(scripts) {
        views.push(world.finished(task + 100).await);
    }
    views
}

#[tokio::test]
async fn every_failure_of_a_provider_has_its_code() {
    let test = "every_failure_of_a_provider_has_its_code";
    let Some(world) = World::with_claude(test, Options::default(), impatient).await else {
        return;
    };
    let cases = [
        ("err401", "forbidden"),
        ("err429", "rate_limit"),
        ("err529", "model_unavailable"),
        ("context_full", "context_length_exceeded"),
    ];
    let views = all_at_once(&world, &cases.map(|(script, _)| script)).await;
    for ((script, code), view) in cases.iter().zip(&views) {
        let (found, message) = error(view);
        println!("{script}: {found}: {message}");
        assert_eq!(found, *code, "{script}: {message}");
        assert!(!message.trim().is_empty() && !message.contains(API_KEY));
        assert_eq!((view.attempts, view.text.as_str()), (1, ""), "{view:#?}");
    }
}

/// The executor tries a turn again that claude stumbled over; the model's default makes all of them fail alike.
#[tokio::test]
async fn a_connection_that_never_holds_fails_the_turn_and_its_text_is_shown_once() {
    let test = "a_connection_that_never_holds_fails_the_turn_and_its_text_is_shown_once";
    let options = Options {
        script: Script::Disconnect,
        ..Options::default()
    };
    let Some(world) = World::with_claude(test, options, impatient).await else {
        return;
    };
    let view = world.run(&world.claude_turn(TASK, TURN, "Go.")).await;
    let (code, message) = error(&view);
    println!("{code}: {message}");
    // It asks once more without a stream, and an answer of nothing comes.
    assert_eq!(code, "network_error", "{message}");
    assert!(!message.trim().is_empty() && !message.contains(API_KEY));
    assert!(world.model.spoken().0.len() > 1, "it was said once only");
    let said = "Hello this will be cut";
    assert!(view.text.starts_with(said), "{}", view.text);
    assert_eq!(view.text.matches(said).count(), 1, "{}", view.text);
}

#[tokio::test]
async fn a_provider_that_makes_one_wait_is_told_of_once() {
    let test = "a_provider_that_makes_one_wait_is_told_of_once";
    let Some(world) = world(test).await else {
        return;
    };
    let turn = world.claude_turn(TASK, TURN, "Go. #script:err429\n#cmd:times=3");
    let view = world.run(&turn).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    let told = "The model's provider answers with HTTP 429; the request is tried again.";
    assert_eq!(view.text.matches(told).count(), 1, "{}", view.text);
    assert!(
        view.text.ends_with("Recovered after a fault."),
        "{}",
        view.text
    );
}

#[tokio::test]
async fn a_connection_that_breaks_once_shows_what_was_said_twice_once() {
    let test = "a_connection_that_breaks_once_shows_what_was_said_twice_once";
    let Some(world) = world(test).await else {
        return;
    };
    let turn = world.claude_turn(TASK, TURN, "Go. #script:disconnect_equal_once");
    let view = completed(&world, &turn).await;
    assert_eq!(world.model.spoken().0.len(), 2);
    assert_eq!(view.text, "The quick brown fox jumps over the lazy dog.");
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_a_network_error() {
    let test = "a_provider_that_is_not_there_is_a_network_error";
    let Some(world) = World::with_claude(test, Options::default(), impatient).await else {
        return;
    };
    let mut turn = world.claude_turn(TASK, TURN, "Go.");
    // Nobody listens on the port for discarding things.
    turn.0["model_config"]["base_url"] = json!("http://127.0.0.1:9");
    let view = world.run(&turn).await;
    let (code, message) = error(&view);
    println!("{code}: {message}");
    assert_eq!(code, "network_error", "{message}");
}

#[tokio::test]
async fn a_warm_turn_is_in_the_same_process_and_shows_its_first_text_sooner() {
    let test = "a_warm_turn_is_in_the_same_process_and_shows_its_first_text_sooner";
    let Some(world) = world(test).await else {
        return;
    };
    let mut times = Vec::new();
    let mut process = None;
    for subtask in TURN..TURN + 4 {
        let turn = world.claude_turn(TASK, subtask, "Hello. #script:text");
        let from = Instant::now();
        world.dispatch(&turn).await;
        world
            .wait_for(subtask, "text is shown", |view| !view.text.is_empty())
            .await;
        times.push(from.elapsed());
        assert!(world.finished(subtask).await.completed());
        let pid = claude(&world).pid;
        assert_eq!(*process.get_or_insert(pid), pid, "it was not kept warm");
    }
    let warm = times[1..].iter().min().unwrap();
    println!(
        "dispatch to first text: cold {:?}, warm {:?}, a {:.1}th",
        times[0],
        &times[1..],
        times[0].as_secs_f64() / warm.as_secs_f64()
    );
}

#[tokio::test]
async fn a_request_may_forbid_tools_and_limit_the_round_trips() {
    let test = "a_request_may_forbid_tools_and_limit_the_round_trips";
    let Some(world) = world(test).await else {
        return;
    };
    let turn = world
        .claude_turn(TASK, TURN, "Which? #script:tools_list")
        .with("disallowed_tools", json!(["Bash"]));
    let view = world.run(&turn).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert!(
        view.text.contains("Read") && !view.text.contains("Bash"),
        "{}",
        view.text
    );
    let turn = world
        .claude_turn(TASK, TURN + 1, "Go on. #script:loop")
        .with("max_turns", json!(2));
    let view = world.run(&turn).await;
    assert!(super::error(&view).1.contains("2"), "{view:#?}");
    assert_eq!(view.tools().count(), 2, "{view:#?}");
}
