//! The operator's hooks: before a turn, and around edits.

use std::{fs, path::PathBuf};

use testkit::{oracle::Terminal, procs};
use wegent_executor_tests::{Settings, private_folder};

use super::{AGENTS, completed, real_world};

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
    let Some(world) = real_world(
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
    let Some(world) = real_world(test, set).await else {
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
    let Some(world) = real_world(test, set).await else {
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

/// A command that notes what it reads in `seen`, and how it is set.
fn noting(script: &std::path::Path) -> impl Fn(&mut Settings) {
    let command = format!("bash {}", script.display());
    move |settings| {
        settings.set("WEGENT_FILE_EDIT_HOOK_COMMAND", command.clone());
        settings.set("WEGENT_FILE_EDIT_HOOK_TIMEOUT", "20");
    }
}

#[tokio::test]
async fn edits_run_the_operators_command_before_and_after() {
    let test = "edits_run_the_operators_command_before_and_after";
    let (folder, hook) =
        script("cat >> \"$(dirname \"$0\")/seen\"; echo >> \"$(dirname \"$0\")/seen\"");
    let Some(world) = real_world(test, noting(&hook)).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = request(&world, task, task + 10, "Write. #script:patch");
        let view = completed(&world, agent, &turn).await;
        assert_eq!(view.tools().next().unwrap().name, "Write");
        let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
        fs::remove_file(folder.path().join("seen")).unwrap();
        let events: Vec<serde_json::Value> = seen
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let names: Vec<_> = events
            .iter()
            .map(|event| &event["hook_event_name"])
            .collect();
        assert_eq!(names, ["PreToolUse", "PostToolUse"], "{agent}: {seen}");
        for event in events {
            let path = event["tool_input"]["file_path"].as_str().unwrap();
            assert!(path.ends_with("hello_model.txt"), "{agent}: {event}");
            assert_eq!(event["tool_name"], "Write", "{agent}: {event}");
        }
    }
}

#[tokio::test]
async fn a_required_command_that_fails_holds_back_the_edit_or_ends_the_turn() {
    let test = "a_required_command_that_fails_holds_back_the_edit_or_ends_the_turn";
    let (_folder, hook) = script("echo 'no edits today' >&2; exit 1");
    let required = |settings: &mut Settings| {
        noting(&hook)(settings);
        settings.set("WEGENT_FILE_EDIT_HOOK_REQUIRED", "true");
    };
    let Some(world) = real_world(test, required).await else {
        return;
    };
    let view = world.run(&world.turn(1, 11, "Write. #script:patch")).await;
    let Some(Terminal::Failed { message, .. }) = &view.terminal else {
        panic!("{view:#?}")
    };
    assert!(
        message.starts_with("file-edit hook: it ended with") && message.contains("no edits today"),
        "{message}"
    );
    let turn = world.claude_turn(2, 12, "Write. #script:patch");
    let view = completed(&world, "claude code", &turn).await;
    let tool = view.tools().next().unwrap();
    assert_eq!(tool.status, "error", "{tool:#?}");
    assert!(
        format!("{:?}", tool.output).contains("no edits today"),
        "{tool:#?}"
    );
    assert!(!world.workspace(2).join("hello_model.txt").exists());
}

#[tokio::test]
async fn a_command_that_fails_is_told_of_and_the_turn_goes_on() {
    let test = "a_command_that_fails_is_told_of_and_the_turn_goes_on";
    let (_folder, hook) = script("echo 'cannot count' >&2; exit 4");
    let Some(world) = real_world(test, noting(&hook)).await else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = request(&world, task, task + 10, "Write. #script:patch");
        let view = completed(&world, agent, &turn).await;
        assert!(
            view.text.contains("file-edit hook failed") && view.text.contains("cannot count"),
            "{agent}: {}",
            view.text
        );
        let written = world.workspace(task).join("hello_model.txt");
        assert!(written.exists(), "{agent}");
    }
}
