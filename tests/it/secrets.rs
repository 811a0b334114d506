//! Secrets: a key is where it is used and nowhere else, and what says it by mistake is redacted.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use testkit::{model::Options, procs};
use wegent_executor_tests::{
    API_KEY, AUTH_TOKEN, OPERATORS_KEY, SKILL_TOKEN, Settings, Sleeper, TurnBody, World,
};

use crate::MCP_SERVER;

const TASK: i64 = 1;
const TURN: i64 = 2;

/// A header that goes to the model provider with every request.
const HEADER: &str = "header-secret-5b1c07aa";
/// What the task's MCP server is given in its environment.
const MCP_TOKEN: &str = "mcp-secret-9e3d6411";

async fn world(test: &str) -> Option<World> {
    let talkative = |settings: &mut Settings| {
        settings.set("WEGENT_LOG", "debug");
    };
    World::build_with(test, Options::default(), talkative).await
}

/// A turn with every kind of secret.
fn turn(world: &World, subtask: i64, prompt: &str) -> TurnBody {
    let servers = json!([{
        "name": "demo", "type": "stdio", "command": "python3", "args": [MCP_SERVER], "env": {"DEMO_TOKEN": MCP_TOKEN},
    }]);
    let mut turn = world
        .turn(TASK, subtask, prompt)
        .with_bot("mcp_servers", servers);
    turn.0["model_config"]["default_headers"] = json!({"x-internal-key": HEADER});
    turn
}

/// Where a secret stands in files: workspace, homes, journals, temporary folders, the log.
fn in_files(world: &World, secret: &str) -> Vec<String> {
    procs::find_secret(secret, &[world.root.path()], &[])
}

/// What was posted, as one text.
fn callbacks_text(world: &World) -> String {
    world
        .backend
        .all_callbacks()
        .iter()
        .map(|callback| callback.body.to_string())
        .collect()
}

/// The processes of the session that have a secret in their arguments or environment, by command line.
fn holders(world: &World, secret: &str) -> Vec<String> {
    let marked = world.marked();
    // Beside what is marked, the executor and everything that it started, for what may have lost its mark.
    let own = world.executor.pid();
    let mut below = procs::descendants(own);
    below.extend(procs::all().into_iter().filter(|proc| proc.pid == own));
    let holds = |pid: i32| !procs::find_secret(secret, &[], &[pid]).is_empty();
    let mut found: Vec<String> = marked
        .into_iter()
        .chain(below)
        .filter(|proc| holds(proc.pid))
        .map(|proc| proc.command)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test]
async fn keys_are_in_no_process_no_file_no_log_and_no_callback() {
    let Some(mut world) = world("keys_are_in_no_process_no_file_no_log_and_no_callback").await
    else {
        return;
    };
    let sleeper = Sleeper::new();
    let command = format!("setsid {sleeper} & {sleeper}");
    world
        .dispatch(&turn(
            &world,
            TURN,
            &format!("Sleep. #script:shell\n#cmd:{command}"),
        ))
        .await;
    sleeper.appear(2).await;
    world
        .wait_for(TURN, "the command is shown", |view| {
            view.tools().count() == 1
        })
        .await;
    // The provider does get them.
    let request = &world.model.requests()[0];
    assert_eq!(
        (request.bearer(), request.header("x-internal-key")),
        (Some(API_KEY), Some(HEADER))
    );

    for secret in [API_KEY, HEADER, OPERATORS_KEY] {
        assert_eq!(holders(&world, secret), [""; 0], "{secret}");
    }
    let of_server = holders(&world, MCP_TOKEN);
    assert!(
        of_server.len() == 1 && of_server[0].contains(MCP_SERVER),
        "{of_server:?}"
    );
    for token in [AUTH_TOKEN, SKILL_TOKEN] {
        let with_token = holders(&world, token);
        let foreign = with_token
            .iter()
            .find(|command| !command.contains("sleep 9000"));
        assert_eq!(
            (with_token.len() >= 2, foreign),
            (true, None),
            "{with_token:?}"
        );
    }
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    assert_eq!(report.status(), Some(200));
    let view = world
        .run(&turn(
            &world,
            TURN + 1,
            "Call. #script:mcp\n#cmd:{\"text\":\"hello\"}",
        ))
        .await;
    assert!(view.completed() && view.tools().count() == 1, "{view:#?}");

    let secrets = [
        API_KEY,
        HEADER,
        OPERATORS_KEY,
        MCP_TOKEN,
        AUTH_TOKEN,
        SKILL_TOKEN,
    ];
    let nowhere = |world: &World, when: &str| {
        for secret in secrets {
            assert_eq!(in_files(world, secret), [""; 0], "{secret} {when}");
            assert!(!callbacks_text(world).contains(secret), "{secret} {when}");
        }
    };
    assert!(
        !in_files(&world, "Call. ").is_empty(),
        "the search finds nothing at all"
    );
    nowhere(&world, "while codex is warm");
    // At its end codex writes what it still holds.
    world.executor.terminate().await;
    nowhere(&world, "after the executor's end");
}

