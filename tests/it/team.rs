//! A team in coordinate mode: the members' prompts reach both agents' sub-agents, and nothing of them lies in the
//! repository.

use serde_json::{Value, json};
use testkit::{View, model::Options, oracle::Block};
use wegent_executor_tests::{TurnBody, World};

const TASK: i64 = 1;
const TURN: i64 = 2;
/// What the member is told. It occurs nowhere else.
const PROMPT: &str = "You say \"no\" to\neverything, always.";

/// The turn of a team: the bot of the request leads two more.
fn of_a_team(turn: TurnBody) -> TurnBody {
    let mut turn = turn.with("mode", json!("coordinate"));
    let bots = turn.0["metadata"]["bot"].as_array_mut().unwrap();
    let shell = bots[0]["shell_type"].clone();
    for (id, name, prompt) in [(71, "Code Reviewer", PROMPT), (72, "Worker", "You work.")] {
        bots.push(json!({
            "id": id, "name": name, "shell_type": shell, "system_prompt": prompt, "role": "worker", "agent_config": {},
            "mcp_servers": [], "skills": [],
        }));
    }
    turn
}

/// Runs the turn and gives the requests in which the model was told the member's prompt as such.
async fn told_members(
    world: &World,
    turn: TurnBody,
    prompt: impl Fn(&Value) -> bool,
) -> (View, usize) {
    let view = world.run(&of_a_team(turn)).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    let requests = world.model.requests();
    let bodies = requests.iter().map(|request| &request.body);
    (view, bodies.filter(|body| prompt(body)).count())
}

/// One sub-agent was at work, and nothing is left of it in the working folder.
fn had_one_sub_agent(world: &World, view: &View) {
    let blocks = view.blocks.iter().filter_map(|block| match block {
        Block::Other { block, .. } if block["type"] == "subagent" => Some(&block["status"]),
        _ => None,
    });
    assert_eq!(blocks.collect::<Vec<_>>(), ["done"], "{view:#?}");
    let left = std::fs::read_dir(world.workspace(TASK)).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != ".wegent-executor").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn codex_gives_a_members_prompt_to_the_sub_agent_that_takes_its_role() {
    let test = "codex_gives_a_members_prompt_to_the_sub_agent_that_takes_its_role";
    let Some(world) = World::build(test).await else {
        return;
    };
    let call = json!({"message": "Review it. #script:text", "agent_type": "code-reviewer"});
    let prompt = format!("Delegate. #script:tool\n#cmd:spawn_agent {call}");
    let turn = world.turn(TASK, TURN, &prompt);
    let told = |body: &Value| {
        let items = body["input"].as_array().into_iter().flatten();
        let texts = items
            .filter(|item| item["role"] == "developer")
            .filter_map(|item| item["content"].as_array())
            .flatten()
            .filter_map(|part| part["text"].as_str());
        texts.into_iter().any(|text| text.contains(PROMPT))
    };
    let (view, count) = told_members(&world, turn, told).await;
    assert_eq!(count, 1, "{view:#?}");
    had_one_sub_agent(&world, &view);
    let leader = world.model.requests()[0].body.to_string();
    for told in ["You lead a team", "`code-reviewer`", "`worker-member`"] {
        assert!(leader.contains(told), "{told} is missing: {leader}");
    }
}

#[tokio::test]
async fn claude_code_gives_a_members_prompt_to_the_sub_agent_of_its_name() {
    let test = "claude_code_gives_a_members_prompt_to_the_sub_agent_of_its_name";
    let Some(world) = World::with_claude(test, Options::default(), |_| {}).await else {
        return;
    };
    let call = json!({
        "description": "Review", "subagent_type": "code-reviewer", "prompt": "Review it. #script:text",
        "run_in_background": false,
    });
    let prompt = format!("Delegate. #script:tool\n#cmd:Agent {call}");
    let turn = world.claude_turn(TASK, TURN, &prompt);
    let told = |body: &Value| {
        let parts = body["system"].as_array().into_iter().flatten();
        parts
            .filter_map(|part| part["text"].as_str())
            .any(|text| text.contains(PROMPT))
    };
    let (view, count) = told_members(&world, turn, told).await;
    assert_eq!(count, 1, "{view:#?}");
    had_one_sub_agent(&world, &view);
}
