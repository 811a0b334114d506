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
