//! MCP servers: merged, resolved, reached with their tokens; or told of.

use serde_json::{Value, json};
use testkit::mcp_echo::McpEcho;
use wegent_executor_tests::{AUTH_TOKEN, SKILL_TOKEN};

use super::{AGENTS, completed, real_world};
use crate::MCP_SERVER;

const CALL: &str = "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}";

#[tokio::test]
async fn a_server_is_reached_with_its_resolved_url_and_headers() {
    let Some(world) = real_world(
        "a_server_is_reached_with_its_resolved_url_and_headers",
        |_| {},
    )
    .await
    else {
        return;
    };
    let echo = McpEcho::start().await.unwrap();
    let of_bot = json!({"mcpServers": {"mcp_servers": {
        "docs": {"type": "http", "url": "http://nowhere.invalid", "headers": {"X-Kept": "no"}, "timeout": 30},
    }}});
    let of_tools = json!([{
        "type": "mcp", "server_label": "docs", "server_type": "streamable-http",
        "server_url": "http://${{ task_data.mcp.host }}/mcp",
        "server_auth": {
            "Authorization": "Bearer ${{task_token}}", "X-Task": "${{task_id}}-${{bot.0.id}}",
            "X-Missing": "${{user.nothing}}",
        },
    }]);
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let mut turn = request(&world, task, task + 10, CALL)
            .with_bot("mcp_servers", of_bot.clone())
            .with_bot("id", json!(44))
            .with("task_data", json!({"mcp": {"host": echo.authority()}}));
        turn.0["tools"] = of_tools.clone();
        let view = completed(&world, agent, &turn).await;
        let tool = view.tools().find(|tool| tool.name == "mcp__docs__echo");
        let tool = tool.unwrap_or_else(|| panic!("{agent}: {view:#?}"));
        assert_eq!(tool.status, "done", "{agent}: {tool:#?}");
    }
    let bearer = Some(format!("Bearer {AUTH_TOKEN}"));
    assert_eq!(echo.headers("authorization"), [bearer.clone(), bearer]);
    let tasks = [Some("1-44".to_owned()), Some("2-44".to_owned())];
    assert_eq!(echo.headers("x-task"), tasks);
    let missing = Some("${{user.nothing}}".to_owned());
    assert_eq!(echo.headers("x-missing"), [missing.clone(), missing]);
    assert_eq!(echo.headers("x-kept"), [None, None]);
}

#[tokio::test]
async fn a_skills_server_reaches_codex_under_the_name_that_wegent_gives_it() {
    let test = "a_skills_server_reaches_codex_under_the_name_that_wegent_gives_it";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let echo = McpEcho::start().await.unwrap();
    let server =
        json!({"type": "streamable-http", "url": echo.url(), "bearer_token_env_var": "AUTH_TOKEN"});
    let skills = json!([{"name": "talk", "mcpServers": {"back": server}}]);
    let turn = world.turn(1, 2, CALL).with("skill_configs", skills);
    let view = completed(&world, "codex", &turn).await;
    let names: Vec<_> = view.tools().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["mcp__talk_back__echo"]);
    assert_eq!(
        echo.headers("authorization"),
        [Some(format!("Bearer {AUTH_TOKEN}"))]
    );
}

/// The token stands in the configuration of one server, and in the environment of neither.
#[tokio::test]
async fn a_program_gets_what_its_configuration_gives_it_and_no_tools_token() {
    let test = "a_program_gets_what_its_configuration_gives_it_and_no_tools_token";
    let Some(world) = real_world(test, |_| {}).await else {
        return;
    };
    let server = |env: Value| json!([{"name": "demo", "command": "python3", "args": [MCP_SERVER], "env": env}]);
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        for (subtask, env, said) in [
            (
                1,
                json!({"DEMO_GREETING": "${{ type }}"}),
                "hello, greeting: online, token: none",
            ),
            (
                2,
                json!({"AUTH_TOKEN": "${{task_token}}"}),
                "hello, greeting: none, token: present",
            ),
        ] {
            let turn = request(&world, task, task * 10 + subtask, CALL)
                .with("type", json!("online"))
                .with_bot("mcp_servers", server(env));
            let view = completed(&world, agent, &turn).await;
            let output = view.tools().next().unwrap().output.clone().unwrap();
            assert!(output.to_string().contains(said), "{agent}: {output}");
        }
    }
    assert!(
        !world.executor.log().contains(AUTH_TOKEN) && !world.executor.log().contains(SKILL_TOKEN)
    );
}

#[tokio::test]
async fn a_way_that_an_agent_does_not_know_is_told_of() {
    let Some(world) = real_world("a_way_that_an_agent_does_not_know_is_told_of", |_| {}).await
    else {
        return;
    };
    let servers = json!([
        {"name": "old", "type": "sse", "url": "http://127.0.0.1:9/sse"},
        {"name": "odd", "type": "carrier-pigeon", "url": "http://127.0.0.1:9/"},
        {"name": "shy", "type": "http", "url": "http://127.0.0.1:9/mcp", "oauthClientId": "x"},
    ]);
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = request(&world, task, task + 10, "Go. #script:text")
            .with_bot("mcp_servers", servers.clone());
        let view = completed(&world, agent, &turn).await;
        assert!(
            view.text.contains("`odd` is reached over `carrier-pigeon`"),
            "{agent}: {}",
            view.text
        );
        assert!(
            view.text.contains("`shy` is set up for a login by OAuth"),
            "{agent}: {}",
            view.text
        );
        // Claude Code knows the older form, and says that nobody answers.
        let old = if agent == "codex" {
            "`old` is reached over `sse`"
        } else {
            "`old` could not be started"
        };
        assert!(view.text.contains(old), "{agent}: {}", view.text);
    }
}
