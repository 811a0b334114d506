//! How Codex's tool items look to the person: a name that the front end has a card for, an input, an output.
//!
//! The names and the inputs' fields are those of Claude Code's tools where there is a like one (`Bash`, `Edit`,
//! `Write`, `WebSearch`, `mcp__server__tool`), because the front end chooses its cards by them.

use agent_core::ToolStatus;
use codex_app_server::protocol::{
    CommandExecution, FileChange, FileUpdate, ItemStatus, McpToolCall, PatchKind, Raw, ThreadItem,
    WebSearch, WebSearchAction,
};
use serde_json::{Map, Value, json};

/// A tool call as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Card {
    /// The tool's name.
    pub(crate) name: String,
    /// Its arguments.
    pub(crate) input: Value,
    /// What is known of its end, once it is over.
    pub(crate) status: ToolStatus,
    /// Its output.
    pub(crate) output: String,
}

/// What an item is to the person.
pub(crate) enum Shown {
    /// A tool call.
    Tool(Card),
    /// Nothing of its own: text, reasoning and the like come by deltas, the rest is bookkeeping.
    Not,
}

/// The card of an item; `None` for items that are no tool calls.
pub(crate) fn card(item: &ThreadItem) -> Shown {
    let card = match item {
        ThreadItem::CommandExecution(item) => command(item),
        ThreadItem::FileChange(item) => file_change(item),
        ThreadItem::McpToolCall(item) => mcp_call(item),
        ThreadItem::WebSearch(item) => web_search(item),
        ThreadItem::DynamicToolCall(item) => Card {
            name: item.tool.clone(),
            input: value(&item.arguments),
            status: status(&item.status, true),
            output: item
                .content_items
                .iter()
                .flatten()
                .map(content_text)
                .collect(),
        },
        ThreadItem::CollabAgentToolCall(item) => Card {
            name: format!("Agent:{}", item.tool),
            input: present([("prompt", &item.prompt), ("model", &item.model)]),
            status: status(&item.status, true),
            output: item
                .agents_states
                .values()
                .filter_map(|state| state.message.clone())
                .collect::<Vec<_>>()
                .join("\n\n"),
        },
        ThreadItem::ImageView(item) => done("Read", json!({ "file_path": item.path })),
        ThreadItem::ImageGeneration(item) => done(
            "ImageGeneration",
            json!({ "prompt": item.revised_prompt, "file_path": item.saved_path }),
        ),
        ThreadItem::Sleep(item) => done("Sleep", json!({ "duration_ms": item.duration_ms })),
        ThreadItem::Unknown { kind, raw } => Card {
            name: if kind.is_empty() {
                "unknown".to_owned()
            } else {
                kind.clone()
            },
            input: without_envelope(raw),
            status: ToolStatus::Done,
            output: String::new(),
        },
        ThreadItem::UserMessage(_)
        | ThreadItem::HookPrompt(_)
        | ThreadItem::AgentMessage(_)
        | ThreadItem::FunctionCallOutput(_)
        | ThreadItem::Plan(_)
        | ThreadItem::Reasoning(_)
        | ThreadItem::SubAgentActivity(_)
        | ThreadItem::EnteredReviewMode(_)
        | ThreadItem::ExitedReviewMode(_)
        | ThreadItem::ContextCompaction(_) => return Shown::Not,
    };
    Shown::Tool(card)
}

/// The arguments that are there.
fn present<const N: usize>(arguments: [(&str, &Option<String>); N]) -> Value {
    let given = arguments
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
    Value::Object(given.collect())
}

fn done(name: &str, input: Value) -> Card {
    Card {
        name: name.to_owned(),
        input,
        status: ToolStatus::Done,
        output: String::new(),
    }
}

fn status(status: &ItemStatus, success: bool) -> ToolStatus {
    match status {
        ItemStatus::Completed | ItemStatus::InProgress if success => ToolStatus::Done,
        _ => ToolStatus::Failed,
    }
}

fn command(item: &CommandExecution) -> Card {
    let mut output = item.aggregated_output.clone().unwrap_or_default();
    match (&item.status, item.exit_code) {
        (ItemStatus::Declined, _) => output.push_str("[declined]"),
        (_, Some(code)) if code != 0 => {
            if !output.is_empty() && !output.ends_with('\n') {
                output.push('\n');
            }
            output.push_str(&format!("[exit code {code}]"));
        }
        _ => {}
    }
    Card {
        name: "Bash".to_owned(),
        input: json!({ "command": unwrapped(&item.command) }),
        status: status(&item.status, item.exit_code.unwrap_or(0) == 0),
        output,
    }
}

/// The command within `/bin/bash -lc '…'`, which is how Codex runs everything.
pub(crate) fn unwrapped(command: &str) -> String {
    let Some((shell, rest)) = command.split_once(' ') else {
        return command.to_owned();
    };
    let is_shell = ["bash", "sh", "zsh"].contains(&shell.rsplit('/').next().unwrap_or_default());
    let argument = rest
        .strip_prefix("-lc ")
        .or_else(|| rest.strip_prefix("-c "));
    match argument {
        Some(argument) if is_shell => unquoted(argument).unwrap_or_else(|| command.to_owned()),
        _ => command.to_owned(),
    }
}

/// A single shell word without its quotes; `None` if it is more than one word.
fn unquoted(word: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = word.chars();
    while let Some(character) = rest.next() {
        match character {
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    inner => text.push(inner),
                }
            },
            '"' => loop {
                match rest.next()? {
                    '"' => break,
                    '\\' => match rest.next()? {
                        escaped @ ('"' | '\\' | '$' | '`') => text.push(escaped),
                        other => text.extend(['\\', other]),
                    },
                    inner => text.push(inner),
                }
            },
            '\\' => text.push(rest.next()?),
            space if space.is_whitespace() => return None,
            plain => text.push(plain),
        }
    }
    Some(text)
}

