//! Sub-agents, as the person sees them.

use testkit::oracle::{Block, ToolBlock};
use wegent_executor_tests::World;

use super::{TASK, TURN, completed};

#[tokio::test]
async fn a_sub_agent_has_a_block_with_what_it_did_and_the_answer_is_the_main_agents() {
    let test = "a_sub_agent_has_a_block_with_what_it_did_and_the_answer_is_the_main_agents";
    let Some(world) = World::build(test).await else {
        return;
    };
    let prompt = r"Delegate. #script:subagent #cmd:#script:shell\n#cmd:echo from below";
    let view = completed(&world, &world.turn(TASK, TURN, prompt)).await;
    assert_eq!(view.shown_text(), "The sub-agent is done.", "{view:#?}");
    let blocks = view.blocks.iter().filter_map(|block| match block {
        Block::Other { id, block } if block["type"] == "subagent" => Some((id, block)),
        _ => None,
    });
    let blocks: Vec<_> = blocks.collect();
    let [(id, block)] = blocks[..] else {
        panic!("{view:#?}")
    };
    assert_eq!(block["status"], "done", "{block:#}");
    let inner: Vec<&ToolBlock> = view
        .tools()
        .filter(|tool| tool.parent.as_ref() == Some(id))
        .collect();
    let [shell] = inner[..] else {
        panic!("{view:#?}")
    };
    assert_eq!(
        (shell.name.as_str(), &shell.input["command"]),
        ("Bash", &"echo from below".into())
    );
}
