//! Scripts that change files: by a patch, or with the tools `Write`, `Read` and `Edit`.

use std::path::Path;

use serde_json::json;

use super::offers::{code_mode, is_anthropic, run};
use crate::model::reply::{Played, Reply};

/// The file that `patch` adds, and its text.
const NEW_FILE: &str = "hello_model.txt";
const NEW_TEXT: &str = "hello\nfrom the model \u{2728}\n";

pub(super) async fn patch(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output.is_some() {
        reply.say("The file is written.", None).await?;
    } else if is_anthropic(reply) {
        write(reply, NEW_FILE, NEW_TEXT).await?;
    } else {
        let change = Change {
            path: NEW_FILE,
            old: String::new(),
            new: NEW_TEXT.to_owned(),
        };
        apply_patch(reply, &change.patch()).await?;
    }
    reply.completed().await
}

pub(super) async fn edit(reply: &mut Reply) -> Played {
    reply.created().await?;
    let command = reply.command.clone().unwrap_or_default();
    match Change::parse(&command) {
        None => {
            let complaint = "(no edit was asked for: #cmd:PATH|OLD|NEW)";
            reply.say(complaint, Some("final_answer")).await?;
        }
        Some(change) => step(reply, &change).await?,
    }
    reply.completed().await
}

/// `Edit` wants the file to have been read, so there is one step more with it.
async fn step(reply: &mut Reply, change: &Change<'_>) -> Played {
    let reads = is_anthropic(reply) && !change.old.is_empty();
    let round = reply.request.rounds;
    if round == 0 {
        let comment = format!("I will change {}.", change.path);
        reply.say(&comment, Some("commentary")).await?;
    }
    match round {
        0 if reads => {
            let arguments = json!({"file_path": absolute(reply, change.path)});
            reply.call("Read", None, &arguments).await
        }
        0 if is_anthropic(reply) => write(reply, change.path, &change.new).await,
        0 => apply_patch(reply, &change.patch()).await,
        1 if reads => {
            let arguments = json!({
                "file_path": absolute(reply, change.path), "old_string": change.old, "new_string": change.new,
            });
            reply.call("Edit", None, &arguments).await
        }
        _ => {
            reply
                .say("The file is changed.", Some("final_answer"))
                .await
        }
    }
}

async fn write(reply: &mut Reply, path: &str, content: &str) -> Played {
    let arguments = json!({"file_path": absolute(reply, path), "content": content});
    reply.call("Write", None, &arguments).await
}

/// Claude's file tools take whole paths only.
fn absolute(reply: &Reply, path: &str) -> String {
    let folder = reply.request.folder.as_deref().unwrap_or("/tmp");
    Path::new(folder).join(path).display().to_string()
}

/// Lines of a file to be replaced.
#[derive(Debug, PartialEq)]
struct Change<'a> {
    path: &'a str,
    /// Empty: the file is new.
    old: String,
    new: String,
}

impl<'a> Change<'a> {
    /// Reads `PATH|OLD|NEW`; `\n` in OLD and NEW stands for a line break, and both are whole lines.
    fn parse(command: &'a str) -> Option<Self> {
        let mut fields = command.splitn(3, '|');
        let (path, old, new) = (fields.next()?.trim(), fields.next()?, fields.next()?);
        Some(Self {
            path,
            old: old.replace("\\n", "\n"),
            new: new.replace("\\n", "\n"),
        })
    }

    fn patch(&self) -> String {
        let lines = |text: &str, sign: char| -> String {
            text.lines().map(|line| format!("{sign}{line}\n")).collect()
        };
        let (path, new) = (self.path, lines(&self.new, '+'));
        let change = if self.old.is_empty() {
            format!("*** Add File: {path}\n{new}")
        } else {
            format!(
                "*** Update File: {path}\n@@\n{}{new}",
                lines(&self.old, '-')
            )
        };
        format!("*** Begin Patch\n{change}*** End Patch\n")
    }
}

/// Applies a patch with whichever tool the request offers for it.
async fn apply_patch(reply: &mut Reply, patch: &str) -> Played {
    match reply.request.find_tool(&["apply_patch"]) {
        Some(tool) if tool.freeform => reply.call_freeform(&tool.name, patch).await,
        Some(tool) => {
            reply
                .call(&tool.name, tool.namespace, &json!({"input": patch}))
                .await
        }
        None => match code_mode(reply) {
            Some(tool) => {
                let code = format!(
                    "const r = await tools.apply_patch({});\ntext(JSON.stringify(r));\n",
                    json!(patch)
                );
                reply.call_freeform(&tool.name, &code).await
            }
            None => {
                let command = format!("apply_patch <<'EOF'\n{patch}EOF\n");
                run(reply, &command, json!({})).await
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_becomes_a_patch_of_whole_lines() {
        let change = Change::parse("src/a.txt|one|uno\\nunas").unwrap();
        assert_eq!(change.path, "src/a.txt");
        assert_eq!(
            change.patch(),
            "*** Begin Patch\n*** Update File: src/a.txt\n@@\n-one\n+uno\n+unas\n*** End Patch\n"
        );
        assert_eq!(
            Change::parse("b||new").unwrap().patch(),
            "*** Begin Patch\n*** Add File: b\n+new\n*** End Patch\n"
        );
        assert_eq!(Change::parse("b|new"), None);
    }
}
