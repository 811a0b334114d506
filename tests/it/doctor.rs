//! What the program says of itself and of its machine.

use std::{fs, path::Path};

use serde_json::Value;
use testkit::{Backend, cli};
use wegent_executor_tests::{CLAUDE, Settings, binary, private_folder};

/// Runs a command of the program and gives its exit code and its output.
async fn run(settings: &Settings, arguments: &[&str]) -> (Option<i32>, String) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test acts from outside, as an operator would"
    )]
    let mut command = tokio::process::Command::new(binary());
    command.args(arguments).env_clear().envs(&settings.env);
    let output = command.output().await.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn finding<'a>(found: &'a Value, what: &str) -> &'a Value {
    let all = found["findings"].as_array().unwrap();
    let one = all.iter().find(|one| one["what"] == what);
    one.unwrap_or_else(|| panic!("no {what} in {found:#}"))
}

#[tokio::test]
async fn a_sound_machine_is_told_to_be_sound() {
    let test = "a_sound_machine_is_told_to_be_sound";
    let (Some(codex), Some(_)) = (cli::require_codex(test), cli::require_claude(CLAUDE, test))
    else {
        return;
    };
    let root = private_folder();
    let backend = Backend::start().await.unwrap();
    let settings = Settings::new(root.path(), &codex, &backend);
    let (code, said) = run(&settings, &["doctor", "--json"]).await;
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &found["ok"]),
        (Some(0), &Value::Bool(true)),
        "{found:#}"
    );
    for (what, part) in [
        ("codex", "0.169.0"),
        ("claude-code", "2.1.329"),
        ("callback", "answers"),
        ("clock", "s from"),
    ] {
        let says = finding(&found, what)["says"].as_str().unwrap();
        assert!(says.contains(part), "{what}: {says}");
    }
    for what in [
        "backend",
        "workspaces",
        "state",
        "temporary",
        "kernel",
        "namespaces",
        "processes",
    ] {
        assert_ne!(finding(&found, what)["verdict"], "wrong", "{what}");
    }
    // It only looks.
    assert!(!root.path().join("home/.wegent-executor").exists());
    assert!(
        fs::read_dir(root.path().join("workspace"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_remedy_and_the_exit_code_says_so() {
    let root = private_folder();
    let backend = Backend::start().await.unwrap();
    let mut settings = Settings::new(root.path(), Path::new("/nonexistent/codex"), &backend);
    let journal = root.path().join("home/.wegent-executor/journal");
    fs::create_dir_all(&journal).unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    settings
        .set("CALLBACK_URL", "http://127.0.0.1:1/callback?token=hunter2")
        .set(
            "WORKSPACE_ROOT",
            root.path().join("file").display().to_string(),
        );
    let (code, said) = run(&settings, &["doctor", "--json"]).await;
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &found["ok"]),
        (Some(1), &Value::Bool(false)),
        "{found:#}"
    );
    for (what, remedy) in [
        ("codex", "CODEX_BINARY_PATH"),
        ("callback", "CALLBACK_URL"),
        ("workspaces", "WORKSPACE_ROOT"),
        ("modes", "chmod 700"),
    ] {
        let one = finding(&found, what);
        assert_eq!(one["verdict"], "wrong", "{what}");
        assert!(one["remedy"].as_str().unwrap().contains(remedy), "{one}");
    }
    assert!(
        !said.contains("hunter2") && !said.contains("operators-aes-key"),
        "{said}"
    );
    let (code, text) = run(&settings, &["doctor"]).await;
    assert_eq!(code, Some(1));
    assert!(text.contains("WRONG") && text.contains("→"), "{text}");
}

#[tokio::test]
async fn capabilities_are_told_on_the_command_line_too() {
    let root = private_folder();
    let backend = Backend::start().await.unwrap();
    let mut settings = Settings::new(root.path(), Path::new("/nonexistent/codex"), &backend);
    settings.set("WEGENT_SANDBOX_ROUTES", "on");
    let (code, said) = run(&settings, &["capabilities", "--json"]).await;
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["sandbox"]), (Some(0), &Value::Bool(true)));
    assert_eq!(
        told["shells"][1]["mcp"],
        serde_json::json!(["stdio", "http"])
    );
    let (_, text) = run(&settings, &["capabilities"]).await;
    assert!(text.contains("ClaudeCode: on"), "{text}");
}
