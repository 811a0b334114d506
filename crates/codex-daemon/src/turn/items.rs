//! Tool calls as events.

use codex_app_server::protocol::{FileUpdate, ItemStatus, ThreadItem};

use crate::protocol::{AskId, Event, ToolKind, ToolState};

/// How much of a tool's output is passed on, in bytes: its end. Codex's own files have all of it.
const OUTPUT: usize = 16 << 10;

/// The event of a tool call that begins or ends; `None` for what is no tool call.
pub(super) fn tool(ask: &AskId, item: &ThreadItem, completed: bool) -> Option<Event> {
    let (kind, title, status) = match item {
        ThreadItem::CommandExecution(item) => {
            (ToolKind::Command, item.command.clone(), &item.status)
        }
        ThreadItem::FileChange(item) => (ToolKind::Patch, files(&item.changes), &item.status),
        ThreadItem::McpToolCall(item) => {
            let title = format!("{}.{}", item.server, item.tool);
            (ToolKind::Mcp, title, &item.status)
        }
        ThreadItem::WebSearch(item) => {
            (ToolKind::Search, item.query.clone(), &ItemStatus::Completed)
        }
        _ => return None,
    };
    let (output, exit_code) = match item {
        ThreadItem::CommandExecution(item) if completed => {
            (item.aggregated_output.as_deref().map(tail), item.exit_code)
        }
        _ => (None, None),
    };
    Some(Event::Tool {
        ask: ask.clone(),
        call: item.id().map(|id| id.to_string()).unwrap_or_default(),
        kind,
        title,
        state: state(status, completed),
        output,
        exit_code,
    })
}

fn state(status: &ItemStatus, completed: bool) -> ToolState {
    match status {
        _ if !completed => ToolState::Started,
        ItemStatus::Completed => ToolState::Completed,
        ItemStatus::Declined => ToolState::Declined,
        _ => ToolState::Failed,
    }
}

/// The files of a patch, for people.
pub(super) fn files(changes: &[FileUpdate]) -> String {
    let paths: Vec<_> = changes
        .iter()
        .map(|change| change.path.display().to_string())
        .collect();
    paths.join(", ")
}

fn tail(output: &str) -> String {
    let mut start = output.len().saturating_sub(OUTPUT);
    while !output.is_char_boundary(start) {
        start += 1;
    }
    output[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let long = format!("{}é{}", "a".repeat(10), "b".repeat(OUTPUT - 1));
        let kept = tail(&long);
        assert!(kept.len() <= OUTPUT && kept.ends_with('b') && !kept.contains('a'));
        assert_eq!(tail("short"), "short");
    }
}