#[tokio::test]
async fn tools_get_their_tokens_and_nobody_is_shown_them() {
    let Some(world) = world("tools_get_their_tokens_and_nobody_is_shown_them").await else {
        return;
    };
    let view = world
        .run(&turn(
            &world,
            TURN,
            "Show it. #script:shell\n#cmd:env | grep TOKEN; env > all.txt",
        ))
        .await;
    assert!(view.completed(), "{view:#?}");
    let env = fs::read_to_string(world.workspace(TASK).join("all.txt")).unwrap();
    assert!(
        env.contains(&format!("AUTH_TOKEN={AUTH_TOKEN}")),
        "the tool lacks its token"
    );
    assert!(
        env.contains(&format!("WEGENT_SKILL_IDENTITY_TOKEN={SKILL_TOKEN}")),
        "the tool lacks its token"
    );
    for secret in [API_KEY, HEADER, OPERATORS_KEY, MCP_TOKEN] {
        assert!(!env.contains(secret), "{secret} is in a tool's environment");
    }
    let shown = view
        .tools()
        .next()
        .unwrap()
        .output
        .clone()
        .unwrap()
        .to_string();
    assert!(
        shown.contains("AUTH_TOKEN=") && view.text.contains("AUTH_TOKEN="),
        "{view:#?}"
    );
    for token in [AUTH_TOKEN, SKILL_TOKEN] {
        assert!(!callbacks_text(&world).contains(token), "{token} was shown");
        assert_eq!(
            procs::find_secret(
                token,
                &[&world.journals(), &world.executor.settings().log],
                &[]
            ),
            [""; 0]
        );
    }
}

/// Up to the executor itself, which was started with the operator's key in its environment.
#[tokio::test]
async fn the_processes_above_a_tool_have_no_key_to_read() {
    let Some(world) = world("the_processes_above_a_tool_have_no_key_to_read").await else {
        return;
    };
    let executor = world.executor.pid();
    let command = format!(
        "p=$$; while [ $p != {executor} ]; do cat /proc/$p/environ /proc/$p/cmdline >> seen.txt; echo >> seen.txt; \
         p=$(awk '{{print $4}}' /proc/$p/stat); done; cat /proc/{executor}/environ /proc/{executor}/cmdline >> seen.txt; wc -l seen.txt"
    );
    let view = world
        .run(&turn(
            &world,
            TURN,
            &format!("Look. #script:shell\n#cmd:{command}"),
        ))
        .await;
    assert!(view.completed(), "{view:#?}");
    let seen = fs::read(world.workspace(TASK).join("seen.txt")).unwrap();
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.contains("app-server")
            && seen.contains("wegent-guard")
            && seen.contains("EXECUTOR_NAME="),
        "it did not get that far up"
    );
    for secret in [API_KEY, HEADER, OPERATORS_KEY, MCP_TOKEN] {
        assert!(!seen.contains(secret), "{secret} can be read above a tool");
    }
}

