//! Turns that go well.

use std::time::Instant;

use agent_core::{AgentEvent, Bot, NoticeKind, SubagentEvent, Team, ToolEvent};
use agent_core::{McpServer, McpTransport};

use crate::stage::{Stage, outputs, text, turn};

#[tokio::test]
async fn the_cli_says_what_the_model_said_and_remembers_it_in_the_same_process() {
    for (stage, model) in Stage::of_all_versions("talk").await {
        let (events, done) = stage
            .complete(&turn("first #script:commentary_tool_final", &model))
            .await;
        assert_eq!(text(&events), model.spoken().text());
        assert_eq!(Some(done.text.as_str()), model.spoken().final_text());
        let calls = events
            .iter()
            .filter(|event| matches!(event, AgentEvent::Tool(ToolEvent::Started { .. })))
            .count();
        assert_eq!(calls, model.spoken().tools().count());
        let usage = done.usage.unwrap();
        assert!(
            usage.output_tokens > 0 && usage.cost_usd.is_some(),
            "{usage:?}"
        );
        assert!(done.session.is_some());
        let cli = stage.cli().pid;

        let (events, _) = stage
            .complete(&turn("second #script:remember", &model))
            .await;
        assert!(
            text(&events).contains("first #script:commentary_tool_final"),
            "{}",
            text(&events)
        );
        assert_eq!(stage.cli().pid, cli, "the process is kept");
        stage.close().await;
    }
}

#[tokio::test]
async fn a_warm_turn_takes_a_fifth_of_a_cold_ones_time_to_the_first_text() {
    for (stage, model) in Stage::of_all_versions("warm").await {
        let mut times = Vec::new();
        for _ in 0..4 {
            let began = Instant::now();
            let mut first = None;
            let (_handle, cancel) = agent_core::CancelHandle::new();
            let (_, result) = stage
                .run_until(&turn("#script:text", &model), cancel, |event| {
                    if matches!(event, AgentEvent::Text { .. }) {
                        first.get_or_insert_with(|| began.elapsed());
                    }
                })
                .await;
            result.unwrap();
            times.push(first.unwrap());
        }
        eprintln!("first text after {times:?}");
        let warm = times[1..].iter().min().unwrap();
        assert!(*warm * 5 <= times[0], "{times:?}");
        stage.close().await;
    }
}

#[tokio::test]
async fn reasoning_is_told_as_it_is_written_and_before_the_answer() {
    for (stage, model) in Stage::of_all_versions("reasoning").await {
        let (events, done) = stage.complete(&turn("#script:reasoning", &model)).await;
        let thought: String = events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Reasoning { delta, .. } => Some(delta.as_str()),
                _ => None,
            })
            .collect();
        assert!(!thought.is_empty());
        assert!(!done.text.is_empty() && !done.text.contains(&thought));
        stage.close().await;
    }
}

#[tokio::test]
async fn the_system_prompt_reaches_the_model_and_a_changed_one_too() {
    for (stage, model) in Stage::of_all_versions("system prompt").await {
        let mut asked = turn("#script:text", &model);
        for instructions in ["Talk like a pirate-one.", "Talk like a parrot-two."] {
            asked.instructions = Some(instructions.into());
            stage.complete(&asked).await;
            let cli = stage.cli();
            assert!(!cli.command.contains("Talk like"), "{}", cli.command);
            let seen = model.requests();
            let last = seen
                .iter()
                .rev()
                .find(|request| request.body.to_string().contains("system"));
            let body = last.unwrap().body.to_string();
            assert!(body.contains(instructions), "{instructions} is missing");
        }
        stage.close().await;
    }
}

#[tokio::test]
async fn members_of_a_team_are_sub_agents_and_what_they_do_is_told_as_theirs() {
    for (stage, model) in Stage::of_all_versions("members").await {
        let mut asked = turn(
            "#script:subagent #cmd:#script:shell #cmd:echo from-below",
            &model,
        );
        asked.team = Team::Coordinate;
        asked.bots.push(Bot {
            name: "Code Reviewer".into(),
            system_prompt: "You review.".into(),
            ..Bot::default()
        });
        let (events, _) = stage.complete(&asked).await;
        let life: Vec<&SubagentEvent> = events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Subagent(event) => Some(event),
                _ => None,
            })
            .collect();
        assert!(
            matches!(
                life.as_slice(),
                [
                    SubagentEvent::Started { .. },
                    SubagentEvent::Running { .. },
                    SubagentEvent::Finished { .. }
                ]
            ),
            "{life:?}"
        );
        let offered = model
            .requests()
            .iter()
            .any(|request| request.body.to_string().contains("code-reviewer"));
        assert!(offered, "the member is offered to the model");
        stage.close().await;
    }
}

#[tokio::test]
async fn a_sub_agent_in_the_background_belongs_to_its_turn() {
    for (stage, model) in Stage::of_all_versions("background agent").await {
        let (events, _) = stage.complete(&turn("#script:subagent_late", &model)).await;
        let finished = events
            .iter()
            .filter(|event| matches!(event, AgentEvent::Subagent(SubagentEvent::Finished { .. })))
            .count();
        assert_eq!(finished, 1, "{events:#?}");
        let (events, _) = stage.complete(&turn("next #script:echo", &model)).await;
        assert!(text(&events).contains("next"), "{events:?}");
        stage.close().await;
    }
}

#[tokio::test]
async fn an_mcp_server_that_fails_is_told_and_the_turn_runs() {
    for (stage, model) in Stage::of_all_versions("mcp").await {
        let mut asked = turn("#script:text", &model);
        asked.mcp_servers.push(McpServer {
            name: "broken".into(),
            transport: McpTransport::Stdio {
                command: "/nowhere/server".into(),
                args: Vec::new(),
                env: Default::default(),
            },
            bearer_token_variable: None,
            tool_timeout_seconds: None,
            wants_oauth: false,
        });
        let (events, _) = stage.complete(&asked).await;
        let told = events.iter().any(|event| {
            matches!(event, AgentEvent::Notice(notice)
                if notice.kind == NoticeKind::Warning && notice.text.contains("broken"))
        });
        assert!(told, "{events:?}");
        stage.close().await;
    }
}

#[tokio::test]
async fn tools_see_the_image_and_the_tokens_of_their_turn() {
    for (stage, model) in Stage::of_all_versions("tokens").await {
        let mut asked = turn("#script:shell #cmd:echo $IMAGE_SAYS $AUTH_TOKEN", &model);
        let mut cli = None;
        for token in ["token-one", "token-two"] {
            asked.identity.auth_token = Some(token.into());
            let (events, _) = stage.complete(&asked).await;
            assert!(
                outputs(&events).contains(&format!("hello {token}")),
                "{events:?}"
            );
            let pid = stage.cli().pid;
            assert_eq!(*cli.get_or_insert(pid), pid, "the process is kept");
        }
        stage.close().await;
    }
}
