//! The operator's command around edits of files, as a hook of the CLI's settings.

use agent_core::hook::{Failure, FileEditHook};
use serde_json::{Value, json};

use crate::protocol::HookResponse;

/// The tools that edit files.
const TOOLS: [&str; 4] = ["Write", "Edit", "MultiEdit", "NotebookEdit"];
/// By this a command that runs before an edit prevents it, and the model is told why.
const PREVENTS: i32 = 2;
/// How much of a command's output is shown: its last lines.
const SHOWN_LINES: usize = 20;

/// Settings with the command before and after every edit. They add to what other settings have.
pub(crate) fn settings(hook: &FileEditHook) -> Value {
    let command = match hook.required {
        true => format!("({}\n) || exit {PREVENTS}", hook.command),
        false => hook.command.clone(),
    };
    let hook = json!([{
        "matcher": TOOLS.join("|"),
        "hooks": [{ "type": "command", "command": command, "timeout": hook.time_limit.as_secs() }],
    }]);
    json!({ "hooks": { "PreToolUse": hook, "PostToolUse": hook } })
}

/// How a hook around an edit failed, if the person doesn't see it anyway: an edit that is prevented says so itself.
pub(crate) fn failed(hook: &HookResponse) -> Option<Failure> {
    let (event, tool) = hook.hook_name.split_once(':')?;
    let code = hook.exit_code;
    let prevented = event == "PreToolUse" && code == Some(PREVENTS);
    if !TOOLS.contains(&tool) || prevented {
        return None;
    }
    let why = match (hook.outcome.as_str(), code) {
        ("success", _) => return None,
        ("cancelled", _) => "it was stopped, or took too long".to_owned(),
        (_, Some(code)) => format!("it ended with exit code {code}"),
        (_, None) => "it gave no exit code".to_owned(),
    };
    let lines: Vec<&str> = hook.output.trim_end().lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    Some(Failure {
        why,
        output: shown.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: Value) -> Option<Failure> {
        failed(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_failure_is_told_unless_it_shows_by_itself_or_is_no_edits() {
        let ended = |name: &str, outcome: &str, code: i32| json!({"hook_name": name, "outcome": outcome, "exit_code": code, "output": "why\n"});
        let failure = told(ended("PreToolUse:Write", "error", 4)).unwrap();
        assert_eq!(failure.why, "it ended with exit code 4");
        assert_eq!(failure.output, "why");
        assert!(told(ended("PostToolUse:Edit", "cancelled", 1)).is_some());
        assert!(told(ended("PostToolUse:Edit", "error", 2)).is_some());
        for (name, outcome, code) in [
            ("PreToolUse:Write", "success", 0),
            ("PreToolUse:Write", "error", 2),
            ("PreToolUse:Bash", "error", 1),
            ("SessionStart", "error", 1),
        ] {
            assert_eq!(told(ended(name, outcome, code)), None, "{name}");
        }
    }
}
