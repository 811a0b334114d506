//! Whichever agent does it, the same work gives the same callbacks in kind.

use testkit::model::Options;
use wegent_executor_tests::{TurnBody, World};

/// The callbacks of a turn in kind, in order. Neighbours of one kind are one: how text is cut into chunks, and in how many
/// steps a block comes about, is the agent's own affair.
fn kinds(world: &World, subtask: i64) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for callback in world.backend.callbacks(subtask) {
        let data = callback.data();
        let kind = match callback.event_type() {
            "response.created" => "created".to_owned(),
            "response.output_text.delta" => "text".to_owned(),
            "response.reasoning_summary_text.delta" => "thinking".to_owned(),
            "response.block.created" => {
                let block = &data["block"];
                let name = block["tool_name"].as_str().unwrap_or_default();
                format!("{} {name}", block["type"].as_str().unwrap_or_default())
            }
            "response.block.updated" => match data["updates"]["status"].as_str() {
                Some("done" | "error") => "over".to_owned(),
                _ => "updated".to_owned(),
            },
            "response.completed" => "completed".to_owned(),
            "response.incomplete" => "cancelled".to_owned(),
            "error" => format!("error {}", data["code"].as_str().unwrap_or_default()),
            other => other.to_owned(),
        };
        // What a block shows before it is over may come in any number of steps, or in none.
        if kind != "updated" && kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

type Request = fn(&World, i64, i64, &str) -> TurnBody;

#[tokio::test]
async fn the_same_request_gives_the_same_callbacks_in_kind() {
    let test = "the_same_request_gives_the_same_callbacks_in_kind";
    if testkit::cli::require_codex(test).is_none() {
        return;
    }
    let once = |settings: &mut wegent_executor_tests::Settings| {
        settings.set("CLAUDE_CODE_MAX_RETRIES", "0");
    };
    let Some(world) = World::with_claude(test, Options::default(), once).await else {
        return;
    };
    let agents: [(&str, Request); 2] =
        [("codex", World::turn), ("claude code", World::claude_turn)];
    let cases: [(&str, &[&str]); 6] = [
        ("#script:text", &["created", "text", "completed"]),
        (
            "#script:reasoning",
            &["created", "thinking", "text", "completed"],
        ),
        (
            "#script:commentary_tool_final",
            &["created", "text", "tool Bash", "over", "text", "completed"],
        ),
        (
            "#script:shell\n#cmd:echo one; exit 3",
            &["created", "text", "tool Bash", "over", "text", "completed"],
        ),
        (
            "#script:patch",
            &["created", "tool Write", "over", "text", "completed"],
        ),
        ("#script:err401", &["created", "error forbidden"]),
    ];
    let mut wrong = Vec::new();
    for (task, (script, expected)) in (1..).zip(cases) {
        for (offset, (agent, request)) in (0..).zip(agents) {
            // A task belongs to one agent.
            let (task, subtask) = (task * 10 + offset, task * 1000 + offset);
            let turn = request(&world, task, subtask, &format!("Go. {script}"));
            world.run(&turn).await;
            let seen = kinds(&world, subtask);
            if seen != expected {
                wrong.push(format!("{script} by {agent}: {seen:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a base image brings for its tools reaches them; what it keeps secret does not.
#[tokio::test]
async fn shells_of_both_agents_see_what_the_base_image_brings_and_no_secret() {
    let test = "shells_of_both_agents_see_what_the_base_image_brings_and_no_secret";
    if testkit::cli::require_codex(test).is_none() {
        return;
    }
    let image = |settings: &mut wegent_executor_tests::Settings| {
        let home = std::path::PathBuf::from(&settings.env["HOME"]);
        std::fs::write(home.join(".npmrc"), "registry=https://npm.example/\n").unwrap();
        settings.set("NPM_TOKEN", "npm-secret-token-5521");
        settings.set("DB_PASSWORD", "database-secret-8812");
    };
    let Some(world) = World::with_claude(test, Options::default(), image).await else {
        return;
    };
    let command = r#"echo "$JAVA_HOME|$(cat ~/.npmrc)|${NPM_TOKEN-unset}|${DB_PASSWORD-unset}|${GIT_TOKEN_AES_KEY-unset}""#;
    let prompt = format!("Run. #script:shell\n#cmd:{command}");
    for turn in [
        world.turn(1, 11, &prompt),
        world.claude_turn(2, 12, &prompt),
    ] {
        let view = world.run(&turn).await;
        assert!(view.completed(), "{view:#?}");
        let output = view.tools().next().unwrap().output.clone().unwrap();
        let seen = output.as_str().unwrap().trim();
        let expected = "/opt/image/java|registry=https://npm.example/|unset|unset|unset";
        assert_eq!(seen, expected, "{}", turn.subtask());
    }
}