/// A patch of one file is shown as the `Write` or `Edit` it amounts to, one of several files as an `Edit` that lists them.
fn file_change(item: &FileChange) -> Card {
    let (name, input) = file_input(&item.changes);
    let summary: Vec<String> = item
        .changes
        .iter()
        .map(|change| format!("{} {}", letter(&change.kind), change.path.display()))
        .collect();
    Card {
        name: name.to_owned(),
        input,
        status: status(&item.status, true),
        output: summary.join("\n"),
    }
}

/// The tool and the arguments that a patch amounts to.
pub(crate) fn file_input(changes: &[FileUpdate]) -> (&'static str, Value) {
    match changes {
        [
            FileUpdate {
                path,
                kind: PatchKind::Add,
                diff,
            },
        ] => ("Write", json!({ "file_path": path, "content": diff })),
        [change] => {
            let (old, new) = sides(&change.diff);
            (
                "Edit",
                json!({ "file_path": change.path, "old_string": old, "new_string": new, "diff": change.diff }),
            )
        }
        changes => {
            let files: Vec<Value> = changes
                .iter()
                .map(|change| json!({ "file_path": change.path, "kind": letter(&change.kind), "diff": change.diff }))
                .collect();
            let first = changes.first().map(|change| &change.path);
            ("Edit", json!({ "file_path": first, "changes": files }))
        }
    }
}

fn letter(kind: &PatchKind) -> &'static str {
    match kind {
        PatchKind::Add => "A",
        PatchKind::Delete => "D",
        PatchKind::Update { .. } => "M",
        PatchKind::Unknown => "?",
    }
}

/// The text before and after a unified diff, as far as the diff shows it.
fn sides(diff: &str) -> (String, String) {
    let (mut old, mut new) = (String::new(), String::new());
    for line in diff
        .lines()
        .filter(|line| !line.starts_with("@@") && !line.starts_with("\\ "))
    {
        let (mark, text) = line.split_at_checked(1).unwrap_or((line, ""));
        let targets: &mut [&mut String] = match mark {
            "-" => &mut [&mut old],
            "+" => &mut [&mut new],
            _ => &mut [&mut old, &mut new],
        };
        for target in targets {
            target.push_str(text);
            target.push('\n');
        }
    }
    (old, new)
}

fn mcp_call(item: &McpToolCall) -> Card {
    let output = match (&item.error, &item.result) {
        (Some(error), _) => error.message.clone(),
        (None, Some(result)) => result
            .content
            .iter()
            .map(content_text)
            .collect::<Vec<_>>()
            .join("\n"),
        (None, None) => String::new(),
    };
    Card {
        name: format!("mcp__{}__{}", item.server, item.tool),
        input: value(&item.arguments),
        status: status(&item.status, true),
        output,
    }
}

/// The text of a content block; what isn't text is named by its type.
fn content_text(block: &Raw) -> String {
    let block = value(block);
    match (block["text"].as_str(), block["type"].as_str()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(kind)) => format!("[{kind}]"),
        (None, None) => block.to_string(),
    }
}

fn web_search(item: &WebSearch) -> Card {
    let (query, output) = match &item.action {
        Some(WebSearchAction::Search { query, queries }) => {
            let asked = query
                .clone()
                .or_else(|| queries.as_ref().map(|all| all.join("; ")));
            (asked.unwrap_or_else(|| item.query.clone()), String::new())
        }
        Some(WebSearchAction::OpenPage { url }) => (
            item.query.clone(),
            format!("opened {}", url.as_deref().unwrap_or("a page")),
        ),
        Some(WebSearchAction::FindInPage { url, pattern }) => (
            item.query.clone(),
            format!(
                "looked for {} in {}",
                pattern.as_deref().unwrap_or("text"),
                url.as_deref().unwrap_or("a page")
            ),
        ),
        Some(WebSearchAction::Other) | None => (item.query.clone(), String::new()),
    };
    Card {
        name: "WebSearch".to_owned(),
        input: json!({ "query": query }),
        status: ToolStatus::Done,
        output,
    }
}

fn value(raw: &Raw) -> Value {
    raw.parse().unwrap_or(Value::Null)
}

fn without_envelope(raw: &Raw) -> Value {
    let mut fields: Map<String, Value> = raw.parse().unwrap_or_default();
    for known in ["id", "type", "startedAtMs", "completedAtMs"] {
        fields.remove(known);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_without_the_shell_around_them() {
        for (command, shown) in [
            ("/bin/bash -lc 'echo one; echo two'", "echo one; echo two"),
            (r#"bash -lc "echo \"hi\" \$HOME""#, r#"echo "hi" $HOME"#),
            (r"/bin/bash -lc 'it'\''s'", "it's"),
            ("/bin/bash -lc ls", "ls"),
            ("/bin/bash -lc ls -la", "/bin/bash -lc ls -la"),
            ("bash script.sh", "bash script.sh"),
            ("/bin/bash -lc 'open", "/bin/bash -lc 'open"),
            ("ls", "ls"),
        ] {
            assert_eq!(unwrapped(command), shown, "{command}");
        }
    }

    #[test]
    fn a_diff_has_two_sides() {
        let diff = "@@ -1,3 +1,3 @@\n same\n-old\n+new\n end\n\\ No newline at end of file\n";
        assert_eq!(
            sides(diff),
            ("same\nold\nend\n".to_owned(), "same\nnew\nend\n".to_owned())
        );
    }
}
