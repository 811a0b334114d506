//! Sub-agents of the real CLI.

use std::time::Duration;

use agent_core::{
    Agent, AgentEvent, Bot, CancelHandle, CancelReason, Outcome, StopStep, SubagentEvent, Team,
    ToolCallId, ToolEvent, ToolStatus,
};
use testkit::{ModelServer, model::Options, procs};

use crate::stage::{Stage, text, turn};

/// The sub-agents' blocks: call, and how they ended.
fn ended(events: &[AgentEvent]) -> Vec<(ToolCallId, ToolStatus)> {
    let ends = events.iter().filter_map(|event| match event {
        AgentEvent::Subagent(SubagentEvent::Finished { call, status, .. }) => {
            Some((call.clone(), *status))
        }
        _ => None,
    });
    ends.collect()
}

/// What sub-agents said.
fn said_by_subagents(events: &[AgentEvent]) -> String {
    let parts = events.iter().filter_map(|event| match event {
        AgentEvent::Text {
            parent: Some(_),
            delta,
            ..
        } => Some(delta.as_str()),
        _ => None,
    });
    parts.collect()
}

#[tokio::test]
async fn what_a_sub_agent_does_belongs_to_its_block_and_not_to_the_answer() {
    let test = "what_a_sub_agent_does_belongs_to_its_block_and_not_to_the_answer";
    let Some(codex) = testkit::cli::require_codex(test) else {
        return;
    };
    let model = ModelServer::start(Options::default()).await.unwrap();
    let stage = Stage::new(&codex, |_| {});
    let prompt = r"delegate #script:subagent #cmd:#script:shell\n#cmd:echo from below";
    let (events, result) = stage.run(&turn(prompt, Some(model.base_url()))).await;
    let Ok(Outcome::Completed(done)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(done.text, "The sub-agent is done.");
    assert_eq!(text(&events), done.text);
    let ends = ended(&events);
    let [(call, ToolStatus::Done)] = ends.as_slice() else {
        panic!("{ends:?}")
    };
    assert!(
        said_by_subagents(&events).contains("from below"),
        "{events:?}"
    );
    let shells: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Tool(ToolEvent::Started { parent, name, .. }) if name == "Bash" => {
                Some(parent.as_ref())
            }
            _ => None,
        })
        .collect();
    assert_eq!(shells, [Some(call)]);
    // Its tokens are the turn's, too: a request for each of spawn, wait, answer, shell, its answer.
    assert_eq!(done.usage.unwrap().input_tokens, 500);
}

#[tokio::test]
async fn a_turn_lasts_until_its_sub_agents_are_done() {
    let test = "a_turn_lasts_until_its_sub_agents_are_done";
    let Some(codex) = testkit::cli::require_codex(test) else {
        return;
    };
    let model = ModelServer::start(Options::default()).await.unwrap();
    let stage = Stage::new(&codex, |_| {});
    let prompt = r"delegate #script:subagent_late #cmd:#script:shell\n#cmd:sleep 1; touch made";
    let (events, result) = stage.run(&turn(prompt, Some(model.base_url()))).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    assert!(
        matches!(ended(&events).as_slice(), [(_, ToolStatus::Done)]),
        "{events:?}"
    );
    assert!(stage.workspace.cwd.join("made").exists());
}

#[tokio::test]
async fn a_cancel_ends_what_sub_agents_do_and_the_server_is_kept() {
    let test = "a_cancel_ends_what_sub_agents_do_and_the_server_is_kept";
    let Some(codex) = testkit::cli::require_codex(test) else {
        return;
    };
    let model = ModelServer::start(Options::default()).await.unwrap();
    let stage = Stage::new(&codex, |_| {});
    let prompt = r"delegate #script:subagent #cmd:#script:loop\n#cmd:sleep 0.2; date";
    let (handle, cancel) = CancelHandle::new();
    let ask = |prompt: &str| turn(prompt, Some(model.base_url()));
    let (events, result) = stage
        .run_until(&ask(prompt), cancel, |event| {
            if matches!(event, AgentEvent::Tool(ToolEvent::Finished { .. })) {
                handle.cancel(CancelReason::User);
            }
        })
        .await;
    let Ok(Outcome::Cancelled {
        stopped_by: StopStep::Protocol,
        survivors: 0,
        ..
    }) = result
    else {
        panic!("{result:?}")
    };
    assert!(
        matches!(ended(&events).as_slice(), [(_, ToolStatus::Failed)]),
        "{events:?}"
    );
    let asked = model.requests().len();
    let goes_on = model.wait_for(Duration::from_secs(1), |all| all.len() > asked);
    assert!(!goes_on.await, "the sub-agent works on");
    let (events, _) = stage.run(&ask("again #script:text")).await;
    assert_eq!(ended(&events), []);
    stage.agent.shutdown().await;
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(4))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_members_prompt_reaches_the_sub_agent_that_takes_its_role() {
    let test = "a_members_prompt_reaches_the_sub_agent_that_takes_its_role";
    let Some(codex) = testkit::cli::require_codex(test) else {
        return;
    };
    let model = ModelServer::start(Options::default()).await.unwrap();
    let stage = Stage::new(&codex, |_| {});
    let call =
        r#"#script:tool #cmd:spawn_agent {"message": "review it", "agent_type": "code-reviewer"}"#;
    let mut asked = turn(call, Some(model.base_url()));
    let member = |name: &str, prompt: &str| Bot {
        name: name.into(),
        system_prompt: prompt.into(),
        ..Bot::default()
    };
    asked.team = Team::Coordinate;
    asked.bots.extend([
        member("Code Reviewer", "You say \"no\" to\neverything, \\ always."),
        member("Worker", "You work."),
    ]);
    let (events, result) = stage.run(&asked).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    assert!(
        matches!(ended(&events).as_slice(), [(_, ToolStatus::Done)]),
        "{events:?}"
    );
    let requests = model.requests();
    let bodies: Vec<String> = requests
        .iter()
        .filter(|request| request.path.ends_with("/responses"))
        .map(|request| request.body.to_string())
        .collect();
    let leader = bodies.first().unwrap();
    for told in ["You lead a team", "`code-reviewer`", "worker-member: {"] {
        assert!(leader.contains(told), "{told} is missing: {leader}");
    }
    let prompt = r#"You say \"no\" to\neverything, \\ always."#;
    assert!(!leader.contains(prompt));
    let reviewers = bodies.iter().filter(|body| body.contains(prompt)).count();
    assert_eq!(reviewers, 1, "{bodies:#?}");
    let left: Vec<_> = std::fs::read_dir(&stage.workspace.cwd).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
