//! Tools: what the model calls is shown, and done.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};
use testkit::oracle::{Block, ToolBlock};
use wegent_executor_tests::{AUTH_TOKEN, TurnBody, World};

use super::completed;

/// The only tool call of a turn.
async fn only_call(world: &World, turn: &TurnBody) -> ToolBlock {
    let view = completed(world, turn).await;
    let [tool] = view.tools().collect::<Vec<_>>()[..] else {
        panic!("one call was expected: {view:#?}")
    };
    tool.clone()
}

fn output(tool: &ToolBlock) -> &str {
    tool.output
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no output: {tool:#?}"))
}

/// Codex drops some of the first output of a command that is quick; the block holds all of it in the end.
#[tokio::test]
async fn a_command_is_shown_bare_and_with_its_whole_output() {
    let Some(world) = World::build("a_command_is_shown_bare_and_with_its_whole_output").await
    else {
        return;
    };
    let lines: String = (1..=2000).map(|line| format!("{line}\n")).collect();
    for (subtask, command, shown) in [
        (2, "echo one; sleep 0.3; echo two", "one\ntwo\n"),
        (6, "echo err >&2", "err\n"),
        (3, "seq 1 2000", lines.as_str()),
        (
            4,
            r#"printf '%s' "it's \$1 \"quoted\"""#,
            r#"it's $1 "quoted""#,
        ),
        (5, "true", ""),
    ] {
        let tool = only_call(
            &world,
            &world.turn(1, subtask, &format!("Run. #script:shell\n#cmd:{command}")),
        )
        .await;
        assert_eq!(
            (tool.name.as_str(), tool.status.as_str()),
            ("Bash", "done"),
            "{tool:#?}"
        );
        assert_eq!(tool.input["command"], command);
        assert_eq!(output(&tool), shown, "{command}");
    }
}

#[tokio::test]
async fn a_command_that_fails_is_an_error_with_its_code() {
    let Some(world) = World::build("a_command_that_fails_is_an_error_with_its_code").await else {
        return;
    };
    let tool = only_call(
        &world,
        &world.turn(1, 2, "Run. #script:shell\n#cmd:echo before; exit 3"),
    )
    .await;
    assert_eq!(
        (tool.name.as_str(), tool.status.as_str()),
        ("Bash", "error"),
        "{tool:#?}"
    );
    assert_eq!(output(&tool), "before\n[exit code 3]");
}

#[tokio::test]
async fn comment_thought_command_and_answer_keep_their_order() {
    let Some(world) = World::build("comment_thought_command_and_answer_keep_their_order").await
    else {
        return;
    };
    let view = completed(
        &world,
        &world.turn(1, 2, "Go. #script:mixed\n#cmd:echo mixed"),
    )
    .await;
    let [
        Block::Text(comment),
        Block::Thinking(_),
        Block::Tool(tool),
        Block::Text(answer),
    ] = view.blocks.as_slice()
    else {
        panic!("{view:#?}")
    };
    assert_eq!(
        (comment.as_str(), output(tool), answer.as_str()),
        ("Let me think about that.", "mixed\n", "Now I know.")
    );
}

#[tokio::test]
async fn calls_side_by_side_have_a_block_each_with_its_own_output() {
    let Some(world) =
        World::build("calls_side_by_side_have_a_block_each_with_its_own_output").await
    else {
        return;
    };
    let view = completed(&world, &world.turn(1, 2, "Go. #script:parallel")).await;
    let calls: BTreeMap<&str, &str> = view
        .tools()
        .map(|tool| (tool.input["command"].as_str().unwrap(), output(tool)))
        .collect();
    assert_eq!(
        calls,
        BTreeMap::from([("echo B", "B\n"), ("sleep 0.2; echo A", "A\n")])
    );
    assert_eq!(view.tool_counts(), BTreeMap::from([("Bash", 2)]));
}

/// Codex has a tool for patches with models that it knows, and a command of that name for the others.
#[tokio::test]
async fn an_edit_is_on_disk_and_on_its_card() {
    let Some(world) = World::build("an_edit_is_on_disk_and_on_its_card").await else {
        return;
    };
    for (task, model) in [(1, "scripted-model"), (2, "gpt-5.5")] {
        let asked = |subtask, prompt: &str| world.turn(task, subtask, prompt).with_model(model);
        let folder = world.workspace(task);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.txt"), "first\nold\nlast\n").unwrap();

        let tool = only_call(
            &world,
            &asked(task * 10, "Edit. #script:edit\n#cmd:a.txt|old|new"),
        )
        .await;
        assert_eq!(
            (tool.name.as_str(), tool.status.as_str()),
            ("Edit", "done"),
            "{model}: {tool:#?}"
        );
        assert_eq!(
            PathBuf::from(tool.input["file_path"].as_str().unwrap()),
            folder.join("a.txt"),
            "{model}"
        );
        let side = |name: &str| tool.input[name].as_str().unwrap().to_owned();
        assert!(
            side("old_string").contains("old\n") && !side("old_string").contains("new"),
            "{model}: {tool:#?}"
        );
        assert!(
            side("new_string").contains("new\n") && !side("new_string").contains("old"),
            "{model}: {tool:#?}"
        );
        assert_eq!(
            fs::read_to_string(folder.join("a.txt")).unwrap(),
            "first\nnew\nlast\n",
            "{model}"
        );

        let tool = only_call(&world, &asked(task * 10 + 1, "Write. #script:patch")).await;
        assert_eq!(
            (tool.name.as_str(), tool.status.as_str()),
            ("Write", "done"),
            "{model}: {tool:#?}"
        );
        assert_eq!(
            tool.input["content"], "hello\nfrom the model \u{2728}\n",
            "{model}"
        );
        let written = fs::read_to_string(folder.join("hello_model.txt")).unwrap();
        assert_eq!(written, "hello\nfrom the model \u{2728}\n", "{model}");
    }
}

#[tokio::test]
async fn a_plan_is_shown_as_a_list_of_things_to_do() {
    let Some(world) = World::build("a_plan_is_shown_as_a_list_of_things_to_do").await else {
        return;
    };
    let tool = only_call(&world, &world.turn(1, 2, "Plan. #script:plan")).await;
    assert_eq!(
        (tool.name.as_str(), tool.status.as_str()),
        ("TodoWrite", "done"),
        "{tool:#?}"
    );
    let todos = tool.input["todos"].as_array().unwrap();
    let shown: Vec<_> = todos
        .iter()
        .map(|todo| {
            (
                todo["content"].as_str().unwrap(),
                todo["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("look", "completed"),
            ("act", "in_progress"),
            ("tell", "pending")
        ]
    );
}

#[tokio::test]
async fn a_web_search_shows_what_was_looked_for() {
    let Some(world) = World::build("a_web_search_shows_what_was_looked_for").await else {
        return;
    };
    let tool = only_call(&world, &world.turn(1, 2, "Search. #script:websearch")).await;
    assert_eq!(
        (tool.name.as_str(), tool.status.as_str()),
        ("WebSearch", "done"),
        "{tool:#?}"
    );
    assert_eq!(tool.input["query"], "scripted weather");
}

/// Both places of a request in which a server can stand.
#[tokio::test]
async fn an_mcp_server_of_the_request_is_called_with_its_own_environment() {
    let Some(world) =
        World::build("an_mcp_server_of_the_request_is_called_with_its_own_environment").await
    else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/mcp_server.py");
    let of_bot = json!([{
        "name": "demo", "type": "stdio", "command": "python3", "args": [script], "env": {"DEMO_GREETING": "from the bot"},
    }]);
    let of_tools = json!([{
        "type": "mcp", "server_label": "demo", "server_url": "", "server_type": "streamable-http",
        "require_approval": "never", "command": "python3", "args": [script], "env": {"DEMO_GREETING": "from the tools"},
    }]);
    let first = world
        .turn(1, 2, "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}")
        .with_bot("mcp_servers", of_bot);
    let mut second = world.turn(2, 3, "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}");
    second.0["tools"] = of_tools;
    let failing = world.turn(2, 4, "Call. #script:mcp\n#cmd:{\"text\":\"boom\"}");
    let failing = TurnBody({
        let mut body = failing.0;
        body["tools"] = second.0["tools"].clone();
        body
    });
    for (turn, status, said) in [
        (first, "done", "hello, greeting: from the bot, token: none"),
        (
            second,
            "done",
            "hello, greeting: from the tools, token: none",
        ),
        (failing, "error", "it broke"),
    ] {
        let tool = only_call(&world, &turn).await;
        assert_eq!(
            (tool.name.as_str(), tool.status.as_str()),
            ("mcp__demo__echo", status),
            "{tool:#?}"
        );
        assert!(output(&tool).contains(said), "{tool:#?}");
        assert!(!output(&tool).contains(AUTH_TOKEN));
        assert!(tool.input["text"].is_string(), "{tool:#?}");
    }
}