/// The prompt is in the rollout then, which is Codex's; journal, log and callbacks are ours.
#[tokio::test]
async fn a_key_that_the_model_says_is_redacted_however_it_is_split() {
    let test = "a_key_that_the_model_says_is_redacted_however_it_is_split";
    // Slow enough for each delta to make its own way.
    let options = Options {
        delta_delay: Duration::from_millis(15),
        ..Options::default()
    };
    let Some(world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    let letters: String = API_KEY.chars().map(|letter| format!("{letter}|")).collect();
    let said = format!(
        "Here it is: {API_KEY} and {AUTH_TOKEN}, again {API_KEY}{API_KEY}. Spelled {letters}"
    );
    let view = world
        .run(&world.turn(TASK, TURN, &format!("{said} #script:echo")))
        .await;
    assert!(view.completed(), "{view:#?}");
    assert!(world.model.spoken().text().contains(API_KEY));
    assert!(
        view.text.contains("Here it is: ") && view.text.contains(", again "),
        "{}",
        view.text
    );
    // In single letters with something between them it is no secret that anybody could know again.
    assert!(view.text.contains(&letters), "{}", view.text);
    for secret in [API_KEY, AUTH_TOKEN] {
        assert!(
            !view.text.contains(secret)
                && !view
                    .final_text
                    .as_deref()
                    .unwrap_or_default()
                    .contains(secret)
        );
        assert!(
            !callbacks_text(&world).contains(secret),
            "{secret} was shown"
        );
        assert_eq!(
            procs::find_secret(
                secret,
                &[&world.journals(), &world.executor.settings().log],
                &[]
            ),
            [""; 0]
        );
    }
}

#[tokio::test]
async fn a_key_that_comes_letter_by_letter_is_redacted() {
    let test = "a_key_that_comes_letter_by_letter_is_redacted";
    // Slow enough for each letter to make its own way.
    let options = Options {
        delta_delay: Duration::from_millis(10),
        ..Options::default()
    };
    let Some(world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    let view = world
        .run(&world.turn(TASK, TURN, &format!("a {API_KEY} b #script:spell")))
        .await;
    assert!(view.completed(), "{view:#?}");
    assert!(world.model.spoken().text().contains(API_KEY));
    assert!(
        view.text.starts_with("echo: a ") && view.text.ends_with(" b #script:spell"),
        "{}",
        view.text
    );
    let callbacks = world.backend.callbacks(TURN);
    let deltas: Vec<&str> = callbacks
        .iter()
        .filter_map(|callback| callback.data()["delta"].as_str())
        .collect();
    assert!(
        deltas.len() > 10,
        "the letters came in few pieces, which proves little: {deltas:?}"
    );
    assert!(
        !deltas.concat().contains(&API_KEY[..12]) && !callbacks_text(&world).contains(API_KEY),
        "{deltas:?}"
    );
    assert_eq!(
        procs::find_secret(API_KEY, &[&world.journals()], &[]),
        [""; 0]
    );
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o777
}

#[tokio::test]
async fn files_that_may_hold_something_private_are_for_their_owner_only() {
    let Some(world) = world("files_that_may_hold_something_private_are_for_their_owner_only").await
    else {
        return;
    };
    world.run(&turn(&world, TURN, "Hello. #script:text")).await;
    let home = world.root.path().join("home/.wegent-executor");
    let state = world.workspace(TASK).join(".wegent-executor");
    let journals = world.journals();
    for folder in [
        &home,
        &home.join("journal"),
        &journals,
        &home.join("codex/1"),
        &state,
    ] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    let files = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    };
    let private = [
        files(&journals),
        files(&state.join("sessions")),
        vec![home.join("codex/1/config.toml")],
    ]
    .concat();
    assert!(private.len() >= 4, "{private:?}");
    for file in private {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    // What Codex needs for a moment lies in a folder of the session's own.
    let temporary = world.root.path().join("tmp");
    for entry in fs::read_dir(&temporary).unwrap() {
        let entry = entry.unwrap().path();
        assert_eq!(mode(&entry), 0o700, "{}", entry.display());
    }
}
