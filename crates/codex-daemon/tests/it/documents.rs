//! The documents say what the programs do.

use std::fs;

use codex_daemon::{config::SETTINGS, slash::COMMANDS};
use testkit::cli::{ClaudeVersion, workspace_root};

fn document(language: &str) -> String {
    let path = format!("docs/{language}/codex-daemon.md");
    fs::read_to_string(workspace_root().join(path)).unwrap()
}

#[test]
fn every_setting_stands_in_the_configuration_reference() {
    for language in ["en", "zh"] {
        let text = document(language);
        for setting in SETTINGS {
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let row = format!(
                "| `{}` | `{}` | {default} | ",
                setting.key, setting.variable
            );
            assert!(text.contains(&row), "docs/{language}: {row}");
            let about = format!("{row}{} |", setting.about);
            assert!(language != "en" || text.contains(&about), "{about}");
        }
        let rows = text.matches("` | `CODEX_DAEMON_").count();
        assert_eq!(rows, SETTINGS.len(), "docs/{language}");
    }
}

#[test]
fn every_command_stands_in_the_documents() {
    for language in ["en", "zh"] {
        let text = document(language);
        for command in &COMMANDS {
            let call = format!("/{} {}", command.name, command.hint.replace('|', "\\|"));
            let row = format!("| `{}` | `{}` | ", call.trim_end(), command.in_a_shell());
            assert!(text.contains(&row), "docs/{language}: {row}");
        }
    }
}

#[test]
fn the_versions_are_those_that_are_pinned() {
    let pins = fs::read_to_string(workspace_root().join("tests/cli/package.json")).unwrap();
    let pins: serde_json::Value = serde_json::from_str(&pins).unwrap();
    let codex = pins["dependencies"]["@openai/codex"].as_str().unwrap();
    let claude = ClaudeVersion::ALL.map(ClaudeVersion::as_str).join(", ");
    for language in ["en", "zh"] {
        let text = document(language);
        for row in [
            format!("| Codex | {codex} |"),
            format!("| Claude Code | {claude} |"),
        ] {
            assert!(text.contains(&row), "docs/{language}: {row}");
        }
    }
}

#[test]
fn the_tests_of_the_first_plans_matrix_exist() {
    let folder = workspace_root().join("crates/codex-daemon/tests/it");
    let sources = fs::read_dir(folder).unwrap();
    let sources: String = sources
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    for (language, title) in [
        ("en", "## The first plan's test matrix"),
        ("zh", "## 最初计划的测试矩阵"),
    ] {
        let text = document(language);
        let (_, matrix) = text.split_once(title).unwrap();
        let rows = matrix.lines().filter(|line| line.starts_with("| "));
        let tests: Vec<&str> = rows
            .skip(1)
            .flat_map(|row| row.split('|').nth(3).unwrap().split('`').skip(1).step_by(2))
            .collect();
        assert_eq!(tests.len(), 10, "docs/{language}: {tests:?}");
        for test in tests {
            let declared = format!("async fn {test}()");
            assert!(sources.contains(&declared), "docs/{language}: {test}");
        }
    }
}
