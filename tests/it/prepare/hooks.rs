//! The operator's hooks: before a turn, and around edits.

use std::{fs, path::PathBuf};

use testkit::{model::Options, oracle::Terminal, procs};
use wegent_executor_tests::{Settings, World, private_folder};

use super::{AGENTS, completed, world};

/// A folder with a script in it.
fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = private_folder();
    let path = folder.path().join("hook.sh");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[tokio::test]
async fn a_hook_runs_in_the_workspace_before_the_agent_and_sees_no_secret() {
    let (_folder, hook) = script(
        "echo \"$1|$WEGENT_TASK_DIR|$WEGENT_TASK_ID|${GIT_TOKEN_AES_KEY-unset}|${CALLBACK_URL-unset}\" > hook-was-here",
    );
    let set = |settings: &mut Settings| {
        settings.set("WEGENT_HOOK_PRE_EXECUTE", hook.to_str().unwrap());
    };
    let Some(world) = world(
        "a_hook_runs_in_the_workspace_before_the_agent_and_sees_no_secret",
        set,
    )
    .await
    else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = request(
            &world,
            task,
            task + 10,
            "Look. #script:shell\n#cmd:cat hook-was-here",
        );
        let view = completed(&world, agent, &turn).await;
        let folder = world.workspace(task);
        let folder = folder.display();
        let output = view.tools().next().unwrap().output.clone().unwrap();
        let expected = format!("{folder}|{folder}|{task}|unset|unset");
        let output = output.as_str().unwrap().trim_end();
        assert_eq!(output, expected, "{agent}");
    }
}

#[tokio::test]
async fn a_hook_that_fails_is_shown_with_the_end_of_its_output_and_the_turn_goes_on() {
    let (_folder, hook) = script("seq 100; echo broken >&2; exit 3");
    let set = |settings: &mut Settings| {
        settings.set("WEGENT_HOOK_PRE_EXECUTE", hook.to_str().unwrap());
    };
    let test = "a_hook_that_fails_is_shown_with_the_end_of_its_output_and_the_turn_goes_on";
    let Some(world) = world(test, set).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let view = completed(
            &world,
            agent,
            &request(&world, task, task + 10, "Go. #script:text"),
        )
        .await;
        let shown =
            view.text.contains("99\n> 100\n> broken") || view.text.contains("99\n100\nbroken");
        assert!(
            shown && view.text.contains("pre-execute hook failed"),
            "{agent}: {}",
            view.text
        );
        assert!(!view.text.contains("\n50\n"), "{agent}: {}", view.text);
    }
}

#[tokio::test]
async fn a_required_hook_that_hangs_ends_the_turn_in_time_and_leaves_nothing() {
    let (_folder, hook) = script("sleep 7531 & echo waiting; setsid sleep 7531");
    let set = |settings: &mut Settings| {
        settings.set("WEGENT_HOOK_PRE_EXECUTE", hook.to_str().unwrap());
        settings.set("WEGENT_HOOK_PRE_EXECUTE_TIMEOUT", "2");
        settings.set("WEGENT_HOOK_PRE_EXECUTE_REQUIRED", "true");
    };
    let test = "a_required_hook_that_hangs_ends_the_turn_in_time_and_leaves_nothing";
    let Some(world) = world(test, set).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let view = world
            .run(&request(&world, task, task + 10, "Go. #script:text"))
            .await;
        let Some(Terminal::Failed { message, .. }) = &view.terminal else {
            panic!("{agent}: {view:#?}")
        };
        assert!(
            message.starts_with("pre-execute hook: it took longer than 2 s"),
            "{message}"
        );
        let step = view.tools().next().unwrap();
        assert_eq!(
            (step.name.as_str(), step.status.as_str()),
            ("Prepare", "error"),
            "{agent}"
        );
    }
    assert!(world.model.requests().is_empty(), "an agent was started");
    let sleepers = || {
        let mut all = procs::all();
        all.retain(|proc| proc.command.contains("sleep 7531"));
        all
    };
    procs::wait_until_gone(sleepers, std::time::Duration::from_secs(10))
        .await
        .unwrap();
}

#[tokio::test]
async fn claude_codes_edits_run_the_operators_command_before_and_after() {
    let (folder, hook) =
        script("cat >> \"$(dirname \"$0\")/seen\"; echo >> \"$(dirname \"$0\")/seen\"");
    let set = |settings: &mut Settings| {
        settings.set(
            "WEGENT_FILE_EDIT_HOOK_COMMAND",
            format!("bash {}", hook.display()),
        );
    };
    let test = "claude_codes_edits_run_the_operators_command_before_and_after";
    let Some(world) = World::with_claude(test, Options::default(), set).await else {
        return;
    };
    let view = completed(
        &world,
        "claude code",
        &world.claude_turn(1, 2, "Write. #script:patch"),
    )
    .await;
    assert_eq!(view.tools().next().unwrap().name, "Write");
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    let at = |event: &str| {
        seen.find(event)
            .unwrap_or_else(|| panic!("no {event} in {seen}"))
    };
    assert!(at("PreToolUse") < at("PostToolUse"), "{seen}");
}
